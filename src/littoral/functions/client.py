"""A gateway's side of functions: requests to the workers of an app, pipelined over one connection to each.

What becomes of a request:

    the worker answers               its response, or the error for what the worker says went wrong
    the deadline passes              TimedOut at once; the worker is told to cancel, and is killed by the hub if it
                                     has not let go of the request FUNCTION_GRACE_MS later
    the worker dies                  GET and HEAD are asked once more of another worker, unless the request was the
                                     only one this gateway had there: then it is the likely cause, unless the worker
                                     was to be killed for another; all else is BadGateway
    no worker                        waits FUNCTION_WAIT_MS for one, then Unavailable
    every worker is at its limit     Unavailable
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from littoral.core.errors import BadGateway, FunctionFailed, LittoralError, TimedOut, Unavailable
from littoral.core.limits import (
    FUNCTION_BODY_BYTES,
    FUNCTION_GRACE_MS,
    FUNCTION_INFLIGHT,
    FUNCTION_WAIT_MS,
    Limits,
)
from littoral.core.tasks import Tasks
from littoral.functions.connection import FrameConnection
from littoral.functions.messages import FRAME_OVERHEAD_BYTES, Answer, AnswerError, Call

FIRST_RETRY_S, LAST_RETRY_S = 0.002, 0.25
REPEATABLE = frozenset({"GET", "HEAD"})

_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class FunctionTarget(Struct, frozen=True):
    """Where an app's workers are reached."""

    app: str
    sockets: list[str]
    wall_ms: int
    """The most a request may take."""


class FunctionRequest(Struct, frozen=True, gc=False):
    """What an app is asked."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    request_id: str


class _WorkerLost(Exception):
    """The worker died with the request in hand. `alone`: it held no other."""

    def __init__(self, alone: bool) -> None:
        super().__init__(alone)
        self.alone = alone


class FunctionClients:
    """The apps that a gateway can call. Safe to configure while requests are under way."""

    def __init__(self, kill: Callable[[str, int], None], tasks: Tasks) -> None:
        """kill: asks the hub to kill the worker of an app with this process id. tasks: runs what keeps connecting."""
        self._kill = kill
        self._tasks = tasks
        self._clients: dict[str, FunctionClient] = {}

    def configure(self, targets: Iterable[FunctionTarget], limits: Limits) -> None:
        """Know exactly these apps."""
        wanted = {target.app: target for target in targets}
        for app in self._clients.keys() - wanted.keys():
            self._clients.pop(app).stop()
        for app, target in wanted.items():
            client = self._clients.get(app)
            if client is None:
                client = self._clients[app] = FunctionClient(app, self._kill, self._tasks)
            client.configure(target, limits)

    async def call(self, app: str, request: FunctionRequest) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the app's response. Raises: FunctionFailed, BadGateway, TimedOut, Unavailable."""
        client = self._clients.get(app)
        if client is None:
            raise Unavailable("call app", app, "it is not running at this node", "Try again in a moment")
        answer = await client.call(request)
        return answer.status, answer.headers, answer.body

    def stop(self) -> None:
        """Close every connection once its requests are answered."""
        for client in self._clients.values():
            client.stop()
        self._clients.clear()


