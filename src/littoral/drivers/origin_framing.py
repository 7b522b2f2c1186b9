"""Where the body of an origin's response ends, and whether its connection may be used again (RFC 9112, sections 6.3 and 9.3).

What can be read in two ways is refused: two that disagree on where a response ends can be made to mistake the body of one
for the head of the next.
"""

from typing import NamedTuple

from littoral.gateway.field_block import Fields

BODILESS = frozenset({204, 304})
MAX_LENGTH_DIGITS = 18
"""Of a body's bytes. More is no length but an attempt at an overflow."""

_JUDGED = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})


class BadFraming(ValueError):
    """Why nobody can tell where it ends."""


class Framing(NamedTuple):
    """Of one response."""

    length: int | None
    """As announced, whether or not there is a body (HEAD, 304)."""
    has_body: bool
    until_close: bool
    keep: bool
    """Whether another request may follow."""
    keep_s: float | None
    """For how long the origin says it waits for one."""


def framing_of(method: str, status: int, version: str, fields: Fields) -> Framing:
    """fields: names in lower case. Raises BadFraming."""
    length_text = coding = options = ""
    lengths = codings = 0
    keep_s = None
    for name, value in fields:
        if name in _JUDGED:
            if name == "content-length":
                lengths += 1
                length_text = value
            elif name == "transfer-encoding":
                codings += 1
                coding = value
            elif name == "connection":
                options = f"{options},{value}" if options else value
            else:
                keep_s = _seconds(value)
    keep = version == "1.1" if not options else options == "keep-alive" or _keeps(options, version)
    length = _length(length_text, lengths) if lengths else None
    if codings:
        _check_coding(coding, codings, lengths, status, version)
    if status in BODILESS or method == "HEAD":
        if status == 204 and length:
            raise BadFraming("it announces a body with a status that has none (204)")
        return Framing(length, False, False, keep, keep_s)
    until_close = not lengths and not codings
    return Framing(length, length != 0, until_close, keep and not until_close, keep_s)


def _length(text: str, count: int) -> int:
    if count > 1 or not text.isdecimal() or not text.isascii() or len(text) > MAX_LENGTH_DIGITS:
        raise BadFraming("it has more than one content-length, or one that is no length")
    return int(text)


def _keeps(options: str, version: str) -> bool:
    tokens = {each.strip().lower() for each in options.split(",")}
    return "close" not in tokens and (version == "1.1" or "keep-alive" in tokens)


def _check_coding(coding: str, codings: int, lengths: int, status: int, version: str) -> None:
    if lengths:
        raise BadFraming("it has both content-length and transfer-encoding")
    if version != "1.1":
        raise BadFraming("it has transfer-encoding, which HTTP/1.0 does not know")
    if status == 204:
        raise BadFraming("it announces a body with a status that has none (204)")
    if codings > 1 or coding.lower() != "chunked":
        raise BadFraming("it has another transfer-encoding than chunked, which is all that was asked for")


def _seconds(value: str) -> float | None:
    """The timeout of a Keep-Alive field; servers do as they say in it."""
    for part in value.split(","):
        name, _, text = part.strip().partition("=")
        if name.lower() == "timeout" and text.isascii() and text.isdecimal():
            return float(text[:9])
    return None
