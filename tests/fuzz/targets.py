"""Every parser of what strangers send, as a function of bytes that returns, or raises what it says it raises.

A target also checks what must be true of what was read, so that more than a crash is found.
"""

import json
import re
from collections.abc import Callable

from littoral.core.errors import InvalidInput
from littoral.gateway.cache.key import device_of
from littoral.gateway.target import read_target as read_gateway_target
from littoral.projects.jsonc import read_jsonc
from littoral.projects.toml import read_toml
from littoral.wire import mqtt
from littoral.wire.byte_range import Unsatisfiable, byte_range, content_range
from littoral.wire.caching.directives import parse_directives, request_directives
from littoral.wire.caching.fields import members
from littoral.wire.caching.http_date import format_date, parse_date
from littoral.wire.caching.selection import parse_vary, variant_key
from littoral.wire.caching.targeted import parse_targeted
from littoral.wire.caching.validation import parse_etags
from littoral.wire.chunked_body import BrokenChunks, ChunkedBody
from littoral.wire.http2_head import read_http2_head
from littoral.wire.request_head import (
    REQUEST_LINE,
    RefusedRequest,
    flaw_in_part,
    read_authority,
    read_fields,
    read_target,
    refused_line,
)
from littoral.wire.server_timing import read_server_timing
from littoral.wire.trace_context import read_traceparent, trace_of
from tests.fuzz.gateway_targets import GATEWAY_TARGETS

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


def request_line(data: bytes) -> None:
    """A head, as it comes, and as one with this target: what is taken of it has a path and a host, and nothing that came before
    its end spoke against it."""
    target, _, fields = data.partition(b"\n")
    for head in (data, b"GET " + target + b" HTTP/1.1\r\n" + fields):
        match = REQUEST_LINE.match(head)
        if match is None:
            assert refused_line(head[: head.find(b"\n") + 1]).status in (400, 505)
        elif _is_taken(match, head):
            assert not any(flaw_in_part(head[:end], 0) for end in range(len(head)))


def _is_taken(match: re.Match[bytes], head: bytes) -> bool:
    try:
        section = read_fields(head[match.end() :], 128)
        if not match[2].startswith(b"/"):
            meant, host, fields = read_target(text(match[1]), text(match[2]), "http", section)
            assert meant == "*" or meant.startswith("/")
            assert [value for name, value in fields if name == "host"] == ([host] if host else [])
    except RefusedRequest:
        return False
    return True


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


def trace(data: bytes) -> None:
    """Which trace a request is in, and how long a server says that its parts took: what is read is written and read again."""
    asks = read_traceparent(text(data))
    found = trace_of(asks, "g-1")
    assert read_traceparent(str(found)) == found
    for metric in read_server_timing(text(data)):
        assert [each.name for each in read_server_timing(str(metric))] == [metric.name]
        assert "\n" not in str(metric)


def device(data: bytes) -> None:
    """A user agent."""
    device_of("", text(data))


def jsonc(data: bytes) -> None:
    """JSON with comments: what is read is written as JSON, and read again; every line is one of the text."""
    value = data.decode("utf-8", "replace")
    document = read_jsonc(value)
    assert all(1 <= line <= len(value.splitlines()) + 1 for line in document.lines.values())
    if document.problems:
        assert document.value is None
        return
    again = read_jsonc(json.dumps(document.value))
    assert repr(again.value) == repr(document.value) or "inf" in repr(document.value)


def toml(data: bytes) -> None:
    """TOML: every line is one of the text."""
    value = data.decode("utf-8", "replace")
    document = read_toml(value)
    assert all(1 <= line <= value.count("\n") + 1 for line in document.lines.values())


def mqtt_packet(data: bytes) -> None:
    """A packet of MQTT 3.1.1 and of 5, after its length: what is read is written and read again."""
    for level in (mqtt.MQTT_3_1_1, mqtt.MQTT_5):
        try:
            packet = mqtt.decode(data[0] if data else 0, data[1:], level)
        except mqtt.RemoteProtocolError:
            continue
        frame = mqtt.encode(packet, level)
        place = mqtt.header(frame, 0, len(frame), level)
        assert place is not None
        assert place[1] == len(frame)
        assert mqtt.decode(frame[0], frame[place[0] :], level) == packet


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (
        request_fields,
        request_line,
        authority,
        http2_head,
        chunked_body,
        target,
        cache_control,
        date,
        lists,
        ranges,
        trace,
        device,
        jsonc,
        toml,
        mqtt_packet,
    )
} | GATEWAY_TARGETS
