"""Gateways and hub talking over run/hub.sock.

gateway -> hub   PurgesKnown (first), GatewayReport (each second), KillWorker, Purged, Inspected
hub -> gateway   ConfigChanged: read run/gateway.msgpack again; Purge, Inspect: answered in the order in which they come

A gateway counts as connected once it has said which purges it knows, and it is told what it missed before anything else.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import msgspec

from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.core.tasks import Tasks
from littoral.functions.connection import FrameConnection, check_socket_path
from littoral.gateway.cache.purge import Purge
from littoral.gateway.meters import Meters
from littoral.gateway.routes import RouteTable
from littoral.node.gateway_config import GatewayConfig, write_config
from littoral.node.purge_desk import CachedObject, Position, Told
from littoral.node.replies import Replies

SOCKET = "hub.sock"
REPORT_S = 1.0
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 1.0
FIRST_WORD_S = 1.0
"""For so long a gateway that starts waits for a hub that is there: what it knows already it can serve meanwhile."""
UNANSWERED_MOST = 1000
"""A gateway that has not answered so many orders hangs, and is let go of. Once it connects again it is told what it missed."""
SHOWN_BYTES = CONTROL_FRAME_BYTES.default // 2
"""Of what a gateway holds of one URL: more may make no frame."""


class GatewayReport(msgspec.Struct, array_like=True, frozen=True, tag="report"):
    """What a gateway counted since it started."""

    index: int
    pid: int
    meters: Meters


class KillWorker(msgspec.Struct, array_like=True, frozen=True, tag="kill"):
    """A worker does not let go of a request that is past its deadline."""

    app: str
    pid: int


class PurgesKnown(msgspec.Struct, array_like=True, frozen=True, tag="known"):
    """What a gateway that has connected knows of the node's purges; None: nothing."""

    position: Position | None


class Purged(msgspec.Struct, array_like=True, frozen=True, tag="purged"):
    """Purges are done: how many objects each was meant for."""

    objects: list[int]


class Inspected(msgspec.Struct, array_like=True, frozen=True, tag="inspected"):
    """What a gateway holds of a URL."""

    objects: list[CachedObject]


class PurgeOrder(msgspec.Struct, array_like=True, frozen=True, tag="purge"):
    """Purges that the gateway has not heard of."""

    told: Told


class InspectOrder(msgspec.Struct, array_like=True, frozen=True, tag="inspect"):
    """Say what is held of a URL."""

    url: str


class ConfigChanged(msgspec.Struct, array_like=True, frozen=True, tag="config"):
    """There is another configuration."""


FromGateway = GatewayReport | KillWorker | PurgesKnown | Purged | Inspected
FromHub = ConfigChanged | PurgeOrder | InspectOrder

_encode = msgspec.msgpack.Encoder().encode
_decode_from_gateway = msgspec.msgpack.Decoder(FromGateway).decode
_decode_from_hub = msgspec.msgpack.Decoder(FromHub).decode


class ControlServer:
    """The hub's end."""

    def __init__(
        self,
        run_dir: Path,
        on_kill_worker: Callable[[str, int], None],
        on_metrics: Callable[[GatewayReport], None],
        current_config: Callable[[], GatewayConfig],
        purges_since: Callable[[Position | None], Told],
    ) -> None:
        """on_kill_worker: app and process id. on_metrics: totals of one gateway process; they begin at zero when `pid`
        changes. purges_since: what a gateway has to be told that knows the purges up to there."""
        self._run_dir = run_dir
        self._on_kill_worker = on_kill_worker
        self._on_metrics = on_metrics
        self._current_config = current_config
        self._purges_since = purges_since
        self._opened: set[_GatewayConnection] = set()
        """Those that have not said yet what they know."""
        self._gateways: dict[_GatewayConnection, None] = {}
        self._server: asyncio.AbstractServer | None = None

    @property
    def gateways(self) -> int:
        """Gateways that are connected."""
        return len(self._gateways)

    async def start(self) -> None:
        """Write the configuration, and listen. Raises StartupError where the socket's path is too long."""
        path = check_socket_path(self._run_dir / SOCKET)
        self.publish()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _GatewayConnection(self), path)
        os.chmod(path, 0o600)

    def publish(self) -> None:
        """Write the current configuration, and tell every gateway. Raises Conflict where two apps claim one route;
        gateways then go on with what they have."""
        config = self._current_config()
        RouteTable(config.routes)
        write_config(self._run_dir, config)
        for gateway in (*self._opened, *self._gateways):
            gateway.send(_encode(ConfigChanged()))

    def purge(self, told: Told) -> Replies[list[int]]:
        """See `littoral.node.purge_desk.Caches`."""
        replies: Replies[list[int]] = Replies(self._gateways)
        for gateway in list(self._gateways):
            gateway.ask(_encode(PurgeOrder(told)), replies)
        return replies

    def inspect(self, url: str) -> Replies[list[CachedObject]]:
        """See `littoral.node.purge_desk.Caches`."""
        replies: Replies[list[CachedObject]] = Replies(self._gateways)
        for gateway in list(self._gateways):
            gateway.ask(_encode(InspectOrder(url)), replies)
        return replies

    async def stop(self) -> None:
        """Close; gateways go on with what they know, and connect again."""
        if self._server is not None:
            self._server.close()
        for gateway in (*self._opened, *self._gateways):
            gateway.close()

    def opened(self, gateway: "_GatewayConnection") -> None:
        """A gateway connected. It may have read the file before it was written last."""
        self._opened.add(gateway)
        gateway.send(_encode(ConfigChanged()))

    def lost(self, gateway: "_GatewayConnection") -> None:
        """A gateway is gone."""
        self._opened.discard(gateway)
        self._gateways.pop(gateway, None)

    def received(self, gateway: "_GatewayConnection", message: FromGateway) -> None:
        """A gateway says something."""
        match message:
            case KillWorker(app, pid):
                self._on_kill_worker(app, pid)
            case PurgesKnown(position):
                self._opened.discard(gateway)
                self._gateways[gateway] = None
                # Whatever comes into the stream from now on it is told with the others.
                gateway.ask(_encode(PurgeOrder(self._purges_since(position))), Replies[list[int]]())
            case Purged(objects):
                gateway.answered(objects)
            case Inspected(held):
                gateway.answered(held)
            case GatewayReport():
                self._on_metrics(message)


