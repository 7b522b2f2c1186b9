"""Parts of representations (RFC 9110, section 14; RFC 9111, sections 3.3 and 3.4): served from what is stored, whole or not,
and put together.

Of several ranges that are apart the whole is sent: multipart/byteranges is not made.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from littoral.wire.byte_range import Unsatisfiable, byte_range, joined, missing
from littoral.wire.caching.fields import Fields, without
from littoral.wire.caching.http_date import parse_date
from littoral.wire.caching.storing import Stored
from littoral.wire.caching.validation import is_strong, strong_match, update


class Selected(Struct, frozen=True):
    """What of what is stored answers a request."""

    status: int
    """206 for a part, 416 for one beyond the end, otherwise that of what is stored."""
    start: int
    end: int
    """Excluded."""
    content_range: str = ""
    """For the field of that name; empty for none."""


def select(stored: Stored, size: int, method: str, asked: Mapping[str, str], now_s: float) -> Selected | None:
    """After the request's conditions were judged; None where that is not stored. size: of the whole representation; of a
    partial one it is known anyway."""
    size = stored.total if stored.parts else size
    status = 200 if stored.status == 206 else stored.status
    span = None
    if method == "GET" and status == 200:
        header = asked.get("range")
        try:
            if header is not None and _holds_for(stored, asked.get("if-range"), now_s):
                span = byte_range(header, size)
        except Unsatisfiable:
            return Selected(416, 0, 0, f"bytes */{size}")
    start, end = span or (0, size)
    if stored.parts and missing(stored.parts, start, end):
        return None
    if span is None:
        return Selected(status, 0, size)
    return Selected(206, start, end, f"bytes {start}-{end - 1}/{size}")


def received(stored: Stored, length: int) -> Stored | None:
    """A part, once its body has come whole with this length. None where it is not what was announced, and so cannot be used.

    One that reaches up to the end by what it says, but is shorter, counts the end wrongly: there are origins whose last position is
    one too far. The representation is then taken to end where the bytes do. That differs from what any other part
    says of its length, so it is not put together with one."""
    assert len(stored.parts) == 1
    start, end = stored.parts[0]
    if length == end - start:
        return stored
    if 0 < length < end - start and end == stored.total:
        return replace(stored, parts=((start, start + length),), total=start + length)
    return None


def combine(older: Stored, newer: Stored, response_s: float) -> Stored | None:
    """Two parts of one representation as one (RFC 9111, section 3.4); None where they may be of different ones: then the
    newer replaces the older. A whole one that is stored takes the place of either."""
    if not (older.parts and newer.parts and strong_match(older.etag, newer.etag) and older.total == newer.total):
        return None
    return replace(
        newer,
        fields=tuple(update(older, newer.fields, response_s)),
        parts=joined((*older.parts, *newer.parts)),
    )


def missing_range(stored: Stored) -> str:
    """For `Range`: what lacks to make a partial response whole, where that is one range; empty if it is whole, or
    lacks several. Without a strong entity tag the answer cannot be put together with what is stored (`combine`), and the request
    is to be made again for all of it; but parts without any validator are rare, and those with a weak one are not asked for."""
    if not stored.parts or (stored.etag and not is_strong(stored.etag)):
        return ""
    lacking = missing(stored.parts, 0, stored.total)
    if len(lacking) != 1:
        return ""
    start, end = lacking[0]
    return f"bytes={start}-" if end == stored.total else f"bytes={start}-{end - 1}"


def completing_fields(request_fields: Fields, stored: Stored) -> list[tuple[str, str]]:
    """Of the request for `missing_range`, from the client's: if the representation is another one by now, all of it comes
    (RFC 9110, section 13.1.5)."""
    fields = without(request_fields, {"range", "if-range", "if-none-match", "if-modified-since"})
    fields.append(("range", missing_range(stored)))
    if stored.etag:
        fields.append(("if-range", stored.etag))
    return fields


def _holds_for(stored: Stored, if_range: str | None, now_s: float) -> bool:
    """RFC 9110, section 13.1.5."""
    if if_range is None:
        return True
    if is_strong(if_range):
        return strong_match(if_range, stored.etag)
    # A date is a strong validator only if the representation had time to change after it (section 8.8.2.2).
    if stored.modified_s is None or stored.date_s - stored.modified_s < 1:
        return False
    return parse_date(if_range, now_s) == stored.modified_s
