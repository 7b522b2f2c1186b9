"""The hub's end of what gateways and hub say to each other over run/hub.sock (`control_messages`).

A gateway counts as connected once it has said which purges it knows, and it is told what it missed before anything else.
"""

import asyncio
import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.functions.confinement.seccomp import is_confined
from littoral.functions.connection import FrameConnection, check_socket_path
from littoral.gateway.cache.position import Position
from littoral.gateway.routes import RouteTable
from littoral.gateway.tracing import TraceAsk, TraceReport
from littoral.node.control_messages import (
    SOCKET,
    AppLines,
    AppLoads,
    ConfigChanged,
    FromGateway,
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
    decode_from_gateway,
    encode,
)
from littoral.node.egress_meters import EgressReport
from littoral.node.gateway_config import GatewayConfig, write_config
from littoral.node.inference_meters import InferenceReport
from littoral.node.purge_messages import CachedObject, Told
from littoral.node.replies import Replies

UNANSWERED_MOST = 1000
"""A gateway that has not answered so many orders hangs, and is let go of. Once it connects again it is told what it missed."""


class Workers(Protocol):
    """What starts workers: `littoral.functions.hub.runtime`."""

    def want(self, app: str, in_flight: int) -> None:
        """Requests wait for one, or there are too few."""
        ...

    def load(self, gateway: int, in_flight: Mapping[str, int]) -> None:
        """What one gateway has under way, by app."""
        ...

    def inline(self, app: str, gateway: int) -> tuple[str, bytes] | None:
        """The revision of an app that a gateway is to run in its own process, and how; None where it is not to."""
        ...

    def inline_lines(self, app: str, gateway: int, text: str) -> None:
        """What it wrote there."""
        ...

    def reachable(self) -> Iterable[tuple[str, list[int], bool]]:
        """Of each app that has workers or cannot have any: the slots where they are reached, and whether there can be none."""
        ...


class ControlServer:
    """The hub's end."""

    def __init__(
        self,
        run_dir: Path,
        on_kill_worker: Callable[[str, int], None],
        on_metrics: Callable[[GatewayReport], None],
        current_config: Callable[[], GatewayConfig],
        purges_since: Callable[[Position | None], Told],
        workers: Workers | None = None,
    ) -> None:
        """on_kill_worker: app and process id. on_metrics: totals of one gateway process; they begin at zero when `pid`
        changes. purges_since: what a gateway has to be told that knows the purges up to there."""
        self._run_dir = run_dir
        self._on_kill_worker = on_kill_worker
        self._on_metrics = on_metrics
        self._current_config = current_config
        self._purges_since = purges_since
        self._workers = workers
        self.on_egress: Callable[[EgressReport], None] = lambda report: None
        self.on_inference: Callable[[InferenceReport], None] = lambda report: None
        """Takes what the process counts that makes requests for functions."""
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

    def tell_workers(self, app: str, slots: list[int], failing: bool) -> None:
        """Tell every gateway where workers of an app are reached."""
        for gateway in (*self._opened, *self._gateways):
            gateway.send(encode(WorkersChanged(app, slots, failing)))

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
        if self._workers is not None:
            for app, slots, failing in self._workers.reachable():
                gateway.send(encode(WorkersChanged(app, slots, failing)))

    def lost(self, gateway: "_GatewayConnection") -> None:
        """A gateway is gone."""
        self._opened.discard(gateway)
        self._gateways.pop(gateway, None)

    def received(self, gateway: "_GatewayConnection", message: FromGateway) -> None:
        """A gateway says something."""
        match message:
            case KillWorker() | WorkerWanted() | AppLoads() | AppLines() | InlineWanted():
                self._of_workers(gateway, message)
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
            case EgressReport():
                self.on_egress(message)
            case InferenceReport():
                self.on_inference(message)

    def _of_workers(
        self, gateway: "_GatewayConnection", message: KillWorker | WorkerWanted | AppLoads | AppLines | InlineWanted
    ) -> None:
        match message:
            case KillWorker(app, pid):
                self._on_kill_worker(app, pid)
            case WorkerWanted(app, in_flight) if self._workers is not None:
                self._workers.want(app, in_flight)
            case AppLoads(index, loads) if self._workers is not None:
                self._workers.load(index, loads)
            case AppLines(index, app, text) if self._workers is not None:
                self._workers.inline_lines(app, index, text)
            case InlineWanted(index, app) if self._workers is not None:
                if (given := self._workers.inline(app, index)) is not None:
                    gateway.send(encode(InlineGiven(app, *given)))


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
        if is_confined(self.peer_pid()):
            # An app without a file system of its own finds this socket. It is told nothing.
            assert self.transport is not None
            self.transport.abort()
            return
        self._server.opened(self)

    def received(self, body: bytes) -> None:
        self._server.received(self, decode_from_gateway(body))

    def lost(self) -> None:
        self._server.lost(self)
        for replies in (*self._asked, *self._asked_apart.values()):
            replies.lost(self)
        self._asked.clear()
        self._asked_apart.clear()
