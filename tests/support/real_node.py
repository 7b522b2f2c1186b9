"""A node as it is in production: the supervisor and its processes, seen through its sockets, its exit and its log."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from littoral.core.resources import Node, Tier
from littoral.core.resources.model import Encryption, Listen, NodeSpec, Parent, Streams
from littoral.core.resources.mqtt import Mqtt
from littoral.core.resources.part import Metadata
from littoral.fleet.desired import Deployable, record_of
from littoral.node.layout import JOIN_TOKEN_VARIABLE
from littoral.wire import mqtt

DEADLINE_S = 60.0
LEAST_PAUSE_S, MOST_PAUSE_S = 0.01, 0.1
"""Between two looks. Each takes a request, or a whole command: to look without a pause holds up what is waited for."""
PACKET_MOST_BYTES = 1 << 20


class Reply(msgspec.Struct, frozen=True):
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def _only_files(folder: str, names: list[str]) -> set[str]:
    """Sockets cannot be copied."""
    return {name for name in names if (Path(folder) / name).is_socket()}


def until(condition: Callable[[], object], what: Callable[[], str] = lambda: "") -> None:
    """Wait until `condition` holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    pause_s = LEAST_PAUSE_S
    while not condition():
        assert time.monotonic() < deadline_s, what()
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, MOST_PAUSE_S)


