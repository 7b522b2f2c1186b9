"""What a request asks for: the path and the query of its target, in the one form that everything goes by.

A route, a cache key and an origin must not read one target in different ways, or what one of them protects another gives
away. So the path is brought into normal form before anything looks at it, and is used, kept and sent on in that form
only (RFC 3986, section 6.2.2): unreserved characters are not encoded, the digits of what is encoded are upper case, and
there are no dot segments. Reserved characters keep their form: "/a%2Fb" is another path than "/a/b".

A dot segment that only some servers see ("/static/..%2Faccount", "/static/..;/account") has no form that all agree on: one that
decodes slashes, or cuts parameters off, answers for another path than the one that a route allowed and a cache keeps it under. It
is refused.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from littoral.core.errors import InvalidInput

_NORMAL = re.compile(r"(?:/(?:[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*)?)+")
"""Most paths are, and are seen to be so at once."""
_ALLOWED = re.compile(r"[\x21\x22\x24-\x7e]*")
"""What clients send in paths, RFC 3986 or not; "#" never, and nothing beyond ASCII."""
_ENCODED = re.compile(r"%(.{0,2})", re.DOTALL)
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HIDDEN_DOTS = re.compile(r"(?:/|%2F|%5C)\.\.?(?:/|%2F|%5C|;|$)")
"""In a normal path: what is a dot segment once encoded separators are decoded, or parameters cut off."""
_STRAY = re.compile(r'["<>\\^`{|}]')
"""Not allowed in a path, and sent all the same: they are encoded."""


class RequestTarget(NamedTuple):
    """A path in normal form, and the query as it was sent, without "?"."""

    path: str
    query: str

    def __str__(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


@lru_cache(maxsize=4096)
def read_target(target: str) -> RequestTarget:
    """Raises InvalidInput for what is no target in origin form ("/path?query") or "*"."""
    path, mark, query = target.partition("?")
    if mark and not _ALLOWED.fullmatch(query):
        raise _invalid(target, "its query holds a character that must be percent-encoded")
    if _NORMAL.fullmatch(path) or target == "*":
        return RequestTarget(path, query)
    if not path.startswith("/"):
        raise _invalid(target, 'it does not begin with "/"')
    if not _ALLOWED.fullmatch(path):
        raise _invalid(target, "its path holds a character that must be percent-encoded")
    normal = _without_dots(_STRAY.sub(_encoded, _ENCODED.sub(_decoded, path)))
    if _HIDDEN_DOTS.search(normal):
        raise _invalid(
            target, 'it holds a dot segment beside an encoded slash or ";", which servers read in different ways'
        )
    return RequestTarget(normal, query)


def _decoded(match: re.Match[str]) -> str:
    if not _HEX.fullmatch(match[1]):
        raise InvalidInput(
            "read target of request", match[0], "a percent sign is not followed by two hexadecimal digits"
        )
    character = chr(int(match[1], 16))
    if character == "\0":
        raise InvalidInput("read target of request", match[0], "it holds an encoded NUL")
    return character if character in _UNRESERVED else match[0].upper()


def _encoded(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _invalid(target: str, cause: str) -> InvalidInput:
    return InvalidInput("read target of request", target[:120], cause)
