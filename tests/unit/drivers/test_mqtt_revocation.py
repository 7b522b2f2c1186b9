"""Certificates of MQTT clients that are good no more: real lists, a real TLS stack on both sides."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from littoral.core.errors import InvalidInput, StartupError
from littoral.core.resources.mqtt import MqttListener
from littoral.node.mqtt_sockets import certificates_of
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, ReasonCode
from tests.support.certificates import Pair, TestCa
from tests.unit.drivers.test_mqtt_listeners import WELCOME, Files, Served, answer, connect, served

DEADLINE_S = 20


class Devices(Files):
    """Files of a listener with a list, and the certificates of two devices."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.list_file = folder / "revoked.pem"
        self.press, self.oven = self.ca.issue("press"), self.ca.issue("oven")
        self.revoke()

    def revoke(self, *pairs: Pair, **how) -> None:
        """Publish a list of these."""
        self.list_file.write_bytes(self.ca.revokes(*pairs, **how))

    def strict(self, *, required: bool = True) -> MqttListener:
        listener = self.listener(required=required)
        assert listener.client_certificates is not None
        clients = msgspec.structs.replace(listener.client_certificates, revocation_lists=[str(self.list_file)])
        return msgspec.structs.replace(listener, client_certificates=clients)

    def shows(self, pair: Pair, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = self.context()
        context.maximum_version = most
        context.load_cert_chain(*pair.write(self.folder, "client"))
        return context


def spoil(file: Path) -> None:
    file.write_text("half of it")


def look(server: Served) -> list[str]:
    """See whether files have changed; what there was to warn of."""
    warnings: list[str] = []
    assert server.certificates is not None
    server.certificates.look(warnings.append, server.broker.clock)
    return warnings


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_who_is_revoked_does_not_get_in_and_the_others_do(tmp_path: Path, version: ssl.TLSVersion):
    files = Devices(tmp_path)
    files.revoke(files.press)

    async def main() -> None:
        async with served(files.strict()) as server:
            assert await answer(server.port, files.shows(files.press, version), connect()) is None
            assert await answer(server.port, files.shows(files.oven, version), connect()) == WELCOME
            assert look(server) == []

    uvloop.run(main())


def test_a_list_that_has_changed_closes_whom_it_names_and_nobody_else(tmp_path: Path):
    files = Devices(tmp_path)

    async def come(server: Served, pair: Pair) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=files.shows(pair))
        name = x509.load_pem_x509_certificate(pair.certificate).subject.rfc4514_string()
        writer.write(mqtt.encode(mqtt.Connect(name, True, 0, level=MQTT_5), MQTT_5))
        head = await reader.readexactly(2)
        await reader.readexactly(head[1])
        return reader, writer

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), served(files.strict()) as server:
            pressed, press = await come(server, files.press)
            baked, oven = await come(server, files.oven)
            files.revoke(files.press)
            assert look(server) == []
            head = await pressed.readexactly(2)
            goodbye = mqtt.decode(head[0], await pressed.readexactly(head[1]), MQTT_5)
            assert isinstance(goodbye, mqtt.Disconnect)
            assert goodbye.reason is ReasonCode.NOT_AUTHORIZED
            assert await answer(server.port, files.shows(files.press), connect()) is None
            oven.write(mqtt.encode(mqtt.PingReq()))
            assert await baked.readexactly(2) == mqtt.encode(mqtt.PingResp())
            assert server.broker.counters.closed == {"certificate-revoked": 1}
            for each in (press, oven):
                each.close()

    uvloop.run(main())


def test_without_a_good_list_nobody_gets_in_by_a_certificate_and_who_is_in_stays(tmp_path: Path):
    files = Devices(tmp_path)

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), served(files.strict(required=False)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=files.shows(files.press))
            writer.write(mqtt.encode(connect()))
            await reader.readexactly(4)

            async def enters() -> bool:
                # A client identifier of its own: it does not take over the connection that is to stay.
                packet = msgspec.structs.replace(connect(), client_id="other")
                return await answer(server.port, files.shows(files.oven), packet) == WELCOME

            assert await enters()
            files.list_file.write_text("-----BEGIN X509 CRL-----\nhalf of it")
            [warning] = look(server)
            assert "cannot read revocation list" in warning
            assert "nobody gets in by a certificate" in warning
            assert not await enters()
            password = mqtt.Connect("p", clean_start=True, keep_alive_s=0, username="oven", password=b"right")
            assert await answer(server.port, files.context(), password) == WELCOME
            files.revoke(overdue=True)
            [warning] = look(server)
            assert "was to be replaced by" in warning
            assert look(server) == [], "once is enough"
            assert not await enters()
            os.remove(files.list_file)
            assert "No such file" in look(server)[0]
            assert not await enters()
            files.list_file.write_bytes(TestCa("somebody else").revokes())
            assert look(server) == []
            assert not await enters(), "there is no list of its CA"
            files.revoke()
            assert look(server) == []
            assert await enters()
            writer.write(mqtt.encode(mqtt.PingReq()))
            assert await reader.readexactly(2) == mqtt.encode(mqtt.PingResp())
            writer.close()

    uvloop.run(main())