def call(url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """One request."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return Reply(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, dict(error.headers), error.read())


class RealNode:
    """Use as a context manager: whatever happens, its processes end."""

    def __init__(
        self,
        name: str,
        tier: Tier = "cloud",
        *,
        parent: "RealNode | None" = None,
        data_dir: Path | None = None,
        listen: Mapping[str, str] | None = None,
        streams: Streams | None = None,
        encryption: Encryption | None = None,
        gateways: int = 1,
        inline_apps: Sequence[str] = (),
        **limits: int,
    ) -> None:
        """data_dir: one of its own by default. listen: other addresses than free ports of the loopback. streams: who may
        use the streams listener. encryption: where the key of its store is."""
        self.name = name
        # Short: the kernel bounds the path of a Unix socket.
        self._home = Path(tempfile.mkdtemp(prefix="lit"))
        self.data_dir = data_dir or self._home / "data"
        self.document = self._home / "node.json"
        addresses = dict.fromkeys(("api", "peer", "join", "mqtt"), "127.0.0.1:0") | dict(listen or {})
        self.config = Node(
            api_version="littoral/v1",
            metadata=Metadata(name=name),
            spec=NodeSpec(
                tier=tier,
                parent=None if parent is None else Parent(url=parent.url("peer"), join_url=parent.url("join")),
                listen=Listen(**addresses),
                gateways=gateways,
                inline_apps=list(inline_apps),
                mqtt=Mqtt(anonymous=True),
                streams=streams or Streams(),
                encryption=encryption,
                status_interval="1s",
                limits={key.replace("_", "-"): value for key, value in limits.items()},
            ),
        )
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    # Life

    def describe(self, **mqtt: Any) -> None:
        """Write its document, with other fields of `spec.mqtt`; it may run already."""
        spec = msgspec.structs.replace(self.config.spec, mqtt=msgspec.structs.replace(self.config.spec.mqtt, **mqtt))
        self.config = msgspec.structs.replace(self.config, spec=spec)
        aside = self.document.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(self.config))
        aside.rename(self.document)

    def launch(self, token: str | None = None) -> None:
        """Start its supervisor."""
        self.describe()
        environment = {key: value for key, value in os.environ.items() if key != JOIN_TOKEN_VARIABLE}
        if token is not None:
            environment[JOIN_TOKEN_VARIABLE] = token
        command = [sys.executable, "-m", "littoral.node.supervisor"]
        command += ["--config", str(self.document), "--data-dir", str(self.data_dir)]
        with open(self._home / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def start(self, token: str | None = None) -> Self:
        """Start it, and wait until its hub answers."""
        # What the last start wrote must not be taken for this one's.
        (self.data_dir / "run" / "api.json").unlink(missing_ok=True)
        self.launch(token)
        self.until(self.is_up)
        return self

    def refused(self, token: str | None = None) -> str:
        """Start what cannot start: it must end by itself with status 1. Returns what it said."""
        self.launch(token)
        assert self.process is not None
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"it did not end: {self.log()}") from None
        assert status == 1, self.log()
        return self.log()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)
        self.process = None

    def keep(self, folder: Path) -> None:
        """Copy its directory and its log to where they outlive it."""
        shutil.copytree(self.data_dir, folder / "data", ignore=_only_files)
        shutil.copy(self._home / "log", folder / "log")

    def kill_hub(self) -> None:
        """kill -9; the supervisor starts it again."""
        self.kill("hub")
        self.until(self.is_up)

    def kill(self, name: str) -> None:
        """kill -9 one of its processes, and wait until the supervisor has started it again."""
        killed = self.pids()[name]
        os.kill(killed, signal.SIGKILL)
        self.until(lambda: self.pids().get(name, killed) != killed)

    def pids(self) -> dict[str, int]:
        return msgspec.json.decode((self.data_dir / "run" / "pids.json").read_bytes(), type=dict[str, int])

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return self.api("GET", "/v1/status").status == 200
        except (OSError, KeyError, msgspec.DecodeError):
            return False

    def until(self, condition: Callable[[], object]) -> None:
        until(condition, self.log)

    # Seen from outside

    def log(self) -> str:
        return (self._home / "log").read_text(encoding="utf-8", errors="replace")

    def address(self, listener: str) -> str:
        addresses = msgspec.json.decode((self.data_dir / "run" / "api.json").read_bytes(), type=dict[str, str])
        return addresses[listener]

    def port(self, listener: str) -> int:
        return int(self.address(listener).rpartition(":")[2])

    def url(self, listener: str) -> str:
        return f"{'https' if listener in ('peer', 'join') else 'http'}://{self.address(listener)}"

    def api(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request to its operator API, as the operator."""
        token = (self.data_dir / "identity" / "operator.token").read_text(encoding="ascii").strip()
        fields = {"authorization": f"Bearer {token}", **(headers or {})}
        return call(f"{self.url('api')}{path}", method, body, fields)

    def get(self, path: str) -> Reply:
        """One request to its gateway."""
        return call(f"{self.url('gateway')}{path}")

    def apply(self, resource: Deployable, bundle: bytes | None = None) -> None:
        """Submit a document; at the root."""
        reply = self.api("POST", "/v1/resources", msgspec.msgpack.encode([record_of(resource, bundle)]))
        assert reply.status == 200, reply.body

    def token(self, node: str, ttl_s: int = 3600) -> str:
        """A join token."""
        reply = self.api("POST", "/v1/tokens", msgspec.json.encode({"node": node, "ttlS": ttl_s}))
        assert reply.status == 200, reply.body
        return str(reply.json()["token"])

    def mqtt(self, client_id: str) -> "MqttClient":
        return MqttClient(self.port("mqtt"), client_id)


class MqttClient:
    """A client that says exactly what a test wants said."""

    def __init__(self, port: int, client_id: str = "") -> None:
        """With a client id, connected."""
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._rest = b""
        if client_id:
            self.send(mqtt.encode(mqtt.Connect(client_id, clean_start=True, keep_alive_s=0)))
            assert self.receive() == mqtt.ConnAck(session_present=False)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def publish(self, topic: str, payload: bytes, packet_id: int = 1) -> bool:
        """Whether the node acknowledged."""
        self.send(mqtt.encode(mqtt.Publish(topic, payload, qos=1, packet_id=packet_id)))
        return self.receive() == mqtt.PubAck(packet_id)

    def receive(self, level: int = mqtt.MQTT_3_1_1) -> mqtt.Packet | None:
        """The next packet; None when the node closed the connection."""
        while True:
            place = mqtt.header(self._rest, 0, PACKET_MOST_BYTES, level)
            if place is not None and place[1] <= len(self._rest):
                packet = mqtt.decode(self._rest[0], self._rest[place[0] : place[1]], level)
                self._rest = self._rest[place[1] :]
                return packet
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._rest += data

    def close(self) -> None:
        self.socket.close()
