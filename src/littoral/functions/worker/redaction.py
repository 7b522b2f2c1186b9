"""Keeping secrets out of what a function prints.

What is printed in pieces, or encoded, is not recognised: this is for the slip, such as a dump of `env` or a URL with a token
in a traceback.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

Redact = Callable[[str], str]

MARK = "[secret]"
LEAST_CHARACTERS = 6
"""What is shorter stands in too much that is no secret."""


class Redacted:
    """A text stream that writes a mark in place of secrets. All else is the stream's."""

    def __init__(self, stream: TextIO, redact: Redact) -> None:
        self._stream = stream
        self._redact = redact

    def write(self, text: str) -> int:
        """Returns the length of `text`, as whoever wrote expects."""
        self._stream.write(self._redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """One after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redactor(secrets: Iterable[str]) -> Redact:
    """What puts the mark in place of these."""
    # The longest first: one may be part of another.
    hidden = sorted({each for each in secrets if len(each) >= LEAST_CHARACTERS}, key=len, reverse=True)

    def redact(text: str) -> str:
        for each in hidden:
            text = text.replace(each, MARK)
        return text

    return redact


def hide_secrets(secrets: Iterable[str]) -> Redact:
    """Keep these out of what this process prints from now on; returns what does so for a text."""
    hidden = list(secrets)
    redact = redactor(hidden)
    if hidden:
        sys.stdout = cast("TextIO", Redacted(sys.stdout, redact))
        sys.stderr = cast("TextIO", Redacted(sys.stderr, redact))
    return redact
