"""Cache-Control (RFC 9111, section 5.2): what it says, as an object.

Lenient where the RFC asks for it: names in any case, both forms of an argument, unknown directives. What a cache cannot
understand it takes for the more careful: an argument that is no number of seconds is 0 (section 4.2.1), and of several the first
holds.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from littoral.wire.caching.fields import VALUE_CHARACTERS, members, remembered

LONGEST_S = 1 << 31
"""What a longer number of seconds is taken for (RFC 9111, section 1.2.2)."""

_DIRECTIVE = re.compile(r'[ \t]*([^\s,="]*)(?:=(?:"((?:[^"\\]|\\.)*+)"|([^",\s]*)))?([^,]*)(?:,|\Z)')
_ESCAPED = re.compile(r"\\(.)")
_SECONDS = re.compile(r"[0-9]+")


class Directives(Struct, frozen=True):
    """Of a response. Numbers are seconds; None where there is no such directive."""

    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    no_store: bool = False
    no_cache: bool = False
    """For the whole response."""
    private: bool = False
    """For the whole response."""
    withheld: frozenset[str] = frozenset()
    """The fields that no-cache="..." and private="..." name: not to be stored by a shared cache, or not to be used again."""
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False


class RequestDirectives(Struct, frozen=True):
    """Of a request (section 5.2.1)."""

    max_age: int | None = None
    max_stale: int | None = None
    min_fresh: int | None = None
    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False


SILENT = Directives()
_UNREADABLE = Directives(no_store=True)
_NOTHING_ASKED = RequestDirectives()


@remembered
def parse_directives(value: str) -> Directives:
    """The combined value of a response's Cache-Control."""
    if len(value) > VALUE_CHARACTERS:
        return _UNREADABLE
    return build_directives((name, argument) for name, argument in _scan(value))


def build_directives(found: Iterator[tuple[str, str | None]]) -> Directives:
    """Of names in lower case with their arguments, None for none."""
    said: dict[str, str | None] = {}
    withheld: frozenset[str] = frozenset()
    whole: set[str] = set()
    for name, argument in found:
        said.setdefault(name, argument)
        if name in {"no-cache", "private"}:
            names = members(argument.lower()) if argument else ()
            withheld |= frozenset(names)
            if not names:
                whole.add(name)
    return Directives(
        max_age=_seconds(said, "max-age"),
        s_maxage=_seconds(said, "s-maxage"),
        stale_while_revalidate=_seconds(said, "stale-while-revalidate"),
        stale_if_error=_seconds(said, "stale-if-error"),
        no_store="no-store" in said,
        no_cache="no-cache" in whole,
        private="private" in whole,
        withheld=withheld,
        public="public" in said,
        must_revalidate="must-revalidate" in said,
        proxy_revalidate="proxy-revalidate" in said,
        must_understand="must-understand" in said,
    )


def request_directives(value: str, honour: bool) -> RequestDirectives | None:
    """The combined value of a request's Cache-Control; None where it asks for nothing. honour: whether the client may also
    forbid the use of what is stored, or ask for what is stale; otherwise only no-store and only-if-cached are left of it, which
    cost the origin nothing."""
    return _all_asked(value) if honour else _harmless(value)


@remembered
def _all_asked(value: str) -> RequestDirectives | None:
    said = _said(value)
    asked = RequestDirectives(
        max_age=_seconds(said, "max-age"),
        max_stale=_max_stale(said),
        min_fresh=_seconds(said, "min-fresh"),
        no_cache="no-cache" in said,
        no_store="no-store" in said,
        only_if_cached="only-if-cached" in said,
    )
    return None if asked == _NOTHING_ASKED else asked


@remembered
def _harmless(value: str) -> RequestDirectives | None:
    said = _said(value)
    asked = RequestDirectives(no_store="no-store" in said, only_if_cached="only-if-cached" in said)
    return None if asked == _NOTHING_ASKED else asked


def _said(value: str) -> dict[str, str | None]:
    """By name; nothing of what is too long to be looked into."""
    said: dict[str, str | None] = {}
    if len(value) <= VALUE_CHARACTERS:
        for name, argument in _scan(value):
            said.setdefault(name, argument)
    return said


def _max_stale(said: dict[str, str | None]) -> int | None:
    """Without an argument: of any age."""
    if "max-stale" in said and said["max-stale"] is None:
        return LONGEST_S
    return _seconds(said, "max-stale")


def _seconds(said: dict[str, str | None], name: str) -> int | None:
    if name not in said:
        return None
    argument = said[name] or ""
    if not _SECONDS.fullmatch(argument):
        return 0
    digits = argument.lstrip("0")
    return LONGEST_S if len(digits) > 10 else min(int(digits or "0"), LONGEST_S)


def _scan(value: str) -> Iterator[tuple[str, str | None]]:
    """Each directive with its argument, None for none. An argument with anything else beside it is empty."""
    for name, quoted, token, rest in _matches(value):
        if name:
            yield name.lower(), "" if rest.strip(" \t") else _unescaped(quoted) if quoted is not None else token


def _matches(value: str) -> Iterator[tuple[str, str | None, str | None, str]]:
    for match in _DIRECTIVE.finditer(value):
        name, quoted, token, rest = match.groups()
        yield name, quoted, token, rest


def _unescaped(quoted: str) -> str:
    return _ESCAPED.sub(r"\1", quoted)
