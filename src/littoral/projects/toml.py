"""TOML to plain values, with the line of every key that begins one.

`tomllib` reads it, and says nothing of lines; these are found beside it, in a text that it has understood already. What is
written inside an array or inline table has the line of the key before it. Dates and times become text.
"""

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

from littoral.core.resources.problem import Path, Problem
from littoral.core.resources.syntax import Document, Value

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_NAME = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_BEGIN = re.compile(rf"[ \t]*(?:(?P<table>\[\[?)[ \t]*(?P<name>{_NAME})[ \t]*\]\]?|(?P<key>{_NAME})[ \t]*=)")
_PARTS = re.compile(_PART)
_TOKEN = re.compile(
    r'''"""(?s:(?:\\.|[^\\])*?)""""{0,2}|\'\'\'(?s:.*?)\'\'\'\'{0,2}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|(?s:.)'''
)
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


def read_toml(text: str) -> Document:
    """The content of a file. What is broken has a problem, and no value."""
    document = Document(1)
    try:
        document.value = _plain(tomllib.loads(text.removeprefix("\ufeff")))
    except (ValueError, RecursionError) as error:
        place = _PLACE.search(str(error))
        what = _PLACE.sub("", str(error)).strip()
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        document.problems.append(Problem(cause=f"this is not TOML: {what}", line=line, column=column))
        return document
    document.lines = _Lines(text).found
    return document


def _plain(value: Any) -> Value:
    """What tomllib read, in the types of the other formats."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    assert isinstance(value, str | int | float | bool)
    return value


class _Lines:
    """Where keys and tables begin."""

    def __init__(self, text: str) -> None:
        self.found: dict[Path, int] = {(): 1}
        self._elements: dict[Path, int] = {}
        """How many elements an array of tables has so far."""
        self._table: Path = ()
        self._walk(text)

    def _walk(self, text: str) -> None:
        at, line, depth, begins = 0, 1, 0, True
        while at < len(text):
            begin = _BEGIN.match(text, at) if begins and depth == 0 else None
            if begin is not None:
                self._begin(begin, line)
                at, begins = begin.end(), False
                continue
            token = _TOKEN.match(text, at)
            assert token is not None, "any character is a token"
            depth += (token[0] in "[{") - (token[0] in "]}")
            line += token[0].count("\n")
            begins = token[0] == "\n" or (begins and token[0] in " \t")
            at = token.end()

    def _begin(self, begin: re.Match[str], line: int) -> None:
        parts = tuple(_unquoted(part) for part in _PARTS.findall(begin["name"] or begin["key"]))
        if begin["table"] is None:
            self._note(self._table, parts, line)
            return
        # A name leads to the last element of every array of tables on its way.
        path: Path = ()
        for part in parts[:-1]:
            path = self._into((*path, part))
        path = (*path, parts[-1])
        if begin["table"] == "[[":
            self._elements[path] = self._elements.get(path, 0) + 1
        self._note((), path, line)
        self._table = self._into(path)
        self.found.setdefault(self._table, line)

    def _into(self, path: Path) -> Path:
        return (*path, self._elements[path] - 1) if path in self._elements else path

    def _note(self, table: Path, parts: Path, line: int) -> None:
        for length in range(1, len(parts) + 1):
            self.found.setdefault((*table, *parts[:length]), line)


def _unquoted(part: str) -> str:
    """A part of a key, as it is without its quotes."""
    if part[0] == '"':
        read: str = next(iter(tomllib.loads(f"{part} = 0")))
        return read
    return part.strip("'")
