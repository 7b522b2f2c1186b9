"""A gateway's side of an app that the gateway runs in its own process."""

from collections.abc import Callable

from littoral.core.errors import Unavailable
from littoral.core.function_limits import FUNCTION_GRACE_MS, FUNCTION_INFLIGHT
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.functions.calls.asked import Asked
from littoral.functions.calls.client import FunctionClient, FunctionTarget
from littoral.functions.calls.worker_connection import WorkerConnection
from littoral.functions.calls.worker_link import WorkerLink
from littoral.functions.inline.inline_worker import InlineConnection, InlineWorker

LINK = "inline"


class InlineClient(FunctionClient):
    """One app. What is not of workers is as with workers: deadlines, limits, errors, and what is counted."""

    def __init__(self, app: str, tasks: Tasks, missing: Callable[[str], None], log: Callable[[str], None]) -> None:
        """missing: told of the app where requests wait for it. log: writes a line."""
        super().__init__(app, lambda _app, _pid: None, tasks, lambda _app, _count: missing(app))
        self._log = log
        self._link = InlineLink(self, LINK, tasks)
        self._links[LINK] = self._link
        self.is_failing = False
        """Whether the revision that should answer does not start, and none answers in its place: nobody waits for it."""

    @property
    def is_there(self) -> bool:
        """Whether a revision answers."""
        return self._link.connection is not None

    def configure(self, target: FunctionTarget, limits: Limits) -> None:
        """See FunctionClient: there are no sockets."""
        self.limits = limits
        self.wall_s = target.wall_ms / 1000

    def use(self, worker: InlineWorker) -> None:
        """This revision answers from now on; the former finishes what it has begun."""
        self.is_failing = False
        self._link.use(InlineConnection(self._link, worker))

    def pick(self) -> WorkerConnection | None:
        """See FunctionClient."""
        connection = self._link.connection
        if connection is not None and connection.load >= self.limits[FUNCTION_INFLIGHT]:
            raise self._overloaded()
        return connection

    def workers(self, slots: list[int], failing: bool) -> None:
        """See FunctionClient: those are for what is not a request."""

    def fail(self) -> None:
        """The revision that should answer does not start."""
        if not self.is_there:
            self.is_failing = True
            super().workers([], failing=True)

    def wait(self, asked: Asked) -> None:
        """See FunctionClient."""
        if self.is_failing:
            raise Unavailable("call app", self.app, "it does not start", "Its status and the node's log say why")
        super().wait(asked)

    def take_load(self) -> int:
        """See FunctionClient: nothing of it is for workers."""
        return 0

    def kill(self, pid: int) -> None:
        """A request does not let go. Nothing can be killed for it: it goes on beside the others."""
        self.limits.hit(FUNCTION_GRACE_MS)
        self._log(f"a request of app {self.app} goes on past its wall time, within this gateway (isolation: inline)")


class InlineLink(WorkerLink):
    """To the revision that answers now."""

    def use(self, connection: InlineConnection) -> None:
        """The next revision is here."""
        former, self.connection = self.connection, connection
        if former is not None:
            former.leave()
        self.client.available()

    def connect(self) -> None:
        """See WorkerLink: the client is told when there is a revision."""
