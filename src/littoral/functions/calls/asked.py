"""One call of an app, from when it is made until it is answered, has failed, or is given up.

Who makes it need not wait in a task, and no timer is made for it: it is called back (`Asking`), and deadlines are looked at by
the connection, all with one timer. Requests that are answered within microseconds pay for neither.

    begin    ─ a worker can be reached ─► asked
             ─ none ─► waiting, or Unavailable where as many wait as may
    waiting  ─ there is one ─► asked; its wall time begins now
             ─ FUNCTION_WAIT_MS have passed, or none can be started ─► failed
    asked    ─ the worker answers ─► answered, or failed by what it says
             ─ the deadline passes ─► failed
             ─ the worker dies ─► begin, once, where that does no harm; else failed
    any      ─ cancel ─► given up
"""

from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

from littoral.core.errors import BadGateway, LittoralError, TimedOut, Unavailable
from littoral.functions.calls.function_request import FunctionRequest
from littoral.functions.calls.function_stream import FunctionStream
from littoral.functions.messages import Answer
from littoral.functions.meters import Failure

if TYPE_CHECKING:
    from littoral.functions.calls.client import FunctionClient
    from littoral.functions.calls.worker_connection import WorkerConnection

OVERLOADED = "every worker has as many requests as it takes"
REPEATABLE = frozenset({"GET", "HEAD"})


class Asking(Protocol):
    """Who has asked. One of these is called, once, and never before `Asked.begin` has returned."""

    def answered(self, answer: Answer, stream: FunctionStream | None) -> None:
        """The answer, and where its body comes if that is not in it: that is to be read to its end, or closed."""
        ...

    def failed(self, error: Exception) -> None:
        """There is none. A LittoralError, or what ended the request's body before its end."""
        ...


class Asked:
    """See the module."""

    __slots__ = (
        "_began_ns",
        "_client",
        "_connection",
        "_has_ended",
        "_may_repeat",
        "_number",
        "_waited_us",
        "_who",
        "deadline_s",
        "request",
        "since_s",
    )

    def __init__(self, client: "FunctionClient", request: FunctionRequest, who: Asking, now_s: float) -> None:
        """now_s: of the loop's clock."""
        # The time of the loop is that of its last round, in milliseconds: most answers take less.
        self._began_ns = perf_counter_ns()
        self._client = client
        self._who = who
        self._may_repeat = request.method in REPEATABLE and isinstance(request.body, bytes)
        self._connection: WorkerConnection | None = None
        self._number = 0
        """What it is called there."""
        self._waited_us = 0
        self._has_ended = False
        self.request = request
        self.deadline_s = now_s + (request.wall_ms / 1000 or client.wall_s)
        self.since_s = now_s
        """Since when it waits for a worker."""

    def begin(self) -> None:
        """Ask a worker, or wait for one. Raises Unavailable, TimedOut."""
        self._waited_us = 0
        self._connection = None
        try:
            connection = self._client.pick()
            if connection is None:
                self._client.wait(self)
            else:
                self._send(connection)
        except LittoralError as error:
            self._count_end(_why(error, self._connection))
            raise

    def look(self, now_s: float) -> None:
        """It waits, and there may be a worker now."""
        try:
            connection = self._client.pick()
            if connection is None:
                return
            self._client.waits_no_more(self)
            self.deadline_s += now_s - self.since_s
            self._waited_us = (perf_counter_ns() - self._began_ns) // 1000
            self._send(connection)
        except LittoralError as error:
            self.fail(error)

    def cancel(self) -> None:
        """Whoever asked does not want the answer any more; nor the rest of one that has begun."""
        self._client.waits_no_more(self)
        if self._connection is not None:
            self._connection.give_back(self._number)
        if not self._has_ended:
            self._count_end("gone")

    def _send(self, connection: "WorkerConnection") -> None:
        self._connection = connection
        self._number = connection.ask(self)

    # What becomes of it

    def answered(self, answer: Answer, stream: FunctionStream | None) -> None:
        """The worker has answered."""
        assert self._connection is not None
        self._has_ended = True
        meter = self._client.meter(self._connection.revision)
        meter.answered((perf_counter_ns() - self._began_ns) // 1000)
        if not answer.more:
            meter.computed(answer.cpu_us)
        if self._waited_us:
            meter.waited += 1
            meter.waited_us += self._waited_us
        if answer.error:
            meter.failed(answer.error)
            if not (self.request.event and answer.body):
                self._who.failed(self._client.error(answer.error))
                return
        self._who.answered(answer, stream)

    def lost(self, *, alone: bool) -> None:
        """The worker died with the request in hand. alone: it held no other."""
        if self._may_repeat and not alone:
            self._may_repeat = False
            try:
                self.begin()
            except LittoralError as error:
                self._who.failed(error)
            return
        self._count_end("died")
        cause = "its worker died while it handled the request"
        self._who.failed(BadGateway("call app", self._client.app, cause, "The node's log has more"))

    def fail(self, error: Exception) -> None:
        """It is not answered, for another reason."""
        self._client.waits_no_more(self)
        self._count_end(_why(error, self._connection))
        self._who.failed(error)

    def _count_end(self, why: Failure) -> None:
        self._has_ended = True
        self._client.count_end(self._connection, (perf_counter_ns() - self._began_ns) // 1000, why)


def _why(error: BaseException, connection: "WorkerConnection | None") -> Failure:
    """What a call ended with that has no answer. connection: to the worker it was asked of."""
    if isinstance(error, TimedOut):
        return "timeout"
    if isinstance(error, Unavailable) and connection is None:
        return "overload" if error.cause == OVERLOADED else "no-worker"
    # The client went away, or its body broke off.
    return "gone"
