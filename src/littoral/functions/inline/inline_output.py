"""What apps write to the standard output and error of a process that runs several: lines of the node's log and of the app's, as many of
them a second as a worker may log, without the app's secrets."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, TextIO, cast

from littoral.functions.worker.redaction import Redact
from littoral.functions.zygote.worker_log import WorkerLog

SECOND_S = 1.0


class AppOutput:
    """Of one app. It may be written to by any thread."""

    def __init__(self, name: str, lines: int, size: int, redact: Redact, say: Callable[[str], None]) -> None:
        """name: stands before its lines in the node's log. lines, size: how many lines and bytes a second are logged; 0 for all. redact:
        takes out what must not be logged. say: passes lines on to the app's log."""
        self.name = name
        self._log = WorkerLog(name, lines, size)
        self._prefix = f"{name}: "
        self._redact = redact
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._second: asyncio.TimerHandle | None = None

    def write(self, text: str) -> None:
        """Log the lines that end in it."""
        lines = self._log.feed(self._redact(text).encode("utf-8", "replace"))
        if not self._waiting:
            self._loop.call_soon_threadsafe(self._flush)
        self._waiting.append(lines)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._pass_on(b"".join(waiting))
        if self._second is None:
            self._second = self._loop.call_later(SECOND_S, self._end_second)

    def _end_second(self) -> None:
        self._second = None
        self._pass_on(self._log.next_second())

    def _pass_on(self, lines: bytes) -> None:
        if lines:
            os.write(2, lines)
            said = lines.decode("utf-8", "replace").removesuffix("\n").split("\n")
            self._say("\n".join(line.removeprefix(self._prefix) for line in said))


current_output: ContextVar[AppOutput | None] = ContextVar("output", default=None)
"""Of the app whose code runs."""


class OutputByApp:
    """A text stream of the process: what an app writes goes to the app's output. All else is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Returns the length of `text`, as whoever wrote expects."""
        output = current_output.get()
        if output is None:
            return self._stream.write(text)
        output.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """One after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def divide_output() -> None:
    """From now on, what an app writes goes to the app's output; twice is once."""
    if not isinstance(sys.stdout, OutputByApp):
        sys.stdout = cast("TextIO", OutputByApp(sys.stdout))
        sys.stderr = cast("TextIO", OutputByApp(sys.stderr))
