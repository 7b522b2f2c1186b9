"""Which paths a line of `_redirects` or `_headers` is about, and what it takes of them, as Workers have it.

    *        whatever comes there, slashes included; once in a line. Its value is `:splat`
    :name    something, up to the next slash

A path is matched in time that grows with its length and no faster, whatever the pattern: it is compared part by part, and there is
one way only in which a part can match. The patterns are an app's, and the paths are anybody's.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

SPLAT = "splat"

_PLACEHOLDER = re.compile(r":([A-Za-z]\w*)", re.ASCII)
_KEPT = "/%:*!$&'()+,;=@~"
"""Of what is no letter or digit: what a path has as it is."""
_SLASHES = re.compile("/{2,}")

Values = dict[str, str]


class BadPattern(ValueError):
    """It is none; says why."""


class Pattern:
    """One of them."""

    def __init__(self, text: str, separator: str = "/") -> None:
        """separator: what a placeholder does not go beyond. Raises BadPattern."""
        self.text = text
        names = _PLACEHOLDER.findall(text)
        self.is_plain = not names and "*" not in text
        if text.count("*") > 1:
            raise BadPattern("it has more than one *")
        if len(set(names)) < len(names) or SPLAT in names:
            raise BadPattern("it names a placeholder twice, or one `splat`, which is the value of *")
        self._separator = separator
        parts = text.split(separator)
        self._splat = next((at for at, part in enumerate(parts) if "*" in part), None)
        if self._splat is not None and _PLACEHOLDER.search(parts[self._splat]):
            raise BadPattern(f"it has a placeholder and a * between the same two {separator!r}")
        # Literals and names by turns, literals first and last.
        self._parts = [_PLACEHOLDER.split(part) for part in parts]

    def match(self, text: str) -> Values | None:
        """What its placeholders stand for in a text; None where it is not about that."""
        if self.is_plain:
            return {} if text == self.text else None
        given, wanted, values = text.split(self._separator), self._parts, Values()
        if self._splat is None:
            if len(given) != len(wanted):
                return None
        else:
            after = len(wanted) - self._splat - 1
            if len(given) <= self._splat + after:
                return None
            middle = self._separator.join(given[self._splat : len(given) - after])
            first, last = wanted[self._splat][0].split("*")
            if len(middle) < len(first) + len(last) or not (middle.startswith(first) and middle.endswith(last)):
                return None
            values[SPLAT] = middle[len(first) : len(middle) - len(last)]
            given = given[: self._splat] + given[len(given) - after :]
            wanted = wanted[: self._splat] + wanted[self._splat + 1 :]
        if all(_takes(each, part, values) for each, part in zip(wanted, given, strict=True)):
            return values
        return None


def _takes(wanted: list[str], part: str, values: Values) -> bool:
    """Whether a part matches: of several placeholders the first takes as much as it can."""
    if len(wanted) == 1:
        return part == wanted[0]
    first, last = wanted[0], wanted[-1]
    if len(part) <= len(first) + len(last) or not (part.startswith(first) and part.endswith(last)):
        return False
    left, end = part[len(first) :], len(part) - len(first) - len(last)
    for at in range(len(wanted) - 2, 1, -2):
        between = wanted[at - 1]
        begin = left.rfind(between, 0, max(0, end - 1))
        if begin < 0:
            return False
        values[wanted[at]] = left[begin + len(between) : end]
        end = begin
    values[wanted[1]] = left[:end]
    return end > 0


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with what its placeholders stand for. Those that nothing stands for stay."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text) if values else text


def encoded(path: str) -> str:
    """A path as people write it, in the form in which gateways see paths."""
    return quote(path, safe=_KEPT)


def without_empty_parts(path: str) -> str:
    """A path as files are found by it: "//a///b" is "/a/b"."""
    return _SLASHES.sub("/", path) if "//" in path else path
