"""A broker on a thread of its own, with a plain listener and one for WebSocket: for clients on real sockets."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import msgspec
import uvloop

from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.mqtt import MqttListener
from littoral.drivers.mqtt_web_socket import WebSocketClient
from littoral.iot.access import LoginOnly
from littoral.iot.broker import Broker
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES

DEADLINE_S = 60.0
PACKET_MOST_BYTES = 1 << 20
SOCKET_BYTES = 32 * 1024
"""What the system holds for a client that does not read: little, so that it is seen soon."""

T = TypeVar("T")


def until(condition: Callable[[], object]) -> None:
    """Wait until it is so."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.005)


class BrokerThread:
    """Everything is stored at once, in a list."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stored: list[tuple[str, bytes]] = []
        """Topics and payloads of readings of QoS 1 and 2."""
        self.port = self.web_port = 0
        self.failures: list[BaseException] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    # Intake

    def route(self, topic):
        return None

    def store(self, records, order):
        future = asyncio.get_running_loop().create_future()
        self.stored += [tuple(msgspec.msgpack.decode(each)[:2]) for each in records]
        future.set_result(None)
        return future

    # The thread

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        tasks = Tasks(self.failures.append)
        self.broker = Broker(self, SystemClock(), self.limits, LoginOnly(lambda *_: True), tasks)
        listener = MqttListener(self.broker)
        plain, web = listen_tcp("127.0.0.1:0"), listen_tcp("127.0.0.1:0")
        self.port, self.web_port = plain.getsockname()[1], web.getsockname()[1]
        # Connections inherit it.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        await listener.start(plain)
        await listener.start(web, lambda of: WebSocketClient(of, path="/mqtt"))
        self._ready.set()
        await self._done.wait()
        await listener.stop()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    def stop(self) -> None:
        """Serve no more."""
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        assert self.failures == []

    def ask(self, question: Callable[[Broker], T]) -> T:
        """What the broker says, asked on its thread."""

        async def answer() -> T:
            return question(self.broker)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(DEADLINE_S)


@contextlib.contextmanager
def serving(**limits: int) -> Iterator[BrokerThread]:
    """A broker with these limits."""
    server = BrokerThread(Limits({name.replace("_", "-"): value for name, value in limits.items()}))
    server.start()
    try:
        yield server
    finally:
        server.stop()


class SocketClient:
    """A client on a socket that does only what a test says. Use as a context manager."""

    def __init__(self, port: int, level: int = MQTT_5) -> None:
        self.level = level
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(("127.0.0.1", port))
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def join(self, name: str, **properties) -> "SocketClient":
        """Connect, and read what the broker says to that."""
        asked = mqtt.Properties(**properties) if properties else NO_PROPERTIES
        self.sends(mqtt.Connect(name, True, 0, level=self.level, properties=asked))
        connack = self.next()
        assert isinstance(connack, mqtt.ConnAck)
        assert not connack.reason
        return self

    def sends(self, *packets: mqtt.Packet | bytes) -> "SocketClient":
        """Write to the socket; a broker that has closed it is no error here."""
        data = b"".join(each if isinstance(each, bytes) else mqtt.encode(each, self.level) for each in packets)
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)
        return self

    def next(self) -> Any:
        """The next packet; None where the connection has ended."""
        while True:
            head = mqtt.header(self._rest, 0, PACKET_MOST_BYTES, self.level) if len(self._rest) > 1 else None
            if head is not None and head[1] <= len(self._rest):
                body, end = head
                packet = mqtt.decode(self._rest[0], self._rest[body:end], self.level)
                self._rest = self._rest[end:]
                return packet
            try:
                data = self._socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self._rest += data

    def all(self) -> list[Any]:
        """Every packet until the end of the connection."""
        return list(iter(self.next, None))

    def is_there(self) -> bool:
        """Whether the broker answers."""
        self.sends(mqtt.PingReq())
        return self.next() == mqtt.PingResp()