def test_a_list_of_the_issuers_name_that_it_has_not_signed_lets_nobody_in(tmp_path: Path):
    files = Devices(tmp_path)
    files.list_file.write_bytes(TestCa("devices").revokes())

    async def main() -> None:
        async with served(files.strict()) as server:
            assert await answer(server.port, files.shows(files.oven), connect()) is None

    uvloop.run(main())


def test_a_list_is_gone_by_though_another_file_of_the_listener_is_being_written(tmp_path: Path):
    files = Devices(tmp_path)
    shown = Path(files.server.certificate)

    async def main() -> None:
        async with served(files.strict()) as server:
            spoil(shown)
            files.revoke(files.press)
            [warning] = look(server)
            assert "What was shown before is shown on" in warning
            assert await answer(server.port, files.shows(files.press), connect()) is None
            assert await answer(server.port, files.shows(files.oven), connect()) == WELCOME

    uvloop.run(main())


@contextlib.contextmanager
def coming(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Iterator[ssl.SSLSocket | None]:
    """One who is in; None for one that is not let in."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S))
        try:
            client = stack.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1", session=session))
            client.sendall(mqtt.encode(connect()))
            said = client.recv(4)
        except OSError:
            said, client = b"", None
        yield client if said == mqtt.encode(WELCOME) else None


@pytest.mark.parametrize("by", ["list", "ca"])
def test_what_is_good_no_more_is_not_good_for_a_session_of_tls_1_2_that_is_resumed(tmp_path: Path, by: str):
    """It is not verified again: OpenSSL remembers the certificate as good."""
    files = Devices(tmp_path)
    context = files.shows(files.press, ssl.TLSVersion.TLSv1_2)
    found: list[bool] = []

    def come(server: Served) -> None:
        # Open to the end: OpenSSL forgets sessions of connections that were cut.
        with coming(server.port, context) as first:
            assert first is not None
            with coming(server.port, context, first.session) as again:
                assert again is not None
                found.append(bool(again.session_reused))
                if by == "list":
                    files.revoke(files.press)
                else:
                    files.ca_file.write_bytes(TestCa("others").pem)
                assert server.certificates is not None
                # As if nobody looked at the certificate but TLS.
                server.certificates.revoked = lambda: None
                look(server)
                with coming(server.port, context, again.session) as after:
                    found.append(after is not None)

    async def main() -> None:
        async with served(files.strict() if by == "list" else files.listener(required=True)) as server:
            await asyncio.to_thread(come, server)

    uvloop.run(main())
    assert found == [True, False], "resumed before, and not after"


def test_files_of_lists(tmp_path: Path):
    files = Devices(tmp_path)
    pem = files.ca.revokes(files.press)
    for content in (pem, TestCa("other").revokes() + pem, x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)):
        files.list_file.write_bytes(content)
        certificates = certificates_of(files.strict())
        assert certificates is not None
    wrong = {
        files.ca.pem: "there is none in it",
        b"nonsense": "it is none",
        files.ca.revokes(delta=True): "only what has changed",
    }
    for content, cause in wrong.items():
        files.list_file.write_bytes(content)
        with pytest.raises(InvalidInput, match=cause):
            certificates_of(files.strict())
    os.remove(files.list_file)
    with pytest.raises(StartupError, match="No such file"):
        certificates_of(files.strict())


def test_a_certificate_in_a_file_of_lists_is_not_trusted(tmp_path: Path):
    files, foreign = Devices(tmp_path), TestCa("foreign")
    files.list_file.write_bytes(foreign.pem + files.ca.revokes() + foreign.revokes())

    async def main() -> None:
        async with served(files.strict()) as server:
            assert await answer(server.port, files.context("press", foreign), connect()) is None
            assert await answer(server.port, files.shows(files.oven), connect()) == WELCOME

    uvloop.run(main())
