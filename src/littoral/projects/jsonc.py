"""JSON with comments to plain values, with the line of every value.

What is read besides JSON (RFC 8259): comments, `//` to the end of the line and `/* */`, and a comma after the last member
or element. A name that occurs twice in an object is an error, and so is half of a surrogate pair, which no text can hold.
"""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import NoReturn

from littoral.core.resources.problem import Path, Problem, path_text
from littoral.core.resources.syntax import DEPTH_MOST, Document, Value

_BLANK = re.compile(r"(?:[ \t\r\n]|//[^\r\n]*|/\*(?s:.*?)\*/)*")
_PLAIN = r'[^"\\\x00-\x1f]*'
_STRING = re.compile(rf'"{_PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){_PLAIN})*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][-+]?[0-9]+)?(?![\w.])")
_WORD = re.compile(r"(true|false|null)\b")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_LINE_END = re.compile(r"\n|\r\n?")
_CLOSING = {"{": "}", "[": "]"}
DIGITS_MOST = 400
"""Of one number: what is longer is not meant to be one, and costs more than its length to read."""


def read_jsonc(text: str) -> Document:
    """The one value of a file. What is broken has a problem, and no value."""
    return _Reader(text).read()


@dataclass(slots=True)
class _Open:
    """An object or array that is not finished."""

    value: list[Value] | dict[str, Value]
    path: Path
    closing: str
    has_members: bool = False


class _BrokenError(Exception):
    """The text cannot be read on; the problem is recorded."""


class _Reader:
    """Reads one value, without recursion."""

    def __init__(self, text: str) -> None:
        self._text = text.removeprefix("\ufeff")
        self._at = 0
        self._open: list[_Open] = []
        self._document = Document(1)
        self._starts = [0, *(end.end() for end in _LINE_END.finditer(self._text))]

    def read(self) -> Document:
        try:
            self._document.value = self._value(())
            while self._open:
                self._member(self._open[-1])
            if self._next():
                self._fail("something follows the end")
        except _BrokenError:
            self._document.value = None
        return self._document

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _fail(self, what: str, path: Path = ()) -> NoReturn:
        line = self._line()
        cause = f"this is not JSON with comments: {what}"
        column = self._at - self._starts[line - 1] + 1
        self._document.problems.append(Problem(cause=cause, path=path, line=line, column=column))
        raise _BrokenError

    def _next(self) -> str:
        """The next character that is no blank and in no comment; empty at the end."""
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None, "it matches nothing, too"
        self._at = blank.end()
        if self._text.startswith("/*", self._at):
            self._fail("this comment does not end")
        return self._text[self._at : self._at + 1]

    def _member(self, container: _Open) -> None:
        """The next member or element of `container`, or its end."""
        found = self._next()
        if container.has_members and found == ",":
            self._at += 1
            found = self._next()
        elif container.has_members and found != container.closing:
            self._fail(f'expected a comma or "{container.closing}"')
        if found == container.closing:
            self._at += 1
            self._open.pop()
            return
        container.has_members = True
        if isinstance(container.value, list):
            container.value.append(self._value((*container.path, len(container.value))))
            return
        if found != '"':
            self._fail(f'expected a name in double quotes, or "{container.closing}"')
        name = self._string()
        path = (*container.path, name)
        if name in container.value:
            self._fail(
                f"{path_text(path[-1:])} is there twice; the first is in line {self._document.lines[path]}", path
            )
        self._document.lines[path] = self._line()
        if self._next() != ":":
            self._fail(f"expected a colon after the name {path_text(path[-1:])}")
        self._at += 1
        container.value[name] = self._value(path)

    def _value(self, path: Path) -> Value:
        """The next value; an object or array is still empty, and open."""
        found = self._next()
        self._document.lines.setdefault(path, self._line())
        if found in _CLOSING:
            if len(self._open) >= DEPTH_MOST:
                self._fail(f"it is nested more than {DEPTH_MOST} levels deep")
            self._at += 1
            container: list[Value] | dict[str, Value] = {} if found == "{" else []
            self._open.append(_Open(container, path, _CLOSING[found]))
            return container
        if found == '"':
            return self._string()
        if word := _WORD.match(self._text, self._at):
            self._at = word.end()
            return _WORDS[word[1]]
        return self._number()

    def _string(self) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            self._fail("this text does not end in its line, or holds an escape that is none")
        text: str = json.loads(match[0])
        if any("\ud800" <= each <= "\udfff" for each in text):
            self._fail("this text holds half of a surrogate pair")
        self._at = match.end()
        return text

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            self._fail("expected a value" if self._at < len(self._text) else "it ends too early")
        if len(match[0]) > DIGITS_MOST:
            self._fail(f"a number has more than {DIGITS_MOST} characters")
        self._at = match.end()
        return float(match[0]) if match["fraction"] or match["exponent"] else int(match[0])
