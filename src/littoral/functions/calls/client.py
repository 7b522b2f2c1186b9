"""A gateway's side of functions: requests to the workers of an app, pipelined over one connection to each.

What becomes of a request:

    the worker answers               its response, or the error for what the worker says went wrong. From the head of a
                                     response on, its body is the caller's to read (`FunctionStream`)
    the deadline passes              TimedOut at once; the worker is told to cancel, and is killed by the hub if it
                                     has not let go of the request FUNCTION_GRACE_MS later
    the worker dies                  GET and HEAD are asked once more of another worker, unless the request was the
                                     only one this gateway had there: then it is the likely cause, unless the worker
                                     was to be killed for another; all else is BadGateway
    no worker                        the hub is asked for one; waits FUNCTION_WAIT_MS for it, then Unavailable: at once
                                     where the hub says that none can be started. Its wall time begins after that
    every worker is at its limit     Unavailable
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from littoral.core.errors import FunctionFailed, LittoralError, TimedOut, TooLarge, Unavailable
from littoral.core.function_limits import (
    FUNCTION_BODY_BYTES,
    FUNCTION_BUSY,
    FUNCTION_CPU_MS,
    FUNCTION_GRACE_MS,
    FUNCTION_INFLIGHT,
    FUNCTION_WAIT_MS,
)
from littoral.core.limits import Limits
from littoral.core.resources.app_assets import Assets
from littoral.core.tasks import Tasks
from littoral.functions.calls.asked import OVERLOADED, Asked, Asking
from littoral.functions.calls.function_request import FunctionRequest
from littoral.functions.calls.function_stream import FunctionStream
from littoral.functions.calls.worker_connection import Reply, WorkerConnection
from littoral.functions.calls.worker_link import WorkerLink
from littoral.functions.messages import Answer, AnswerError
from littoral.functions.meters import UNKNOWN, Failure, FunctionMeter, Revisions, meter_of

__all__ = ["FunctionClient", "FunctionClients", "FunctionRequest", "FunctionStream", "FunctionTarget"]

APPS_TOLD = 250
"""Apps whose figures are told at a time: with all their revisions a fraction of a frame. Others follow a second later."""
WANT_S = 0.05
"""How often the hub is told that there are not enough workers."""


class FunctionTarget(Struct, frozen=True):
    """Where an app's workers are reached."""

    app: str
    sockets: list[str]
    wall_ms: int
    """The most a request may take."""
    assets: Assets | None = None
    """Its files; their directory is absolute."""
    inline: str = ""
    """The revision that gateways run in their own processes; empty where workers answer."""


class FunctionClients:
    """The apps that a gateway can call. Safe to configure while requests are under way."""

    def __init__(
        self, kill: Callable[[str, int], None], tasks: Tasks, want: Callable[[str, int], None] = lambda app, count: None
    ) -> None:
        """kill: asks the hub to kill the worker of an app with this process id. tasks: runs what keeps connecting. want: tells the
        hub that an app has so many requests, and not the workers for them."""
        self._kill = kill
        self._tasks = tasks
        self._want = want
        self._clients: dict[str, FunctionClient] = {}
        self._told: dict[str, int] = {}
        """What was counted of apps when it was told last."""

    def configure(self, targets: Iterable[FunctionTarget], limits: Limits) -> None:
        """Know exactly these apps."""
        wanted = {target.app: target for target in targets}
        for app in self._clients.keys() - wanted.keys():
            client = self._clients.pop(app)
            client.give_up()
            client.stop()
            self._told.pop(app, None)
        for app, target in wanted.items():
            if app not in self._clients:
                self._clients[app] = self._new_client(target)
            self._clients[app].configure(target, limits)

    def _new_client(self, target: FunctionTarget) -> "FunctionClient":
        return FunctionClient(target.app, self._kill, self._tasks, self._want)

    def workers(self, app: str, slots: list[int], failing: bool) -> None:
        """The hub tells which slots of an app have a worker. failing: none has, and none can be started for now."""
        if (client := self._clients.get(app)) is not None:
            client.workers(slots, failing)

    def loads(self) -> dict[str, int]:
        """The most requests each app had in flight since this was asked last; apps without any are left out."""
        return {app: load for app, client in self._clients.items() if (load := client.take_load())}

    def meters(self) -> Mapping[str, Revisions]:
        """What is counted, of each app that was called."""
        return {app: client.revisions for app, client in self._clients.items() if client.revisions}

    def news(self) -> dict[str, Revisions]:
        """What is counted of those apps of which it has changed since it was told; of some of them, the others being next."""
        found: dict[str, Revisions] = {}
        for app, client in self._clients.items():
            if self._told.get(app, 0) != (count := client.counted):
                self._told[app] = count
                found[app] = client.revisions
                if len(found) == APPS_TOLD:
                    break
        return found

    def tell_anew(self) -> None:
        """Whoever was told knows nothing any more."""
        self._told.clear()

    async def call(
        self, app: str, request: FunctionRequest
    ) -> tuple[int, list[tuple[str, str]], bytes | FunctionStream]:
        """Status, headers and body of the app's response. A stream is to be read to its end, or closed. Raises:
        FunctionFailed, BadGateway, TimedOut, TooLarge, Unavailable; whatever ends the request's body before its end."""
        answer, stream = await self._client(app).call(request)
        return answer.status, answer.headers, answer.body if stream is None else stream

    async def event(self, app: str, request: FunctionRequest) -> Answer:
        """The answer to an event. One whose app raised an exception has an error and says more in its body, where such
        events do. Raises as `call`."""
        answer, _ = await self._client(app).call(request)
        return answer

    def ask(self, app: str, request: FunctionRequest, who: Asking) -> Asked:
        """Call an app without waiting for it: `who` is called back. Raises what is known at once: Unavailable."""
        return self._client(app).ask(request, who)

    def _client(self, app: str) -> "FunctionClient":
        client = self._clients.get(app)
        if client is None:
            raise Unavailable("call app", app, "it is not running at this node", "Try again in a moment")
        return client

    def stop(self) -> None:
        """Close every connection once its requests are answered."""
        for client in self._clients.values():
            client.stop()
        self._clients.clear()


