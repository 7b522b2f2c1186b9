"""Every parser of what strangers send, as a function of bytes that returns, or raises what it says it raises.

A target also checks what must be true of what was read, so that more than a crash is found.
"""

from collections.abc import Callable

from littoral.core.errors import InvalidInput
from littoral.gateway.cache.key import device_of
from littoral.gateway.target import read_target as read_gateway_target
from littoral.wire.byte_range import Unsatisfiable, byte_range, content_range
from littoral.wire.caching.directives import parse_directives, request_directives
from littoral.wire.caching.fields import members
from littoral.wire.caching.http_date import format_date, parse_date
from littoral.wire.caching.selection import parse_vary, variant_key
from littoral.wire.caching.targeted import parse_targeted
from littoral.wire.caching.validation import parse_etags
from littoral.wire.chunked_body import BrokenChunks, ChunkedBody
from littoral.wire.http2_head import read_http2_head
from littoral.wire.request_head import RefusedRequest, read_authority, read_fields

Target = Callable[[bytes], None]
NOW_S = 1_800_000_000.0


def text(data: bytes) -> str:
    """As header fields are read."""
    return data.decode("latin-1")


def request_fields(data: bytes) -> None:
    """The fields of a request's head."""
    try:
        section = read_fields(data, 128)
    except RefusedRequest:
        return
    assert all(name == name.lower() and "\n" not in value and "\0" not in value for name, value in section.fields)


def authority(data: bytes) -> None:
    """Host, and :authority."""
    try:
        read_authority(text(data))
    except RefusedRequest:
        return


def http2_head(data: bytes) -> None:
    """A head of HTTP/2: a field a line, its name and value divided by a tab."""
    lines = [(name, value) for line in data.split(b"\n") for name, _, value in [line.partition(b"\t")]]
    try:
        read_http2_head(lines, "https", 128, 4096)
    except RefusedRequest:
        return


def chunked_body(data: bytes) -> None:
    """A body in chunks; in one piece and byte by byte it is the same."""
    assert _chunks(data, max(len(data), 1)) == _chunks(data, 1)


def _chunks(data: bytes, size: int) -> tuple[bytes, bytes | None, bool]:
    body, read = ChunkedBody(), b""
    for start in range(0, len(data), size):
        try:
            piece, rest = body.feed(data[start : start + size])
        except BrokenChunks:
            return b"", None, True
        read += piece
        if rest is not None:
            return read, rest + data[start + size :], False
    return read, None, False


def target(data: bytes) -> None:
    """A request's target, which has one form."""
    try:
        found = read_gateway_target(text(data))
    except InvalidInput:
        return
    assert read_gateway_target(str(found)) == found


def cache_control(data: bytes) -> None:
    """Cache-Control, of both sides, and what is meant for caches like this one."""
    value = text(data)
    parse_directives(value)
    request_directives(value, True)
    parse_targeted(value)


def date(data: bytes) -> None:
    """A date, which reads back as it is written."""
    seconds = parse_date(text(data), NOW_S)
    if seconds is not None and seconds >= 0:
        assert parse_date(format_date(seconds), NOW_S) == seconds


def lists(data: bytes) -> None:
    """What fields hold lists of."""
    value = text(data)
    members(value)
    parse_etags(value)
    names = parse_vary(value)
    if names:
        variant_key(names, dict.fromkeys(names, value))


def ranges(data: bytes) -> None:
    """Range and Content-Range: what is read lies within the whole."""
    value = text(data)
    try:
        span = byte_range(value, 1000)
    except Unsatisfiable:
        span = None
    if span is not None:
        assert 0 <= span[0] < span[1] <= 1000
    part = content_range(value)
    if part is not None:
        assert 0 <= part[0] < part[1] <= part[2]


def device(data: bytes) -> None:
    """A user agent."""
    device_of("", text(data))


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (
        request_fields,
        authority,
        http2_head,
        chunked_body,
        target,
        cache_control,
        date,
        lists,
        ranges,
        device,
    )
}
