"""Header fields: what of an answer an HTTP connection cannot carry as it is meant, and which are remembered.

An answer may come from another node, or be made of what a client sent, and must not end there and begin another answer."""

import re
from collections.abc import Sequence
from functools import lru_cache

from littoral.core.http import Headers

FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, sections 5.1 and 5.5."""
FINAL = (200, 599)
"""Statuses of answers."""
BODILESS = frozenset({204, 304})
"""After these the next answer begins with the next byte, whatever the head says (RFC 9112, section 6.3)."""


def flaw_of(status: int, headers: Headers) -> str:
    """Why a response with this status and these header fields cannot be sent; "" if it can."""
    if not FINAL[0] <= status <= FINAL[1]:
        return f"{status} is the status of no answer"
    for name, value in headers:
        if not _is_name(name):
            return f"{name[:40]!r} is no name of a header field"
        if not ((value.isascii() and value.isprintable()) or FIELD_VALUE.fullmatch(value)):
            return f"the header field {name[:40]} holds a character that none may hold"
    return ""


@lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return FIELD_NAME.fullmatch(name) is not None


REMEMBERED_CHARACTERS = 2048
"""Fields that are longer are not remembered: many of them would take too much memory."""
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


def may_be_remembered(fields: Sequence[tuple[str, str]]) -> bool:
    """Whether what follows from them is kept for when they come again: they are short, and none is secret."""
    characters = 0
    for name, value in fields:
        if name in _SECRET:
            return False
        characters += len(name) + len(value)
    return characters <= REMEMBERED_CHARACTERS
