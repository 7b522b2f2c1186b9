"""`js.console`: lines on the worker's output, which the node's log keeps."""

import sys
from typing import Any

from littoral.workers.js.values import JSON


class Console:
    """Writes to standard output what informs, and to standard error what warns."""

    def log(self, *values: Any) -> None:
        """A line for people."""
        _write(sys.stdout, values)

    info = debug = trace = log

    def error(self, *values: Any) -> None:
        """A line for people who look for what is wrong."""
        _write(sys.stderr, values)

    warn = error


def _write(stream: Any, values: tuple[Any, ...]) -> None:
    stream.write(" ".join(_shown(value) for value in values) + "\n")
    stream.flush()


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool | dict | list):
        return JSON.stringify(value, None, 2)
    return str(value)
