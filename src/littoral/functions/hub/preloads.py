"""The environments of a node's apps: which there are, and when one is made or ends (`littoral.functions.zygote.preload`).

    an app with packages starts a worker        its environment is made first, and the worker forked from it
    the environment cannot be made              the worker is forked from the zygote, and imports everything itself
    it does not fork what it was ordered to     it ends, and so it is from then on
    a package starts threads                    the next environment leaves it out, up to TRIES of them
    no worker of the revision runs              it ends FUNCTION_ENVIRONMENT_IDLE_S later
    another revision has taken its place        it ends FUNCTION_ROLLBACK_S later, for the app may be taken back to it; or
                                                when the app has had a third one since
    more than FUNCTION_ENVIRONMENTS             the one used least recently ends

One environment is one revision's of one app: what is imported there runs with the rights of that app, and an app that has a user
and a file system of its own cannot be forked from a process that belongs to another.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from littoral.core.function_limits import (
    FUNCTION_ENVIRONMENT_IDLE_S,
    FUNCTION_ENVIRONMENTS,
    FUNCTION_ROLLBACK_S,
    FUNCTION_START_MS,
)
from littoral.core.limits import Limits
from littoral.functions.messages import Command, Kill, Preload, WorkerEvent
from littoral.functions.zygote.preload import THREADS, packages_of

TRIES = 5
"""Packages that start threads are found one at a time."""

Key = tuple[str, str]
"""App and revision."""


@dataclass(slots=True)
class _Environment:
    pid: int = 0
    is_ready: bool = False
    used_s: float = 0.0
    failure: str = ""
    directory: str = ""
    waiting: list[Callable[[bool], None]] = field(default_factory=list)
    """What starts the workers that are to be forked from it; told whether it is there."""
    timer: asyncio.TimerHandle | None = None
    """Until it is ready, or has forked."""
    ordered: int = 0
    """Workers that it has not forked yet."""

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Preloads:
    """Keeps environments for the apps that have packages."""

    def __init__(
        self, limits: Limits, send: Callable[[Command], None], spec: Callable[[str, str, frozenset[str]], bytes]
    ) -> None:
        """send: gives the zygote a command. spec: the encoded WorkerSpec of an app's environment, for a revision's directory, that
        leaves these packages out."""
        self._limits = limits
        self._send = send
        self._spec = spec
        self._environments: dict[Key, _Environment] = {}
        self._refused: dict[Key, str] = {}
        """Those that cannot be had, and why."""
        self._skipped: dict[Key, frozenset[str]] = {}
        self._plain: dict[str, str] = {}
        """Of apps without packages the revision that was looked at last: a request may wait while the disk is asked."""

    @property
    def revisions(self) -> Collection[Key]:
        """Whose there are."""
        return self._environments.keys()

    @property
    def count(self) -> int:
        """Environments there are."""
        return len(self._environments)

    def failure(self, app: str, revision: str) -> str:
        """Why a revision has none; empty where it has one, or needs none."""
        return self._refused.get((app, revision), "")

    def use(self, key: Key, directory: str, start: Callable[[bool], None]) -> None:
        """Call `start` with True once a worker can be forked from the environment; with False where there is none to wait for."""
        environment = self._environments.get(key)
        if environment is None:
            if key in self._refused or self._is_plain(key, directory):
                start(False)
                return
            environment = self._make(key, directory)
        environment.used_s = _now_s()
        if environment.is_ready:
            self._order(key, environment, start)
        else:
            environment.waiting.append(start)

    def event(self, event: WorkerEvent) -> None:
        """The zygote reports on an environment."""
        key = event.app, event.revision
        environment = self._environments.get(key)
        if environment is None:
            if event.kind == "started":
                self._send(Kill(event.pid))
        elif event.kind == "started" and not environment.pid:
            environment.pid = event.pid
        elif event.kind == "ready" and environment.pid == event.pid:
            environment.is_ready = True
            self._settle(key, environment)
        elif event.kind == "failed" and environment.pid == event.pid:
            environment.failure = event.detail
            # What it holds is of no use, whether it ends by itself or not.
            self._send(Kill(event.pid))
        elif event.kind == "exited" and environment.pid == event.pid:
            self._ended(key, environment, event.detail)

    def forked(self, key: Key) -> None:
        """A worker of the revision was forked, or cannot be."""
        environment = self._environments.get(key)
        if environment is not None and environment.ordered:
            environment.ordered -= 1
            self._watch(key, environment)

    def _is_plain(self, key: Key, directory: str) -> bool:
        app, revision = key
        if self._plain.get(app) == revision:
            return True
        if next(packages_of(directory), None) is not None:
            return False
        self._plain[app] = revision
        return True

    def forget_app(self, app: str) -> None:
        """The app is not placed here any more: its environments end, and what waits for them is not started."""
        self._plain.pop(app, None)
        for key in [key for key in self._environments if key[0] == app]:
            self._environments[key].waiting.clear()
            self._end(key)
        for key in [key for key in self._refused if key[0] == app]:
            del self._refused[key]
        for key in [key for key in self._skipped if key[0] == app]:
            del self._skipped[key]

    def adopt(self, key: Key, pid: int) -> None:
        """There is one already, ready."""
        self._environments[key] = _Environment(pid, is_ready=True, used_s=_now_s())

    def shrink(self, running: Callable[[Key], bool], wanted: Callable[[Key], bool]) -> None:
        """End those that nobody needs. running: whether workers of the revision run. wanted: whether there may be any again."""
        now_s = _now_s()
        gone_back_to: set[str] = set()
        # The ones used last come first: of an app's former revisions, one is kept.
        for key, environment in sorted(self._environments.items(), key=lambda item: -item[1].used_s):
            app, _ = key
            idle_s = now_s - environment.used_s
            if running(key):
                environment.used_s = now_s
            elif wanted(key):
                if idle_s >= self._limits[FUNCTION_ENVIRONMENT_IDLE_S]:
                    self._end(key)
            elif app in gone_back_to or idle_s >= self._limits[FUNCTION_ROLLBACK_S]:
                self._end(key)
            else:
                gone_back_to.add(app)
        for key in [key for key in self._refused if not wanted(key)]:
            del self._refused[key]
            self._skipped.pop(key, None)

    def forget(self) -> None:
        """The zygote is gone, and with it all environments."""
        for environment in self._environments.values():
            environment.cancel_timer()
        self._environments.clear()

    def _make(self, key: Key, directory: str) -> _Environment:
        if len(self._environments) >= self._limits[FUNCTION_ENVIRONMENTS]:
            self._limits.hit(FUNCTION_ENVIRONMENTS)
            self._end(min(self._environments, key=lambda each: self._environments[each].used_s))
        environment = self._environments[key] = _Environment(directory=directory, used_s=_now_s())
        app, revision = key
        skipped = self._skipped.get(key, frozenset())
        self._set_timer(key, environment)
        self._send(Preload(app, revision, self._spec(app, directory, skipped)))
        return environment

    def _order(self, key: Key, environment: _Environment, start: Callable[[bool], None]) -> None:
        """Have a worker forked from it. What is imported there may block: it is not to hold up the starts of others."""
        environment.ordered += 1
        if environment.ordered == 1:
            self._watch(key, environment)
        start(True)

    def _watch(self, key: Key, environment: _Environment) -> None:
        environment.cancel_timer()
        if environment.ordered:
            self._set_timer(key, environment)

    def _set_timer(self, key: Key, environment: _Environment) -> None:
        delay_s = self._limits[FUNCTION_START_MS] / 1000
        environment.timer = asyncio.get_running_loop().call_later(delay_s, self._took_too_long, key)

    def _took_too_long(self, key: Key) -> None:
        environment = self._environments[key]
        what = "it forked no worker" if environment.is_ready else "the import did not end"
        environment.failure = f"{what} within {self._limits[FUNCTION_START_MS]} ms"
        self._limits.hit(FUNCTION_START_MS)
        if environment.pid:
            self._send(Kill(environment.pid))
        else:
            self._ended(key, environment, environment.failure)

    def _ended(self, key: Key, environment: _Environment, detail: str) -> None:
        del self._environments[key]
        environment.cancel_timer()
        if environment.is_ready and not environment.failure:
            # Killed, perhaps for want of memory: there is another one when it is needed.
            return
        failure = environment.failure or detail
        skipped = self._skipped.get(key, frozenset())
        if failure.startswith(THREADS) and len(skipped) < TRIES:
            self._skipped[key] = skipped | {failure.removeprefix(THREADS)}
            again = self._make(key, environment.directory)
            again.waiting, environment.waiting = environment.waiting, []
        else:
            self._refused[key] = failure
        self._settle(key, environment)

    def _settle(self, key: Key, environment: _Environment) -> None:
        environment.cancel_timer()
        waiting, environment.waiting = environment.waiting, []
        for start in waiting:
            if environment.is_ready:
                self._order(key, environment, start)
            else:
                start(False)

    def _end(self, key: Key) -> None:
        environment = self._environments.pop(key)
        if environment.pid:
            self._send(Kill(environment.pid))
        self._settle(key, environment)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
