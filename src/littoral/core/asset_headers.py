"""The file `_headers` of an app's assets, as Workers have it: fields of the answers that are files, by their paths.

    # a comment
    /fonts/*
      Cache-Control: public, max-age=31536000
      ! X-Content-Type-Options
    https://:sub.shop.example/*
      X-Robots-Tag: noindex

All rules that are about a path hold, in order: a field takes the place of the platform's, is added to one of a rule above it, and
is taken away by a line that begins with "! ".
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from littoral.core.asset_patterns import BadPattern, Pattern, Values, encoded, filled, without_empty_parts
from littoral.core.asset_redirects import Fault

FILE = "_headers"
LINE_CHARACTERS = 2000
RULES_MOST = 100
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_HOST = "https://"
_ANY_SCHEME = re.compile(r"\S+://")
_TAKE_AWAY = "!"
_NOT_THEIRS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields that say how a body travels: with others nobody could read it."""

Fields = Sequence[tuple[str, str]]


class _Rule(NamedTuple):
    host: Pattern | None
    path: Pattern
    gone: list[str]
    fields: dict[str, str]


class HeaderRules:
    """The rules of a file. A line that is wrong is left out, and in `faults`."""

    def __init__(self, text: str = "") -> None:
        self.faults: list[Fault] = []
        self._rules: list[_Rule] = []
        rule: _Rule | None = None
        """The one whose lines follow; what belongs to one that is wrong is without effect, too."""
        for number, line in enumerate(map(str.strip, text.splitlines()), 1):
            if not line or line.startswith("#"):
                continue
            if len(line) > LINE_CHARACTERS:
                cause = f"it has {len(line)} characters; at most {LINE_CHARACTERS} are read"
                self._fault(number, cause, "Write a shorter line")
            elif line.startswith("/") or _ANY_SCHEME.match(line):
                rule = self._begin(number, line)
            elif rule is None:
                self._fault(number, "it belongs to no path", 'Write the path above it: "/*"')
            else:
                self._add(number, line, rule)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def apply(self, host: str, path: str, fields: Fields) -> Fields:
        """The fields of an answer to a request for that host, without a port, and that path. Names are in lower case."""
        if not self._rules:
            return fields
        path = without_empty_parts(path)
        changed, ours = list(fields), set[str]()
        for rule in self._rules:
            values = _values(rule, host, path)
            if values is None:
                continue
            if rule.gone:
                changed = [each for each in changed if each[0] not in rule.gone]
            for name, value in rule.fields.items():
                if name not in ours:
                    changed = [each for each in changed if each[0] != name]
                ours.add(name)
                changed.append((name, filled(value, values)))
        return changed

    def _begin(self, number: int, line: str) -> _Rule:
        host, path, wrong = "", line, _Rule(None, Pattern("/"), [], {})
        if not line.startswith("/"):
            if not line.startswith(_HOST):
                self._fault(number, f'found "{line[:80]}"', 'Begin with "/" or "https://"; it holds for http, too')
                return wrong
            host, slash, rest = line.removeprefix(_HOST).partition("/")
            path = slash + rest or "/"
        try:
            if (host + path).count("*") > 1:
                raise BadPattern("it has more than one *")
            if re.search(r":\d*$", host):
                raise BadPattern("it names a port; rules are for all of them")
            rule = _Rule(Pattern(host.lower(), ".") if host else None, Pattern(encoded(path)), [], {})
        except BadPattern as error:
            self._fault(number, str(error), "Give each placeholder a name of its own, and have one * at most")
            return wrong
        if len(self._rules) == RULES_MOST:
            self._fault(number, f"there are more than {RULES_MOST} rules", "Join rules that say the same")
            return wrong
        self._rules.append(rule)
        return rule

    def _add(self, number: int, line: str, rule: _Rule) -> None:
        takes_away = line.startswith(_TAKE_AWAY)
        name, colon, value = line.removeprefix(_TAKE_AWAY).strip().partition(":")
        name, value = name.strip().lower(), value.strip()
        if takes_away and colon:
            self._fault(
                number, "it takes a field away and gives it a value", f"Write `! {name}` alone, or `{name}: VALUE`"
            )
        elif not _NAME.fullmatch(name) or not (takes_away or value) or not _VALUE.fullmatch(value):
            self._fault(number, f'found "{line[:80]}"', "Write NAME: VALUE, or `! NAME`")
        elif name in _NOT_THEIRS:
            self._fault(number, f"{name} says how the answer travels", "Leave it to the gateway")
        elif takes_away:
            rule.gone.append(name)
        else:
            before = rule.fields.get(name)
            rule.fields[name] = value if before is None else f"{before}, {value}"

    def _fault(self, number: int, cause: str, remedy: str) -> None:
        self.faults.append(Fault(number, cause, remedy))


def _values(rule: _Rule, host: str, path: str) -> Values | None:
    of_host = {} if rule.host is None else rule.host.match(host)
    of_path = rule.path.match(path) if of_host is not None else None
    return None if of_host is None or of_path is None else {**of_host, **of_path}
