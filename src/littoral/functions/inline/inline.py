"""The apps that a gateway calls, some of which it runs in its own process (isolation `inline`).

    told of a revision   the hub is asked how to run it: that has secrets in it, and is in no file
    given it             its modules are imported by a thread; then it answers, and the former revision finishes what it has begun
    it cannot be         the former revision goes on, and the hub is told why; it is tried again after a delay that doubles

Whether an app may run here, the hub decides, by the document of its node: a gateway runs what the hub gives it.
"""

import asyncio
import itertools
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from littoral.core.function_limits import FUNCTION_RETRY_MS
from littoral.core.limits import Limits
from littoral.core.offload import Offload
from littoral.core.tasks import Tasks
from littoral.functions.calls.client import FunctionClient, FunctionClients, FunctionTarget
from littoral.functions.messages import InlineState
from littoral.functions.meters import Revisions

if TYPE_CHECKING:
    from littoral.functions.inline.inline_client import InlineClient
    from littoral.functions.inline.inline_revision import InlineProcess, InlineRevision

FIRST_RETRY_MS = 1000
LAST_S = 1.5
"""What apps have together as the process ends: each has a second."""


class _Wanted(Struct):
    """An app that runs here."""

    revision: str
    """The one that should."""
    deployed: str = ""
    """The one that does, as it was deployed."""
    running: str = ""
    """The same, with the revision of its secrets."""
    loading: bool = False
    failure: str = ""
    failures: int = 0
    retry: asyncio.TimerHandle | None = None


class InlineClients(FunctionClients):
    """Of one gateway process."""

    def __init__(
        self,
        kill: Callable[[str, int], None],
        tasks: Tasks,
        want: Callable[[str, int], None],
        ask: Callable[[str], None],
        say: Callable[[str, str], None],
        log: Callable[[str], None],
        offload: Offload,
    ) -> None:
        """kill, tasks, want: as FunctionClients. ask: asks the hub how to run an app; `inline_given` is the answer. say: passes on what
        an app wrote. log: writes a line of the gateway's own. offload: a thread."""
        super().__init__(kill, tasks, want)
        self._ask = ask
        self._say = say
        self._log = log
        self._offload = offload
        self._wanted: dict[str, _Wanted] = {}
        self._numbers = itertools.count(1)
        self._loading = asyncio.Lock()
        self._limits = Limits()
        self._inline: dict[str, InlineClient] = {}
        self._process: InlineProcess | None = None
        self._ending: set[asyncio.Task[None]] = set()
        """Revisions that finish what they have begun, or run."""

    def configure(self, targets: Iterable[FunctionTarget], limits: Limits) -> None:
        """See FunctionClients. An app that changes from workers to this process, or back, is another one."""
        self._limits = limits
        targets = list(targets)
        inline = {target.app: target.inline for target in targets if target.inline}
        counted: dict[str, Revisions] = {}
        for app in list(self._clients):
            if (app in self._inline) != (app in inline):
                client = self._clients.pop(app)
                client.stop()
                counted[app] = client.revisions
                self._inline.pop(app, None)
        for app in self._wanted.keys() - inline.keys():
            _forget_retry(self._wanted.pop(app))
        super().configure(targets, limits)
        for app, revisions in counted.items():
            if app in self._clients:
                self._clients[app].revisions = revisions
        for app, revision in inline.items():
            wanted = self._wanted.setdefault(app, _Wanted(revision))
            if wanted.revision != revision:
                _forget_retry(wanted)
                wanted.revision, wanted.failure, wanted.failures = revision, "", 0
                self._inline[app].is_failing = False
            self._ask_if_missing(app)

    def stop(self) -> None:
        """See FunctionClients. Nothing is interrupted any more."""
        super().stop()
        if self._process is not None:
            self._process.alarm.end()

    async def ended(self) -> None:
        """After `stop`: return once apps have put their things in order, and have had their time for it."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=LAST_S)

    def states(self) -> dict[str, InlineState]:
        """What runs here."""
        return {app: InlineState(each.deployed, each.failure) for app, each in self._wanted.items()}

    def inline_given(self, app: str, revision: str, spec: bytes) -> None:
        """The hub says how to run a revision. One that is not wanted any more is not run."""
        wanted = self._wanted.get(app)
        if wanted is None or wanted.revision != revision or wanted.loading or wanted.running == revision:
            return
        wanted.loading = True
        self._tasks.start(self._load(app, wanted, revision, spec), f"import {app}")

    def _new_client(self, target: FunctionTarget) -> FunctionClient:
        if not target.inline:
            return super()._new_client(target)
        # What runs apps is loaded by gateways only that run some.
        from littoral.functions.inline.inline_client import InlineClient  # noqa: PLC0415

        client = self._inline[target.app] = InlineClient(target.app, self._tasks, self._ask_if_missing, self._log)
        return client

    def _ask_if_missing(self, app: str) -> None:
        wanted = self._wanted.get(app)
        if wanted is not None and wanted.running != wanted.revision and not wanted.loading and wanted.retry is None:
            self._ask(app)

    async def _load(self, app: str, wanted: _Wanted, revision: str, spec: bytes) -> None:
        from littoral.functions.inline.inline_revision import InlineProcess, InlineRevision  # noqa: PLC0415 - as above

        if self._process is None:
            self._process = InlineProcess(asyncio.get_running_loop(), lambda: self._limits)
        loaded = InlineRevision(spec, next(self._numbers), partial(self._say, app))
        try:
            # One after the other: what imports competes with requests.
            async with self._loading:
                found = await self._offload(loaded.load)
            worker = loaded.worker(found, self._process)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the app's import raises is reported
            wanted.loading = False
            loaded.forget()
            self._failed(app, wanted, revision, loaded, error)
            return
        wanted.loading = False
        if self._wanted.get(app) is wanted and wanted.revision == revision:
            wanted.running, wanted.deployed, wanted.failure, wanted.failures = revision, loaded.deployed, "", 0
            self._inline[app].use(worker)
        else:
            # Another one is wanted by now.
            worker.leave()
            self._ask_if_missing(app)
        ending = self._tasks.start(loaded.forget_when_ended(worker), f"end of {app}")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _failed(self, app: str, wanted: _Wanted, revision: str, loaded: "InlineRevision", error: BaseException) -> None:
        loaded.output.write("".join(traceback.format_exception(error)))
        if wanted.revision != revision:
            self._ask_if_missing(app)
            return
        cause = f"cannot import {loaded.main}: {type(error).__name__}: {error}"
        wanted.failure = loaded.redact(cause)
        delay_ms = min(FIRST_RETRY_MS << min(wanted.failures, 10), self._limits[FUNCTION_RETRY_MS])
        wanted.failures += 1
        wanted.retry = asyncio.get_running_loop().call_later(delay_ms / 1000, self._try_again, app)
        if (client := self._inline.get(app)) is not None:
            client.fail()

    def _try_again(self, app: str) -> None:
        wanted = self._wanted.get(app)
        if wanted is not None:
            wanted.retry = None
            self._ask_if_missing(app)


def _forget_retry(wanted: _Wanted) -> None:
    if wanted.retry is not None:
        wanted.retry.cancel()
        wanted.retry = None
