"""YAML text to plain values, with the line of every value.

Rules, where they are narrower than YAML's:

- Scalars are read by the YAML 1.2 core schema: only `true` and `false` are booleans, dates are text. So `no`, `on`
  and `12:30` are what they look like.
- A key that occurs twice in a mapping is an error, and so is one that is not text.
- Anchors, aliases, merge keys and tags are errors: a kilobyte of aliases can stand for a terabyte.
- A document ends where a line begins with `---` (YAML 1.2.2, section 9.1.2: nothing inside a document may look like
  that), so that a syntax error in one document does not hide the problems of the next.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from littoral.core.resources.problem import Path, Problem, path_text

DEPTH_MOST = 32
"""Levels of nesting; `littoral/v1` needs 7. What walks a document may recurse."""

_MARKER = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}


class _Mark(Protocol):
    """A place in the text; the parser in C and the one in Python have classes of their own."""

    line: int
    column: int


Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]


@dataclass(slots=True)
class Document:
    """One document of a file."""

    number: int
    """Counted from 1."""
    value: Value = None
    lines: dict[Path, int] = field(default_factory=dict)
    """The line of every member and element."""
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read_documents(text: str) -> Iterator[Document]:
    """The documents of a file, empty ones left out. A broken one has problems, and perhaps no value."""
    number = 0
    starts = [0, *(match.start() for match in _MARKER.finditer(text))]
    line = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        document = _Builder(number + 1, line).build(part)
        line += part.count("\n")
        if document.problems or document.value is not None:
            number += 1
            yield document


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is not finished."""

    value: list[Value] | dict[str, Value]
    path: Path
    key: str | None = None
    """The key whose value comes next."""


class _BrokenError(Exception):
    """The document cannot be read on, so nothing is said of its content; the problem is recorded."""


class _Builder:
    """Builds one document from the parser's events, without recursion."""

    def __init__(self, number: int, first_line: int) -> None:
        self._document = Document(number)
        self._first_line = first_line
        self._open: list[_Open] = []

    def build(self, text: str) -> Document:
        found = _UNPRINTABLE.search(text)
        if found is not None:
            line = self._first_line + text.count("\n", 0, found.start()) + 1
            column = found.start() - text.rfind("\n", 0, found.start())
            self._report(f"the character U+{ord(found[0]):04X} is not allowed in YAML", line=line, column=column)
            return self._document
        try:
            for event in yaml.parse(text, Loader=yaml.CSafeLoader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = ", ".join(part for part in (error.context, error.problem) if part)
            self._syntax_error(what, mark)
        except yaml.YAMLError as error:
            self._syntax_error(str(error), None)
        except _BrokenError:
            self._document.value = None
        return self._document

    def _syntax_error(self, what: str, mark: _Mark | None) -> None:
        self._document.value = None
        line = None if mark is None else self._first_line + mark.line + 1
        column = None if mark is None else mark.column + 1
        self._report(f"this is not YAML: {what}", line=line, column=column)

    def _line(self, event: yaml.Event) -> int:
        assert event.start_mark is not None
        return self._first_line + event.start_mark.line + 1

    def _report(self, cause: str, *, path: Path = (), line: int | None = None, column: int | None = None) -> None:
        number = self._document.number
        problem = Problem(cause=cause, path=path, line=line, column=column, document=number)
        self._document.problems.append(problem)

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"the alias *{event.anchor} is not supported; write the value out")
        if isinstance(event, yaml.NodeEvent):
            if event.anchor is not None:
                self._refuse(event, f"the anchor &{event.anchor} is not supported; write the value where it is used")
            if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
                self._refuse(event, f"the tag {event.tag} is not supported")
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin({}, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin([], event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._open.pop()

    def _refuse(self, event: yaml.Event, cause: str) -> None:
        self._report(cause, line=self._line(event))
        raise _BrokenError

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        outer = self._open[-1] if self._open else None
        if outer is None or isinstance(outer.value, list) or outer.key is not None:
            self._put(_scalar(event), event)
            return
        outer.key = event.value
        path = (*outer.path, event.value)
        if event.value in outer.value:
            first = self._document.lines[path]
            line = self._line(event)
            self._report(f"{path_text(path[-1:])} is set twice; the first is in line {first}", path=path, line=line)
        else:
            self._document.lines[path] = self._line(event)

    def _begin(self, value: list[Value] | dict[str, Value], event: yaml.Event) -> None:
        if len(self._open) >= DEPTH_MOST:
            self._refuse(event, f"it is nested more than {DEPTH_MOST} levels deep")
        path = self._put(value, event)
        self._open.append(_Open(value, path))

    def _put(self, value: Value, event: yaml.Event) -> Path:
        """Put a value where it belongs; returns its path."""
        if not self._open:
            self._document.value = value
            self._document.lines[()] = self._line(event)
            return ()
        outer = self._open[-1]
        if isinstance(outer.value, list):
            path: Path = (*outer.path, len(outer.value))
            self._document.lines[path] = self._line(event)
            outer.value.append(value)
            return path
        if outer.key is None:
            self._refuse(event, "a key must be text, not a mapping or a list")
            raise AssertionError("unreachable: _refuse raises")
        path = (*outer.path, outer.key)
        outer.value[outer.key] = value
        outer.key = None
        return path


def _scalar(event: yaml.ScalarEvent) -> Value:
    """A scalar by the YAML 1.2 core schema (section 10.3.2), without octal and hexadecimal numbers."""
    text: str = event.value
    if event.style not in (None, ""):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
