"""Gateways and hub talking over run/hub.sock.

gateway -> hub   PurgesKnown (first), GatewayReport (each second), KillWorker, Purged, Inspected, Top, Traced
hub -> gateway   ConfigChanged: read run/gateway.msgpack again; Purge, Inspect: answered in the order in which they come;
                 TopOrder, TraceOrder: answered, by their numbers, once the gateway has found time for it

A gateway counts as connected once it has said which purges it knows, and it is told what it missed before anything else.
"""

import asyncio
import contextlib
import itertools
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.core.tasks import Tasks
from littoral.functions.connection import FrameConnection, check_socket_path
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge
from littoral.gateway.routes import RouteTable
from littoral.gateway.tracing import TraceAsk, TraceReport
from littoral.node.control_messages import (
    ConfigChanged,
    FromGateway,
    FromHub,
    GatewayReport,
    Inspected,
    InspectOrder,
    KillWorker,
    Purged,
    PurgeOrder,
    PurgesKnown,
    Top,
    TopOrder,
    Traced,
    TraceOrder,
    decode_from_gateway,
    decode_from_hub,
    encode,
)
from littoral.node.gateway_config import GatewayConfig, write_config
from littoral.node.purge_desk import CachedObject, Told
from littoral.node.replies import Replies

T = TypeVar("T")

SOCKET = "hub.sock"
REPORT_S = 1.0
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 1.0
FIRST_WORD_S = 1.0
"""For so long a gateway that starts waits for a hub that is there: what it knows already it can serve meanwhile."""
UNANSWERED_MOST = 1000
"""A gateway that has not answered so many orders hangs, and is let go of. Once it connects again it is told what it missed."""
SHOWN_BYTES = CONTROL_FRAME_BYTES.default // 2
"""Of what a gateway holds of one URL: more may make no frame."""


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
        self._numbers = itertools.count()
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
            gateway.send(encode(ConfigChanged()))

    def purge(self, told: Told) -> Replies[list[int]]:
        """See `littoral.node.purge_desk.Caches`."""
        replies: Replies[list[int]] = Replies(self._gateways)
        for gateway in list(self._gateways):
            gateway.ask(encode(PurgeOrder(told)), replies)
        return replies

    def inspect(self, url: str) -> Replies[list[CachedObject]]:
        """See `littoral.node.purge_desk.Caches`."""
        replies: Replies[list[CachedObject]] = Replies(self._gateways)
        for gateway in list(self._gateways):
            gateway.ask(encode(InspectOrder(url)), replies)
        return replies

    def top(self, count: int) -> Replies[list[CachedObject]]:
        """See `littoral.node.purge_desk.Caches`."""
        order = TopOrder(next(self._numbers), count)
        replies: Replies[list[CachedObject]] = Replies(self._gateways)
        for gateway in list(self._gateways):
            gateway.ask_apart(order.number, encode(order), replies)
        return replies

    def trace(self, ask: TraceAsk) -> Replies[TraceReport]:
        """See `littoral.node.trace_desk.Gateways`: of one, whichever was connected first."""
        chosen = list(self._gateways)[:1]
        order = TraceOrder(next(self._numbers), ask)
        replies: Replies[TraceReport] = Replies(chosen)
        for gateway in chosen:
            gateway.ask_apart(order.number, encode(order), replies)
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
        gateway.send(encode(ConfigChanged()))

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
                gateway.ask(encode(PurgeOrder(self._purges_since(position))), Replies[list[int]]())
            case Purged(objects):
                gateway.answered(objects)
            case Inspected(held):
                gateway.answered(held)
            case Top(number, answer) | Traced(number, answer):
                gateway.answered_apart(number, answer)
            case GatewayReport():
                self._on_metrics(message)


class _GatewayConnection(FrameConnection):
    def __init__(self, server: ControlServer) -> None:
        super().__init__(CONTROL_FRAME_BYTES.default)
        self._server = server
        self._asked: deque[Replies[Any]] = deque()
        """Orders without an answer, in order."""
        self._asked_apart: dict[int, Replies[Any]] = {}
        """Those that are answered when there is time for it, by their numbers."""

    def ask(self, order: bytes, replies: Replies[Any]) -> None:
        """Send what is answered."""
        if self._may_ask(replies):
            self._asked.append(replies)
            self.send(order)

    def ask_apart(self, number: int, order: bytes, replies: Replies[Any]) -> None:
        """Send what is answered after what is sent later, perhaps."""
        if self._may_ask(replies):
            self._asked_apart[number] = replies
            self.send(order)

    def _may_ask(self, replies: Replies[Any]) -> bool:
        """Whether it answers as it should; else it is let go of."""
        if len(self._asked) + len(self._asked_apart) < UNANSWERED_MOST:
            return True
        replies.lost(self)
        assert self.transport is not None
        self.transport.abort()
        return False

    def answered(self, answer: object) -> None:
        """To the first of the orders. Raises ValueError if there is none."""
        if not self._asked:
            raise ValueError("answer to nothing")
        self._asked.popleft().say(self, answer)

    def answered_apart(self, number: int, answer: object) -> None:
        """To an order with a number. Raises ValueError if there is none."""
        replies = self._asked_apart.pop(number, None)
        if replies is None:
            raise ValueError("answer to nothing")
        replies.say(self, answer)

    def opened(self) -> None:
        self._server.opened(self)

    def received(self, body: bytes) -> None:
        self._server.received(self, decode_from_gateway(body))

    def lost(self) -> None:
        self._server.lost(self)
        for replies in (*self._asked, *self._asked_apart.values()):
            replies.lost(self)
        self._asked.clear()
        self._asked_apart.clear()


