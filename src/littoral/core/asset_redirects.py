"""The file `_redirects` of an app's assets, as Workers have it: for which paths clients are sent elsewhere.

    # a comment
    /old            /new              301
    /blog/*         https://blog.example/:splat
    /user/:name     /people/:name     308
    /app/*          /app/index        200

The first line that is about a path holds. 302 where no status is given; 200 gives the file at the other path without saying so.
"""

from typing import NamedTuple

from littoral.core.asset_patterns import BadPattern, Pattern, Values, encoded, filled, without_empty_parts

FILE = "_redirects"
LINE_CHARACTERS = 1000
PLAIN_MOST, DYNAMIC_MOST = 2000, 100
"""Lines without and with placeholders, as in Workers. One without counts among the others once one of them has come: order holds."""
GIVEN = 200
"""The status of a rule that gives another file, and sends nobody anywhere."""
STATUSES = (GIVEN, 301, 302, 303, 307, 308)
_SCHEMES = ("https://", "http://")
_FOUND = 302


class Fault(NamedTuple):
    """What is wrong with a line, which is without effect."""

    line: int
    cause: str
    remedy: str = ""
    is_error: bool = True
    """Else it only may not be what was meant."""


class Redirect(NamedTuple):
    """Where somebody is sent."""

    to: str
    """A path or a URL, with the query where it has none of its own."""
    status: int


class _Rule(NamedTuple):
    pattern: Pattern
    to: str
    status: int


class Redirects:
    """The rules of a file. A line that is wrong is left out, and in `faults`."""

    def __init__(self, text: str = "") -> None:
        self.faults: list[Fault] = []
        self._plain: dict[str, _Rule] = {}
        self._dynamic: list[_Rule] = []
        self._known: set[str] = set()
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if words and not words[0].startswith("#"):
                self._read(number, line.strip(), words)

    def __bool__(self) -> bool:
        return bool(self._plain or self._dynamic)

    def find(self, path: str, query: str) -> Redirect | None:
        """Where a path, percent-encoded as it came, leads; None where no rule is about it."""
        path = without_empty_parts(path)
        if (rule := self._plain.get(path)) is not None:
            return _sent(rule, {}, query)
        for rule in self._dynamic:
            if (values := rule.pattern.match(path)) is not None:
                return _sent(rule, values, query)
        return None

    def _read(self, number: int, line: str, words: list[str]) -> None:
        try:
            rule = _rule(line, words)
        except _WrongLine as error:
            self.faults.append(Fault(number, str(error), error.remedy))
            return
        source = rule.pattern.text
        if source in self._known:
            self.faults.append(Fault(number, f"a line above is about {source} already, and holds", is_error=False))
            return
        is_plain = rule.pattern.is_plain and not self._dynamic
        there, most = (len(self._plain), PLAIN_MOST) if is_plain else (len(self._dynamic), DYNAMIC_MOST)
        if there == most:
            kind = "without * and placeholders" if is_plain else "with * or placeholders, and after the first of these"
            self.faults.append(
                Fault(number, f"there are more than {most} lines {kind}", "Move those without to the top")
            )
            return
        self._known.add(source)
        if is_plain:
            self._plain[source] = rule
        else:
            self._dynamic.append(rule)


class _WrongLine(ValueError):
    def __init__(self, cause: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(cause)


def _rule(line: str, words: list[str]) -> _Rule:
    """Raises _WrongLine."""
    if len(line) > LINE_CHARACTERS:
        raise _WrongLine(f"it has {len(line)} characters; at most {LINE_CHARACTERS} are read", "Write a shorter rule")
    if len(words) not in (2, 3):
        raise _WrongLine(f"found {len(words)} words", "Write a path, where it leads, and a status: /old /new 301")
    source, to = encoded(words[0].partition("#")[0]), words[1]
    if not source.startswith("/"):
        raise _WrongLine(f'found "{words[0][:80]}"; a rule is about a path', 'Begin with "/", and leave the host out')
    if "?" in words[0]:
        raise _WrongLine(f'found "{words[0][:80]}"; rules look at paths, not at queries', "Leave the query out")
    status = int(words[2]) if len(words) == 3 and words[2].isascii() and words[2].isdecimal() else _FOUND
    if len(words) == 3 and (not words[2].isdecimal() or status not in STATUSES):
        raise _WrongLine(f'found the status "{words[2][:20]}"', f"It is one of {', '.join(map(str, STATUSES))}")
    is_path = to.startswith("/") and not to.startswith("//")
    if not is_path and not to.startswith(_SCHEMES):
        raise _WrongLine(f'found "{to[:80]}"; it leads nowhere', 'Begin with "/" for a path, or with "https://"')
    if status == GIVEN and not is_path:
        raise _WrongLine("status 200 gives a file of the app's own", "Write a path, or send clients there with 302")
    path = to.partition("#")[0].partition("?")[0]
    ends = source.endswith(("/", "/*")) and path.endswith(("/index", "/index.html")) and is_path
    if ends or path == source:
        raise _WrongLine("it leads back to itself", "For one page at all paths set assets.not_found_handling instead")
    try:
        pattern = Pattern(source)
    except BadPattern as error:
        raise _WrongLine(str(error), "Give each placeholder a name of its own, and have one * at most") from error
    return _Rule(pattern, encoded_reference(to), status)


def encoded_reference(text: str) -> str:
    """A path or URL, with what is not ASCII encoded."""
    return "".join(each if each.isascii() else encoded(each) for each in text)


def _sent(rule: _Rule, values: Values, query: str) -> Redirect:
    to = filled(rule.to, values)
    if to.startswith(("/", "\\")):
        # A path whatever a client has put there, and not another host.
        to = "/" + to.lstrip("/\\")
    where, mark, fragment = to.partition("#")
    if query and "?" not in where:
        where = f"{where}?{query}"
    return Redirect(where + mark + fragment, rule.status)