class _GatewayConnection(FrameConnection):
    def __init__(self, server: ControlServer) -> None:
        super().__init__(CONTROL_FRAME_BYTES.default)
        self._server = server
        self._asked: deque[Replies[Any]] = deque()
        """Orders without an answer, in order."""

    def ask(self, order: bytes, replies: Replies[Any]) -> None:
        """Send what is answered."""
        if len(self._asked) >= UNANSWERED_MOST:
            replies.lost(self)
            assert self.transport is not None
            self.transport.abort()
            return
        self._asked.append(replies)
        self.send(order)

    def answered(self, answer: object) -> None:
        """To the first of the orders. Raises ValueError if there is none."""
        if not self._asked:
            raise ValueError("answer to nothing")
        self._asked.popleft().say(self, answer)

    def opened(self) -> None:
        self._server.opened(self)

    def received(self, body: bytes) -> None:
        self._server.received(self, _decode_from_gateway(body))

    def lost(self) -> None:
        self._server.lost(self)
        while self._asked:
            self._asked.popleft().lost(self)


class GatewayCaches(Protocol):
    """What a gateway process has stored."""

    def purge(self, purge: Purge) -> int:
        """Returns how many objects it was meant for."""
        ...

    def inspect(self, url: str) -> list[CachedObject]:
        """What is held of a URL. Raises InvalidInput."""
        ...


class ControlClient:
    """A gateway's end: reports each second, and connects again whenever the hub is back."""

    def __init__(
        self,
        run_dir: Path,
        report: Callable[[], GatewayReport],
        on_config: Callable[[], None],
        caches: GatewayCaches,
        tasks: Tasks,
    ) -> None:
        """caches: what is purged and looked into."""
        self._path = check_socket_path(run_dir / SOCKET)
        self._report = report
        self._on_config = on_config
        self._caches = caches
        self._known: Position | None = None
        """Up to where the node's purges are done here."""
        self._tasks = tasks
        self._connection: _HubConnection | None = None
        self._told = asyncio.Event()
        """Set once the hub has told of a configuration."""

    async def start(self) -> None:
        """Connect, and begin to report. Returns once the hub has said that there is a configuration, and so the newest was
        taken: who serves before that may answer by an older one. A hub that is away, or says nothing, is not waited for."""
        with contextlib.suppress(OSError, TimeoutError):
            await self._connect()
            async with asyncio.timeout(FIRST_WORD_S):
                await self._told.wait()
        self._tasks.start(self._keep_reporting(), "report to hub")

    async def _connect(self) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_unix_connection(lambda: _HubConnection(self), self._path)

    def kill_worker(self, app: str, pid: int) -> None:
        """Ask for a worker to be killed. While the hub is away nobody can; the next request past its deadline asks
        again."""
        if self._connection is not None:
            self._connection.send(_encode(KillWorker(app, pid)))

    def opened(self, connection: "_HubConnection") -> None:
        """The hub is back."""
        connection.send(_encode(PurgesKnown(self._known)))

    def received(self, connection: "_HubConnection", message: FromHub) -> None:
        """The hub says something."""
        match message:
            case ConfigChanged():
                self._on_config()
                self._told.set()
            case PurgeOrder(told):
                done = [self._caches.purge(purge) for purge in told.purges]
                self._known = told.until
                connection.send(_encode(Purged(done)))
            case InspectOrder(url):
                connection.send(_encode(Inspected(_shown(self._caches.inspect(url)))))

    def lost(self) -> None:
        """The hub is gone."""
        self._connection = None

    async def _keep_reporting(self) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            if self._connection is not None:
                self._connection.send(_encode(self._report()))
                await asyncio.sleep(REPORT_S)
                continue
            try:
                await self._connect()
                delay_s = FIRST_RETRY_S
            except OSError:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)


def _shown(objects: Sequence[CachedObject]) -> list[CachedObject]:
    """As many as go into a frame."""
    sizes = accumulate(len(_encode(each)) for each in objects)
    return [each for each, size in zip(objects, sizes, strict=True) if size <= SHOWN_BYTES]


class _HubConnection(FrameConnection):
    def __init__(self, client: ControlClient) -> None:
        super().__init__(CONTROL_FRAME_BYTES.default)
        self._client = client

    def opened(self) -> None:
        self._client.opened(self)

    def received(self, body: bytes) -> None:
        self._client.received(self, _decode_from_hub(body))

    def lost(self) -> None:
        self._client.lost()