class GatewayCaches(Protocol):
    """What a gateway process has stored."""

    known: Position | None
    """Up to where the node's purges are done there; None: nobody knows."""

    def purge(self, purges: Sequence[Purge], until: Position) -> list[int] | Awaitable[list[int]]:
        """Do these, up to `until`; what they are meant for is given no more when this returns. Returns how many objects each was
        meant for, once it may be said that they are done."""
        ...

    def inspect(self, url: str) -> list[CachedObject]:
        """What is held of a URL. Raises InvalidInput."""
        ...

    async def top(self, count: int) -> list[CachedObject]:
        """What was given most often."""
        ...


class Neighbours(Protocol):
    """What goes on between this gateway and those of the nodes above and below: it depends on which purges are done here."""

    def ordered(self, told: Told) -> None:
        """These are about to be done."""
        ...

    def done(self, until: Position) -> None:
        """All up to there are."""
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
        neighbours: Neighbours | None = None,
        *,
        trace: Callable[[TraceAsk], Awaitable[TraceReport]],
    ) -> None:
        """caches: what is purged and looked into. neighbours: who else is told of purges. trace: makes a request."""
        self._trace = trace
        self._neighbours = neighbours
        self._path = check_socket_path(run_dir / SOCKET)
        self._report = report
        self._on_config = on_config
        self._caches = caches
        self._tasks = tasks
        self._connection: _HubConnection | None = None
        self._told = asyncio.Event()
        """Set once the hub has told of a configuration."""
        self._purged = asyncio.Event()
        """Set once all was purged that the hub knows of."""

    async def start(self) -> None:
        """Connect, and begin to report. Returns once the hub has said that there is a configuration, and so the newest was
        taken: who serves before that may answer by an older one; and once all is purged that was purged meanwhile: before that
        nothing is given that was stored by others. A hub that is away, or says nothing, is not waited for."""
        with contextlib.suppress(OSError, TimeoutError):
            await self._connect()
            async with asyncio.timeout(FIRST_WORD_S):
                await self._told.wait()
                await self._purged.wait()
        self._tasks.start(self._keep_reporting(), "report to hub")

    async def _connect(self) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_unix_connection(lambda: _HubConnection(self, self._tasks), self._path)

    def kill_worker(self, app: str, pid: int) -> None:
        """Ask for a worker to be killed. While the hub is away nobody can; the next request past its deadline asks
        again."""
        if self._connection is not None:
            self._connection.send(encode(KillWorker(app, pid)))

    def opened(self, connection: "_HubConnection") -> None:
        """The hub is back."""
        connection.send(encode(PurgesKnown(self._caches.known)))

    def received(self, connection: "_HubConnection", message: FromHub) -> None:
        """The hub says something."""
        match message:
            case ConfigChanged():
                self._on_config()
                self._told.set()
            case PurgeOrder(told):
                if self._neighbours is not None:
                    self._neighbours.ordered(told)
                done = self._caches.purge(told.purges, told.until)
                connection.answer(done, partial(self._confirmed, told.until))
            case InspectOrder(url):
                connection.answer(_shown(self._caches.inspect(url)), Inspected)
            case TopOrder():
                self._tasks.start(self._say_top(connection, message), "top objects")
            case TraceOrder():
                self._tasks.start(self._say_traced(connection, message), "trace")

    def _confirmed(self, until: Position, counts: list[int]) -> Purged:
        if self._neighbours is not None:
            self._neighbours.done(until)
        self._purged.set()
        return Purged(counts)

    async def _say_top(self, connection: "_HubConnection", order: TopOrder) -> None:
        objects = await self._caches.top(order.count)
        if connection is self._connection:
            connection.send(encode(Top(order.number, _shown(objects))))

    async def _say_traced(self, connection: "_HubConnection", order: TraceOrder) -> None:
        report = await self._trace(order.ask)
        if connection is self._connection:
            connection.send(encode(Traced(order.number, report)))

    def lost(self) -> None:
        """The hub is gone."""
        self._connection = None

    async def _keep_reporting(self) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            if self._connection is not None:
                self._connection.send(encode(self._report()))
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
    sizes = itertools.accumulate(len(encode(each)) for each in objects)
    return [each for each, size in zip(objects, sizes, strict=True) if size <= SHOWN_BYTES]


class _HubConnection(FrameConnection):
    def __init__(self, client: ControlClient, tasks: Tasks) -> None:
        super().__init__(CONTROL_FRAME_BYTES.default)
        self._client = client
        self._tasks = tasks
        self._answers: deque[tuple[Any, Callable[[Any], FromGateway]]] = deque()
        """What is to be answered, in order; the first is waited for."""

    def answer(self, found: T | Awaitable[T], say: Callable[[T], FromGateway]) -> None:
        """Say what was found, once it was, and all that was asked for before is answered."""
        if self._answers or isinstance(found, Awaitable):
            self._answers.append((found, say))
            if len(self._answers) == 1:
                self._tasks.start(self._keep_answering(), "answer hub")
        else:
            self.send(encode(say(found)))

    async def _keep_answering(self) -> None:
        while self._answers:
            found, say = self._answers[0]
            self.send(encode(say(await found if isinstance(found, Awaitable) else found)))
            self._answers.popleft()

    def opened(self) -> None:
        self._client.opened(self)

    def received(self, body: bytes) -> None:
        self._client.received(self, decode_from_hub(body))

    def lost(self) -> None:
        self._client.lost()
