"""What the workers of a node's apps have written lately: kept in memory, within bounds, for who asks or follows.

The node's log has all of it; this is what can be had through the operator API. A hub that starts anew begins with nothing.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable

import msgspec

from littoral.core.clock import Clock
from littoral.core.function_limits import APP_LOG_BYTES, APP_LOGS_BYTES
from littoral.core.limits import Limits
from littoral.core.waiting import while_client_waits

LINES_MOST = 1000
"""Of one answer."""
LINE_COST_BYTES = 200
"""In memory, beside its text."""
_OF_REQUEST = re.compile(r"\[([0-9A-Za-z-]{1,128})\] (.*)", re.DOTALL)


class LogLine(msgspec.Struct, frozen=True, rename="camel"):
    """One line of one worker."""

    number: int
    """Counts the lines of all apps."""
    at_ms: int
    """When the hub had it, ms since the epoch."""
    worker: int | None
    """Which of the app's workers; None for a request, as a gateway has it."""
    request_id: str
    """Of the request that it is about; empty where it does not say so."""
    text: str


class LogPage(msgspec.Struct, frozen=True, rename="camel"):
    """Some lines of an app."""

    lines: list[LogLine]
    next: int
    """What to ask for to go on after these."""
    since_ms: int
    """When the hub began to count: another one than before has other numbers."""
    left_out: int
    """Lines since it began that are not kept any more."""


class _Kept:
    def __init__(self) -> None:
        self.lines: deque[LogLine] = deque()
        self.bytes = 0
        self.left_out = 0
        self.next = 0
        """Greater than the number of any line so far."""
        self.came = asyncio.Event()


class AppLogs:
    """Of one node."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._since_ms = clock.wall_ms()
        self._apps: dict[str, _Kept] = {}
        self._bytes = 0
        self._number = 0
        self.asked: Callable[[], None] = lambda: None
        """Told when somebody looks at the lines of an app."""

    def note_request(self, app: str, request_id: str, text: str) -> None:
        """A gateway answered a request."""
        kept = self._apps.setdefault(app, _Kept())
        self._add(kept, LogLine(self._number, self._clock.wall_ms(), None, request_id, text))
        self._bound(kept)

    def note(self, app: str, worker: int, text: str) -> None:
        """A worker wrote some lines."""
        kept = self._apps.setdefault(app, _Kept())
        now_ms = self._clock.wall_ms()
        for line in text.split("\n"):
            found = _OF_REQUEST.fullmatch(line)
            request_id, said = (found[1], found[2]) if found is not None else ("", line)
            self._add(kept, LogLine(self._number, now_ms, worker, request_id, said))
        self._bound(kept)

    def _add(self, kept: _Kept, line: LogLine) -> None:
        self._number += 1
        kept.lines.append(line)
        kept.next = self._number
        self._count(kept, _cost(line))

    def _bound(self, kept: _Kept) -> None:
        while kept.bytes > self._limits[APP_LOG_BYTES]:
            self._drop(kept)
        while self._bytes > self._limits[APP_LOGS_BYTES]:
            self._drop(max(self._apps.values(), key=lambda each: each.bytes))
        kept.came.set()

    def forget(self, apps: set[str]) -> None:
        """Keep the lines of these alone."""
        for app in self._apps.keys() - apps:
            self._bytes -= self._apps.pop(app).bytes

    async def page(self, app: str, after: int | None, last: int, wait_s: float) -> LogPage:
        """Lines of an app. after: from this number on; None for the `last` ones. Where there are none, those that come within
        `wait_s`; then none."""
        self.asked()
        kept = self._apps.setdefault(app, _Kept())
        if after is not None and kept.next <= after and wait_s > 0:
            kept.came.clear()
            try:
                with while_client_waits():
                    async with asyncio.timeout(wait_s):
                        await kept.came.wait()
            except TimeoutError:
                pass
        lines = [line for line in kept.lines if after is None or line.number >= after]
        lines = lines[-last:] if after is None else lines[:LINES_MOST]
        following = lines[-1].number + 1 if lines else max(kept.next, after or 0)
        return LogPage(lines, following, self._since_ms, kept.left_out)

    def _drop(self, kept: _Kept) -> None:
        line = kept.lines.popleft()
        kept.left_out += 1
        self._count(kept, -_cost(line))

    def _count(self, kept: _Kept, cost: int) -> None:
        kept.bytes += cost
        self._bytes += cost


def _cost(line: LogLine) -> int:
    return len(line.text) + LINE_COST_BYTES
