"""Listeners of the broker at a node that runs: they come and go with its document, and certificates of real clients are revoked."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from littoral.core.resources.mqtt import MqttClientCertificates, MqttListener
from littoral.core.resources.web import CertificateFiles
from littoral.wire import mqtt
from tests.support.certificates import Pair, TestCa
from tests.support.ports import free_base_port
from tests.support.real_node import DEADLINE_S, MqttClient, RealNode, until

PLAIN = free_base_port(2)
STRICT = PLAIN + 1


class Devices:
    """Certificates of one CA, and its list."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, TestCa("devices")
        (folder / "ca.pem").write_bytes(self.ca.pem)
        self.broker = self.ca.issue("broker").write(folder, "broker")
        self.press, self.oven = self.ca.issue("press"), self.ca.issue("oven")
        self.revoke()

    def revoke(self, *pairs: Pair) -> None:
        aside = self.folder / "revoked.new"
        aside.write_bytes(self.ca.revokes(*pairs))
        aside.rename(self.folder / "revoked.pem")

    @property
    def strict(self) -> MqttListener:
        certificate, key = (str(each) for each in self.broker)
        clients = MqttClientCertificates(
            ca=str(self.folder / "ca.pem"), revocation_lists=[str(self.folder / "revoked.pem")]
        )
        shown = [CertificateFiles(certificate=certificate, key=key)]
        return MqttListener(address=f"127.0.0.1:{STRICT}", certificates=shown, client_certificates=clients)

    def enters(self, pair: Pair) -> bool:
        """Whether somebody gets in by a certificate. In TLS 1.3 who does not hears of it with what is read first."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(*pair.write(self.folder, "shown"))
        packet = mqtt.encode(mqtt.Connect("visitor", clean_start=True, keep_alive_s=0))
        with socket.create_connection(("127.0.0.1", STRICT), DEADLINE_S) as raw:
            try:
                with context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
                    tls.sendall(packet)
                    return tls.recv(4) == mqtt.encode(mqtt.ConnAck(session_present=False))
            except (ssl.SSLError, ConnectionError):
                return False

    @contextmanager
    def device(self, name: str, pair: Pair) -> Iterator["Device"]:
        """A client of paho's, with a certificate."""
        certificate, key = pair.write(self.folder, name)
        device = Device(name, str(self.folder / "ca.pem"), str(certificate), str(key))
        try:
            yield device
        finally:
            device.client.disconnect()
            device.client.loop_stop()


class Device:
    """Connects, and comes back for as long as it is let in."""

    def __init__(self, name: str, ca: str, certificate: str, key: str) -> None:
        self.is_in = threading.Event()
        self.reasons: list[int] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self.client.tls_set(ca, certificate, key)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda *_: self.is_in.set()
        self.client.on_disconnect = self._gone

    def _gone(self, _client, _data, _flags, reason, _properties) -> None:
        self.is_in.clear()
        self.reasons.append(reason.value)

    def comes(self) -> None:
        with suppress(OSError):
            self.client.connect("127.0.0.1", STRICT)
        self.client.loop_start()


@contextmanager
def closing_client(client: MqttClient) -> Iterator[MqttClient]:
    with client.socket:
        yield client


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def is_there(client: MqttClient) -> bool:
    client.send(mqtt.encode(mqtt.PingReq()))
    return client.receive() == mqtt.PingResp()


def test_listeners_come_and_go_with_the_document_and_nobody_else_is_disturbed(tmp_path: Path):
    files = Devices(tmp_path)
    plain = MqttListener(address=f"127.0.0.1:{PLAIN}")
    with ExitStack() as stack:
        node = stack.enter_context(RealNode("edge"))
        press = stack.enter_context(files.device("press", files.press))
        oven = stack.enter_context(files.device("oven", files.oven))
        node.start()
        first = stack.enter_context(closing_client(node.mqtt("first")))
        node.describe(listeners=[plain, files.strict])
        node.until(lambda: listens(PLAIN) and listens(STRICT))
        press.comes()
        assert press.is_in.wait(DEADLINE_S), node.log()
        assert is_there(first)
        node.until(lambda: node.port("mqtt-1") == STRICT)

        # A hub that begins anew has them: they are the supervisor's.
        node.kill("hub")
        other = stack.enter_context(closing_client(MqttClient(PLAIN, "other")))
        node.until(node.is_up)
        until(lambda: press.reasons and press.is_in.is_set(), node.log)

        # One that is removed refuses who comes, and the clients of the others stay.
        node.describe(listeners=[files.strict])
        assert other.receive() is None
        node.until(lambda: not listens(PLAIN))
        oven.comes()
        assert oven.is_in.wait(DEADLINE_S), node.log()
        assert press.is_in.is_set()

        # A certificate that is revoked closes its client and keeps it out; the others stay.
        before = len(press.reasons)
        files.revoke(files.press)
        until(lambda: len(press.reasons) > before, node.log)
        assert press.reasons[before] == mqtt.ReasonCode.NOT_AUTHORIZED
        assert not files.enters(files.press)
        assert files.enters(files.oven)
        assert not press.is_in.is_set()
        assert oven.is_in.is_set()
        assert oven.reasons == []

        # What cannot be had is said, and what was there goes on.
        taken = node.address("mqtt")
        node.describe(listeners=[files.strict, MqttListener(address=taken)])
        node.until(lambda: f"the MQTT listener {taken} is not as the document says" in node.log())
        assert "the port is in use by" in node.log()
        assert oven.is_in.is_set()
