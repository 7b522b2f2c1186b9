"""`js.Date`, `js.performance` and timers. A function's own code runs on the real clock, here as with `datetime`."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self


class Date:
    """A moment, in milliseconds since 1970."""

    __slots__ = ("_ms",)

    def __init__(self, ms: float) -> None:
        self._ms = ms

    @classmethod
    def new(cls, moment: Any = None) -> Self:
        """As JavaScript's constructor: now, or of milliseconds, or of text as in RFC 3339."""
        if moment is None:
            return cls(cls.now())
        if isinstance(moment, str):
            parsed = datetime.fromisoformat(moment)
            return cls((parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
        return cls(moment.getTime() if isinstance(moment, Date) else moment)

    @staticmethod
    def now() -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000  # noqa: TID251 - what a function asks for is the real time

    def getTime(self) -> float:
        """Milliseconds since 1970."""
        return self._ms

    valueOf = getTime

    def getFullYear(self) -> int:
        """The year, in UTC."""
        return self._moment().year

    def toISOString(self) -> str:
        """As in 2026-01-31T12:00:00.000Z."""
        return self._moment().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    toJSON = toISOString

    def toUTCString(self) -> str:
        """As fields of HTTP have it."""
        return self._moment().strftime("%a, %d %b %Y %H:%M:%S GMT")

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._ms / 1000, tz=UTC)

    def __str__(self) -> str:
        return self.toISOString()


class Performance:
    """`js.performance`."""

    @staticmethod
    def now() -> float:
        """Milliseconds since some moment."""
        return time.monotonic() * 1000  # noqa: TID251 - what a function asks for is the real time


def set_timeout(act: Callable[..., object], delay_ms: float = 0, *arguments: Any) -> asyncio.TimerHandle:
    """Call `act` after so many milliseconds."""
    return asyncio.get_running_loop().call_later(delay_ms / 1000, act, *arguments)


def clear_timeout(timer: asyncio.TimerHandle | None) -> None:
    """Do not call it."""
    if timer is not None:
        timer.cancel()


def queue_microtask(act: Callable[[], object]) -> None:
    """Call `act` soon."""
    asyncio.get_running_loop().call_soon(act)
