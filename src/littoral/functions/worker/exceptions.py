"""What an app's code raised, as its worker tells the hub: each with what it takes to find it, and the same ones together.

The first of a kind is told at once; what comes after it within TELL_S is told together. A flood costs the worker a dictionary.
"""

import asyncio
import contextlib
import os
import traceback
from collections.abc import Awaitable, Callable
from contextvars import Context
from types import FrameType, TracebackType

from msgspec import Struct

from littoral.functions.worker.error_page import trace_of
from littoral.functions.worker.loader import PACKAGES
from littoral.functions.worker.redaction import Redact
from littoral.workers import BindingError

KIND = "exception"
"""Of the binding calls by which it is told."""
TELL_S = 1.0
KINDS_MOST = 32
"""Told of at a time; what is beyond is in the log only."""
TEXT_CHARACTERS, TRACE_CHARACTERS = 500, 8000
"""Of a message, and of a traceback: the end of one says where it was."""


class Raised(Struct, array_like=True):
    """Exceptions of one type from one place."""

    type: str
    place: str
    """File, line and function of the innermost frame in the app's own code; empty where there is none."""
    message: str
    subject: str
    """What it was doing."""
    request_id: str
    trace: str
    count: int = 1


def place_of(trace: TracebackType | None, directory: str) -> str:
    """Where in the app's own code it came from. directory: of the app's code; its packages are other people's."""
    own, others = os.path.join(directory, ""), os.path.join(directory, PACKAGES, "")
    found: tuple[FrameType, int] | None = None
    for frame, line in traceback.walk_tb(trace):
        path = frame.f_code.co_filename
        if path.startswith(own) and not path.startswith(others):
            found = frame, line
    if found is None:
        return ""
    frame, line = found
    return f"{frame.f_code.co_filename.removeprefix(own)}:{line} in {frame.f_code.co_name}"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is the app's code
        return "<its text raised an exception>"


class ExceptionTeller:
    """Of one worker."""

    def __init__(self, directory: str, tell: Callable[[list[object]], Awaitable[object]], redact: Redact) -> None:
        """directory: of the app's code. tell: gives the hub a list of Raised. redact: takes out of a text what must not leave the
        worker."""
        self._directory = directory
        self._tell = tell
        self._redact = redact
        self._waiting: dict[tuple[str, str], Raised] = {}
        self._telling: asyncio.Task[None] | None = None

    def note(self, error: BaseException, subject: str, request_id: str) -> None:
        """Something was raised."""
        module, kind = type(error).__module__, type(error).__qualname__
        name = kind if module == "builtins" else self._redact(f"{module}.{kind}")
        place = place_of(error.__traceback__, self._directory)
        known = self._waiting.get((name, place))
        if known is not None:
            known.count += 1
            return
        if len(self._waiting) >= KINDS_MOST:
            return
        self._waiting[name, place] = Raised(
            name,
            place,
            self._redact(_said(error))[:TEXT_CHARACTERS],
            self._redact(subject)[:TEXT_CHARACTERS],
            request_id,
            self._redact(trace_of(error, self._directory))[-TRACE_CHARACTERS:],
        )
        if self._telling is None or self._telling.done():
            # In no context: what the request of the moment may take is not for this.
            work = self._keep_telling()
            self._telling = asyncio.get_running_loop().create_task(work, context=Context())

    async def _keep_telling(self) -> None:
        while self._waiting:
            told: list[object] = list(self._waiting.values())
            self._waiting = {}
            with contextlib.suppress(BindingError):
                # A hub that is away hears nothing of these; the log has them.
                await self._tell(told)
            await asyncio.sleep(TELL_S)
