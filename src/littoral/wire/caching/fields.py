"""Header fields as the caching decisions read them (RFC 9110, section 5)."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache, wraps
from typing import TypeVar

Fields = Sequence[tuple[str, str]]
"""Names in lower case, values as latin-1, in their order, repeated ones apart."""

VALUE_CHARACTERS = 8192
"""A longer combined value is not looked into: no header field that a cache reads needs it."""

REMEMBERED_VALUES, REMEMBERED_CHARACTERS = 1024, 512
"""Of each kind of value what was read of it is kept, as the same ones come again and again. Clients choose many of them: so this
bounds what they can make the cache keep, to about a megabyte a kind."""

T = TypeVar("T")

OF_THE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9111, section 3.1, and RFC 9110, section 7.6.1: never stored."""

_MEMBER = re.compile(r'[^",]*+(?:"(?:[^"\\]|\\.)*+"?[^",]*+)*+')


def remembered(read: Callable[[str], T]) -> Callable[[str], T]:
    """The same function, which keeps what it has found for short values."""
    find = lru_cache(maxsize=REMEMBERED_VALUES)(read)

    @wraps(read)
    def look_up(value: str) -> T:
        return find(value) if len(value) <= REMEMBERED_CHARACTERS else read(value)

    return look_up


def combined(fields: Fields, name: str) -> str | None:
    """All lines of that name as one value (RFC 9110, section 5.3); None where there is none."""
    found = [value for known, value in fields if known == name]
    if not found:
        return None
    return found[0] if len(found) == 1 else ", ".join(found)


def table(fields: Fields) -> dict[str, str]:
    """All fields by name, lines of one name combined: what the decisions read a request from, made once for each."""
    found = dict(fields)
    if len(found) == len(fields):
        return found
    found = {}
    for name, value in fields:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def without(fields: Fields, names: Collection[str]) -> list[tuple[str, str]]:
    """All but these."""
    return [field for field in fields if field[0] not in names]


def connection_names(connection: str | None) -> frozenset[str]:
    """What a message with this `Connection` keeps to its connection."""
    if connection is None:
        return OF_THE_CONNECTION
    return OF_THE_CONNECTION | {name.lower() for name in members(connection)}


def members(value: str) -> tuple[str, ...]:
    """The members of a list (RFC 9110, section 5.6.1), without the empty ones; commas within quoted strings are part of
    them."""
    if '"' not in value:
        return _stripped(value.split(","))
    return _quoted_members(value)


@remembered
def _quoted_members(value: str) -> tuple[str, ...]:
    return _stripped(_MEMBER.findall(value[:VALUE_CHARACTERS]))


def _stripped(found: Iterable[str]) -> tuple[str, ...]:
    return tuple([stripped for member in found if (stripped := member.strip(" \t"))])