class FunctionClient:
    """One app's workers as a gateway sees them."""

    def __init__(self, app: str, kill: Callable[[str, int], None], tasks: Tasks) -> None:
        self.app = app
        self.limits = Limits()
        self._kill = kill
        self._tasks = tasks
        self._wall_s = 1.0
        self._links: dict[str, _WorkerLink] = {}
        self._waiting: dict[asyncio.Future[None], None] = {}
        """Requests without a worker, in order of arrival."""
        self._loop = asyncio.get_running_loop()

    def configure(self, target: FunctionTarget, limits: Limits) -> None:
        """Follow the app's sockets and limits; connections to workers that are gone end after their requests."""
        self.limits = limits
        self._wall_s = target.wall_ms / 1000
        for path in self._links.keys() - set(target.sockets):
            self._links.pop(path).close()
        for path in target.sockets:
            if path not in self._links:
                self._links[path] = _WorkerLink(self, path, self._tasks)

    def stop(self) -> None:
        """Close every connection once its requests are answered."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    async def call(self, request: FunctionRequest) -> Answer:
        """The app's response. Raises as FunctionClients.call."""
        deadline = self._loop.time() + self._wall_s
        again = request.method in REPEATABLE
        while True:
            connection = self._pick() or await self._wait(deadline)
            try:
                answer = await connection.ask(request, deadline)
            except _WorkerLost as lost:
                if again and not lost.alone:
                    again = False
                    continue
                raise BadGateway(
                    "call app", self.app, "its worker died while it handled the request", "The node's log has more"
                ) from None
            if answer.error:
                raise self._error(answer.error)
            return answer

    def kill(self, pid: int) -> None:
        """A worker did not let go of a request."""
        self.limits.hit(FUNCTION_GRACE_MS)
        self._kill(self.app, pid)

    def available(self) -> None:
        """A worker can be reached again."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def timed_out(self) -> TimedOut:
        """The error of a request that is past its deadline."""
        return TimedOut("call app", self.app, f"it did not answer within {self._wall_s * 1000:.0f} ms")

    def _pick(self) -> "_WorkerConnection | None":
        best: _WorkerConnection | None = None
        for link in self._links.values():
            connection = link.connection
            if connection is not None and (best is None or len(connection.pending) < len(best.pending)):
                best = connection
        if best is not None and len(best.pending) >= self.limits[FUNCTION_INFLIGHT]:
            raise self._overloaded()
        return best

    async def _wait(self, deadline: float) -> "_WorkerConnection":
        if len(self._waiting) >= self.limits[FUNCTION_INFLIGHT]:
            raise self._overloaded()
        patience = min(deadline, self._loop.time() + self.limits[FUNCTION_WAIT_MS] / 1000)
        while (connection := self._pick()) is None:
            waiting: asyncio.Future[None] = self._loop.create_future()
            self._waiting[waiting] = None
            try:
                async with asyncio.timeout_at(patience):
                    await waiting
            except TimeoutError:
                self.limits.hit(FUNCTION_WAIT_MS)
                raise Unavailable(
                    "call app", self.app, "none of its workers is running", "Try again; the node's log has the reason"
                ) from None
            finally:
                del self._waiting[waiting]
        return connection

    def _overloaded(self) -> Unavailable:
        self.limits.hit(FUNCTION_INFLIGHT)
        return Unavailable("call app", self.app, "every worker has as many requests as it takes", "Try again later")

    def _error(self, error: AnswerError) -> LittoralError:
        if error in ("timeout", "cancelled"):
            return self.timed_out()
        if error == "overload":
            return self._overloaded()
        causes = {
            "exception": "its code raised an exception",
            "memory": "it ran into its memory limit",
            "invalid": "its code returned something that is no Response",
            "too-large": "its response is too large",
        }
        return FunctionFailed("call app", self.app, causes[error], "The node's log has the details")


class _WorkerLink:
    """Keeps a connection to whichever worker serves at one path."""

    def __init__(self, client: FunctionClient, path: str, tasks: Tasks) -> None:
        self.client = client
        self.connection: _WorkerConnection | None = None
        self._path = path
        self._tasks = tasks
        self._closed = False
        self._connect()

    def close(self) -> None:
        """Send nothing more; the connection closes when its requests are answered."""
        self._closed = True
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.leave()

    def lost(self, connection: "_WorkerConnection") -> None:
        """The connection broke, or its worker is leaving."""
        if self.connection is connection:
            self.connection = None
            self._connect()

    def _connect(self) -> None:
        if not self._closed:
            self._tasks.start(self._keep_connecting(), f"connect to {self._path}")

    async def _keep_connecting(self) -> None:
        delay_s = FIRST_RETRY_S
        loop = asyncio.get_running_loop()
        while not self._closed:
            try:
                _, connection = await loop.create_unix_connection(lambda: _WorkerConnection(self), self._path)
            except OSError:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)
                continue
            if self._took(connection):
                return

    def _took(self, connection: "_WorkerConnection") -> bool:
        """Use the new connection; False if it is broken already."""
        if self._closed:
            connection.leave()
        elif connection.gone:
            return False
        else:
            self.connection = connection
            self.client.available()
        return True


class _WorkerConnection(FrameConnection):
    """One connection to one worker."""

    def __init__(self, link: _WorkerLink) -> None:
        super().__init__(link.client.limits[FUNCTION_BODY_BYTES] + FRAME_OVERHEAD_BYTES)
        self._link = link
        self._ids = itertools.count(1)
        self._overdue: set[int] = set()
        self._leaving = False
        self._pid = 0
        self._condemned = False
        self.gone = False
        self.pending: dict[int, asyncio.Future[Answer]] = {}

    def opened(self) -> None:
        self._pid = self.peer_pid()

    async def ask(self, request: FunctionRequest, deadline: float) -> Answer:
        """The worker's answer. Raises: TimedOut, _WorkerLost."""
        number = next(self._ids)
        left_ms = int((deadline - self.loop.time()) * 1000)
        if left_ms <= 0:
            raise self._link.client.timed_out()
        future: asyncio.Future[Answer] = self.loop.create_future()
        self.pending[number] = future
        self.send(
            _encode(
                Call(number, request.method, request.url, request.headers, request.body, left_ms, request.request_id)
            )
        )
        timer = self.loop.call_at(deadline, self._expire, number)
        try:
            return await future
        finally:
            timer.cancel()
            if self.pending.pop(number, None) is not None and future.cancelled():
                self._cancel(number)

    def leave(self) -> None:
        """Close once every request is answered."""
        self._leaving = True
        self._close_if_done()

    def received(self, body: bytes) -> None:
        answer = _decode_answer(body)
        future = self.pending.pop(answer.id, None)
        if future is not None:
            if not future.done():
                future.set_result(answer)
        elif answer.id == 0:
            self._leaving = True
            self._link.lost(self)
        else:
            self._overdue.discard(answer.id)
        if self._leaving:
            self._close_if_done()

    def lost(self) -> None:
        self.gone = True
        self._link.lost(self)
        pending, self.pending = self.pending, {}
        self._overdue.clear()
        alone = len(pending) == 1 and not self._condemned
        for future in pending.values():
            if not future.done():
                future.set_exception(_WorkerLost(alone))

    def _close_if_done(self) -> None:
        if not self.pending and not self._overdue:
            self.close()

    def _expire(self, number: int) -> None:
        future = self.pending.pop(number, None)
        if future is not None and not future.done():
            future.set_exception(self._link.client.timed_out())
            self._cancel(number)

    def _cancel(self, number: int) -> None:
        if self.gone:
            return
        self._overdue.add(number)
        self.send(_encode(Call(number, "")))
        grace_s = self._link.client.limits[FUNCTION_GRACE_MS] / 1000
        self.loop.call_later(grace_s, self._give_up, number)

    def _give_up(self, number: int) -> None:
        if number in self._overdue:
            # One order is enough, whatever else is overdue: the connection's end clears the rest.
            self._overdue.clear()
            self._condemned = True
            self._link.client.kill(self._pid)
