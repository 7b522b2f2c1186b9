"""What of an answer an HTTP connection cannot carry as it is meant. It may come from another node, or be made of what a
client sent, and must not end there and begin another answer."""

import re
from functools import lru_cache

from littoral.core.http import Headers

FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, sections 5.1 and 5.5."""
BODILESS = frozenset({204, 304})
"""After these the next answer begins with the next byte, whatever the head says (RFC 9112, section 6.3)."""


def flaw_of(status: int, headers: Headers) -> str:
    """Why a response with this status and these header fields cannot be sent; "" if it can."""
    if not 200 <= status <= 599:
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
