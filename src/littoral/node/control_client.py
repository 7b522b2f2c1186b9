"""A gateway's end of what gateways and hub say to each other over run/hub.sock (`control_messages`)."""

import asyncio
import contextlib
import itertools
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
from littoral.gateway.tracing import TraceAsk, TraceReport
from littoral.node.control_messages import (
    SOCKET,
    AppLines,
    AppLoads,
    ConfigChanged,
    FromGateway,
    FromHub,
    GatewayReport,
    InlineGiven,
    InlineWanted,
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
    WorkersChanged,
    WorkerWanted,
    decode_from_hub,
    encode,
)
from littoral.node.purge_messages import CachedObject, Told

T = TypeVar("T")

REPORT_S = 1.0
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 1.0
FIRST_WORD_S = 1.0
"""For so long a gateway that starts waits for a hub that is there: what it knows already it can serve meanwhile."""
LINES_UNSENT_BYTES = 1 << 18
"""More than that waits for the hub: what apps write must not fill this process."""
SHOWN_BYTES = CONTROL_FRAME_BYTES.default // 2
"""Of what a gateway holds of one URL: more may make no frame."""


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


class Functions(Protocol):
    """What calls workers: `littoral.functions.calls.client`."""

    def workers(self, app: str, slots: list[int], failing: bool) -> None:
        """Where workers of an app are reached."""
        ...

    def inline_given(self, app: str, revision: str, spec: bytes) -> None:
        """How to run a revision of an app in this process."""
        ...

    def loads(self) -> dict[str, int]:
        """The most requests that each app had under way since this was asked last."""
        ...

    def tell_anew(self) -> None:
        """The hub knows nothing of what was counted."""
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
        self.functions: Functions | None = None
        """What is told of workers, and asked how much they have to do."""
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

    def want_worker(self, app: str, in_flight: int) -> None:
        """Ask for a worker. While the hub is away nobody can; whoever waits asks again."""
        if self._connection is not None:
            self._connection.send(encode(WorkerWanted(app, in_flight)))

    def want_inline(self, index: int, app: str) -> None:
        """Ask how to run an app in this process. While the hub is away nobody knows; whoever needs it asks again."""
        if self._connection is not None:
            self._connection.send(encode(InlineWanted(index, app)))

    def say_lines(self, index: int, app: str, text: str) -> None:
        """Pass on what an app wrote that runs in this process. A hub that is away, or behind, goes without."""
        if self._connection is not None and self._connection.unwritten_bytes < LINES_UNSENT_BYTES:
            self._connection.send(encode(AppLines(index, app, text)))

    def opened(self, connection: "_HubConnection") -> None:
        """The hub is back."""
        if self.functions is not None:
            self.functions.tell_anew()
        connection.send(encode(PurgesKnown(self._caches.known)))

    def received(self, connection: "_HubConnection", message: FromHub) -> None:
        """The hub says something."""
        match message:
            case ConfigChanged():
                self._on_config()
                self._told.set()
            case WorkersChanged() | InlineGiven():
                self._tell_functions(message)
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

    def _tell_functions(self, message: WorkersChanged | InlineGiven) -> None:
        if self.functions is None:
            return
        if isinstance(message, WorkersChanged):
            self.functions.workers(message.app, message.slots, message.failing)
        else:
            self.functions.inline_given(message.app, message.revision, message.spec)

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
                report = self._report()
                self._connection.send(encode(report))
                if self.functions is not None and (loads := self.functions.loads()):
                    self._connection.send(encode(AppLoads(report.index, loads)))
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