class FunctionClient:
    """One app's workers as a gateway sees them."""

    def __init__(
        self, app: str, kill: Callable[[str, int], None], tasks: Tasks, want: Callable[[str, int], None]
    ) -> None:
        self.app = app
        self.limits = Limits()
        self._kill = kill
        self._tasks = tasks
        self._want = want
        self._wanted_at_s = -WANT_S
        self._peak = 0
        """The most requests in flight since the hub was told last."""
        self.wall_s = 1.0
        """The most a request may take."""
        self._links: dict[str, WorkerLink] = {}
        self._waiting: dict[Asked, asyncio.TimerHandle] = {}
        """Requests without a worker, in order of arrival, and what ends their patience."""
        self._loop = asyncio.get_running_loop()
        self.revisions: Revisions = {}
        """What is counted of its calls."""

    @property
    def limits(self) -> Limits:
        """The node's."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._looked_at_from = min(limits[FUNCTION_BUSY], limits[FUNCTION_INFLIGHT])
        """With fewer requests a worker may have more, whatever the others have."""

    @property
    def counted(self) -> int:
        """Grows with whatever is counted."""
        return sum(each.calls + each.cpu_us + sum(each.errors.values()) for each in self.revisions.values())

    def configure(self, target: FunctionTarget, limits: Limits) -> None:
        """Follow the app's sockets and limits; connections to workers that are gone end after their requests."""
        self.limits = limits
        self.wall_s = target.wall_ms / 1000
        for path in self._links.keys() - set(target.sockets):
            self._links.pop(path).close()
        for path in target.sockets:
            if path not in self._links:
                self._links[path] = WorkerLink(self, path, self._tasks)

    def stop(self) -> None:
        """Close every connection once its requests are answered."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def give_up(self) -> None:
        """Nobody is going to answer what waits for a worker: the app was taken away."""
        for asked in list(self._waiting):
            asked.fail(Unavailable("call app", self.app, "it is not placed at this node any more"))

    def workers(self, slots: list[int], failing: bool) -> None:
        """See FunctionClients.workers."""
        links = list(self._links.values())
        for slot in slots:
            if slot < len(links):
                links[slot].try_now()
        if failing and not any(link.connection for link in links):
            for asked in list(self._waiting):
                asked.fail(
                    Unavailable("call app", self.app, "it does not start", "Its status and the node's log say why")
                )

    def take_load(self) -> int:
        """See FunctionClients.loads."""
        connections = [link.connection for link in self._links.values() if link.connection is not None]
        load = sum(connection.load for connection in connections) + len(self._waiting)
        peak, self._peak = max(self._peak, load), 0
        return peak

    @property
    def has_waiting(self) -> bool:
        """Whether requests wait for a worker. The hub is told of them again: it may have been away."""
        if self._waiting:
            self._ask_for_worker(len(self._waiting))
        return bool(self._waiting)

    def _ask_for_worker(self, in_flight: int, *, at_once: bool = False) -> None:
        now_s = self._loop.time()
        if at_once or now_s - self._wanted_at_s >= WANT_S:
            self._wanted_at_s = now_s
            self._want(self.app, in_flight)

    def ask(self, request: FunctionRequest, who: Asking) -> Asked:
        """See FunctionClients.ask."""
        asked = Asked(self, request, who, self._loop.time())
        asked.begin()
        return asked

    async def call(self, request: FunctionRequest) -> Reply:
        """The app's response, and where its body comes if that is not in it. Raises as FunctionClients.call."""
        reply = _Awaited(self._loop.create_future())
        asked = self.ask(request, reply)
        try:
            return await reply.future
        except BaseException:
            asked.cancel()
            raise

    def failed(self, connection: WorkerConnection, why: Failure) -> None:
        """An answer that had begun broke off."""
        self.meter(connection.revision).failed(why)

    def computed(self, connection: WorkerConnection, cpu_us: int) -> None:
        """An answer that came in pieces has ended, and took that."""
        self.meter(connection.revision).computed(cpu_us)

    def meter(self, revision: str) -> FunctionMeter:
        """Where the calls of a revision are counted."""
        return self.revisions.get(revision) or meter_of(self.revisions, revision)

    def count_end(self, connection: WorkerConnection | None, wall_us: int, why: Failure) -> None:
        """A call has no answer. connection: to the worker that it was asked of."""
        self.meter(UNKNOWN if connection is None else connection.revision).ended(wall_us, why)

    def kill(self, pid: int) -> None:
        """A worker did not let go of a request."""
        self.limits.hit(FUNCTION_GRACE_MS)
        self._kill(self.app, pid)

    def available(self) -> None:
        """A worker can be reached again."""
        now_s = self._loop.time()
        for asked in list(self._waiting):
            asked.look(now_s)

    def timed_out(self) -> TimedOut:
        """The error of a request that is past its deadline."""
        return TimedOut("call app", self.app, f"it did not answer within {self.wall_s * 1000:.0f} ms")

    def pick(self) -> WorkerConnection | None:
        """The worker with the fewest requests; None where none can be reached. Raises Unavailable."""
        best: WorkerConnection | None = None
        least = reached = 0
        for link in self._links.values():
            connection = link.connection
            if connection is not None:
                reached += 1
                load = connection.load
                if best is None or load < least:
                    best, least = connection, load
        if best is not None:
            load = least * reached + 1
            self._peak = max(self._peak, load)
            if least >= self._looked_at_from:
                self._look_for_more(least, reached)
        return best

    def _look_for_more(self, least: int, reached: int) -> None:
        """Each of the workers that can be reached has at least so many requests. Raises Unavailable where that is the most."""
        if least >= self.limits[FUNCTION_BUSY] and reached < len(self._links):
            self._ask_for_worker(least * reached + 1)
        if least >= self.limits[FUNCTION_INFLIGHT]:
            raise self._overloaded()

    def wait(self, asked: Asked) -> None:
        """Have it asked as soon as there is a worker. Raises Unavailable where too many wait."""
        if len(self._waiting) >= self.limits[FUNCTION_INFLIGHT]:
            raise self._overloaded()
        now_s = asked.since_s = self._loop.time()
        patience_s = self.limits[FUNCTION_WAIT_MS] / 1000
        self._waiting[asked] = self._loop.call_at(now_s + patience_s, self._lose_patience, asked)
        self._ask_for_worker(len(self._waiting), at_once=len(self._waiting) == 1)
        for link in self._links.values():
            link.connect()

    def waits_no_more(self, asked: Asked) -> None:
        """It is asked now, or given up. Nothing happens to one that does not wait."""
        timer = self._waiting.pop(asked, None)
        if timer is not None:
            timer.cancel()

    def _lose_patience(self, asked: Asked) -> None:
        self.limits.hit(FUNCTION_WAIT_MS)
        cause = "none of its workers is running"
        asked.fail(Unavailable("call app", self.app, cause, "Try again; the node's log has the reason"))

    def _overloaded(self) -> Unavailable:
        self.limits.hit(FUNCTION_INFLIGHT)
        return Unavailable("call app", self.app, OVERLOADED, "Try again later")

    def error(self, error: AnswerError) -> LittoralError:
        """What a worker's word means."""
        if error in ("timeout", "cancelled"):
            return self.timed_out()
        if error == "overload":
            return self._overloaded()
        if error == "request-too-large":
            self.limits.hit(FUNCTION_BODY_BYTES)
            most = self.limits[FUNCTION_BODY_BYTES]
            cause = (
                f"it is larger than the {most} bytes that are read whole, or than the app takes (limits.requestBytes)"
            )
            return TooLarge("read request", "body", cause, "Send it in parts, or have the app read it piece by piece")
        if error == "cpu":
            self.limits.hit(FUNCTION_CPU_MS)
        causes = {
            "exception": "its code raised an exception",
            "memory": "it ran into its memory limit",
            "cpu": "one request took more CPU time than it may (limits.cpuTimeMs)",
            "invalid": "its code returned something that is no Response",
            "too-large": "its response is too large",
        }
        return FunctionFailed("call app", self.app, causes[error], "The node's log has the details")


class _Awaited:
    """Implements `littoral.functions.calls.asked.Asking` for who waits in a task."""

    __slots__ = ("future",)

    def __init__(self, future: "asyncio.Future[Reply]") -> None:
        self.future = future

    def answered(self, answer: Answer, stream: FunctionStream | None) -> None:
        """See Asking."""
        if not self.future.done():
            self.future.set_result((answer, stream))

    def failed(self, error: Exception) -> None:
        """See Asking."""
        if not self.future.done():
            self.future.set_exception(error)
