"""One bridge, between a broker in memory and another one on the loopback."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from littoral.core.resources.mqtt_bridge import MqttBridge, MqttBridgeTls, MqttBridgeTopic
from littoral.core.tasks import Tasks
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.mqtt import MqttListener
from littoral.drivers.random import SystemRandom
from littoral.iot.access import LoginOnly
from littoral.iot.bridge_access import BridgeAccess
from littoral.node.bridge_memory import BridgeMemory
from littoral.node.bridge_run import BridgeParts
from littoral.node.bridges import Bridges
from littoral.testing.disk import SimDisk
from littoral.testing.random import SeededRandom
from tests.support.certificates import TestCa
from tests.support.mqtt_world import World

DEADLINE_S = 30
BOTH = [MqttBridgeTopic(filter="#", direction="both")]
APART = [
    MqttBridgeTopic(filter="#", direction="out", remote_prefix="up/"),
    MqttBridgeTopic(filter="#", direction="in", remote_prefix="down/"),
]


class Here:
    """This node's broker and its bridges."""

    def __init__(self) -> None:
        access = BridgeAccess(LoginOnly(lambda *_: True), "secret")
        self.broker = World(access=access, at_once=True).broker
        self.failures: list[BaseException] = []
        self.warned: list[str] = []
        self.tasks = Tasks(self.failures.append)
        memory = BridgeMemory(SimDisk(SeededRandom(1)))
        parts = BridgeParts("n", "lineage", self.broker, "secret", memory, SystemRandom(), self.warned.append)
        self.bridges = Bridges(parts, self.tasks)

    async def until(self, *words: str) -> None:
        """Of the only bridge's state."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert self.failures == []
                [state] = self.bridges.states()
                text = f"{state.state}: {state.error or ''}"
                if all(word in text for word in words):
                    return
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def sites() -> AsyncIterator[tuple[Here, int]]:
    """With another broker's port; that broker is one of this project, which knows no bridges in MQTT 3.1.1."""
    here, other = Here(), World(at_once=True)
    listener = MqttListener(other.broker)
    listening = listen_tcp("127.0.0.1:0")
    await listener.start(listening)
    try:
        yield here, listening.getsockname()[1]
    finally:
        await here.bridges.stop()
        await here.tasks.stop()
        here.broker.close()
        await listener.stop()


def bridge(port: int, topics: list[MqttBridgeTopic], version: str = "5", **fields: object) -> MqttBridge:
    document = {"name": "up", "address": f"127.0.0.1:{port}", "topics": topics, "version": version, **fields}
    return msgspec.convert(msgspec.to_builtins(document), MqttBridge)


def test_a_broker_that_knows_no_bridges_is_connected_to_unless_messages_would_come_back():
    async def main() -> None:
        async with sites() as (here, port):
            here.bridges.apply([bridge(port, APART, "3.1.1")])
            await here.until("connected")
            here.bridges.apply([bridge(port, BOTH, "3.1.1")])
            await here.until("waiting", "would come back", 'Set `version: "5"`')
            here.bridges.apply([bridge(port, BOTH)])
            await here.until("connected")

    asyncio.run(main())


def test_a_bridge_that_is_gone_takes_its_session_with_it_and_one_that_changes_keeps_it():
    async def main() -> None:
        async with sites() as (here, port):
            here.bridges.apply([bridge(port, APART)])
            await here.until("connected")
            session = here.broker.sessions.get("$bridge/up")
            here.bridges.apply([bridge(port, BOTH)])
            await here.until("connected")
            assert here.broker.sessions.get("$bridge/up") is session
            here.bridges.apply([])
            assert here.broker.sessions.get("$bridge/up") is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tls": {}}, "TLS"),
        ({"tls": {"ca": "/nowhere"}}, "a file of `tls` cannot be read"),
        ({"username": "u", "passwordFile": "/nowhere"}, "cannot read /nowhere: No such file"),
    ],
    ids=["no TLS there", "no CA here", "no password here"],
)
def test_what_keeps_it_from_connecting_is_said(fields, words):
    async def main() -> None:
        async with sites() as (here, port):
            here.bridges.apply([bridge(port, BOTH, **fields)])
            await here.until("waiting", "up to 127.0.0.1", words)

    asyncio.run(main())


def test_a_certificate_that_is_not_trusted_is_said(tmp_path: Path):
    async def main() -> None:
        certificate, key = TestCa("one").issue("broker").write(tmp_path, "broker")
        (tmp_path / "other.pem").write_bytes(TestCa("other").pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        here = Here()
        port = server.sockets[0].getsockname()[1]
        tls = MqttBridgeTls(ca=str(tmp_path / "other.pem"))
        here.bridges.apply([MqttBridge(name="up", address=f"127.0.0.1:{port}", topics=BOTH, tls=tls)])
        await here.until("waiting", "its certificate is not trusted for 127.0.0.1", "`tls.ca`")
        await here.bridges.stop()
        await here.tasks.stop()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
