"""The words of the Durable Streams protocol: header names, offset tokens, header values, entity tags, cursors.

Source: the protocol's text, version 1.0 (github.com/durable-streams/durable-streams, PROTOCOL.md). Pure: what a
server answers is decided in `littoral.streams`, on what is parsed here. Everything a peer got wrong is raised as
InvalidInput, which is a 400.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple

from littoral.core.errors import InvalidInput

STREAM_NEXT_OFFSET: Final = "Stream-Next-Offset"
STREAM_UP_TO_DATE: Final = "Stream-Up-To-Date"
STREAM_CLOSED: Final = "Stream-Closed"
STREAM_CURSOR: Final = "Stream-Cursor"
STREAM_TTL: Final = "Stream-TTL"
STREAM_EXPIRES_AT: Final = "Stream-Expires-At"
STREAM_SSE_DATA_ENCODING: Final = "Stream-SSE-Data-Encoding"
STREAM_FORKED_FROM: Final = "Stream-Forked-From"
STREAM_FORK_OFFSET: Final = "Stream-Fork-Offset"
STREAM_FORK_SUB_OFFSET: Final = "Stream-Fork-Sub-Offset"
FORK_HEADERS: Final = (STREAM_FORKED_FROM, STREAM_FORK_OFFSET, STREAM_FORK_SUB_OFFSET)
PRODUCER_EPOCH: Final = "Producer-Epoch"
PRODUCER_SEQ: Final = "Producer-Seq"
PRODUCER_EXPECTED_SEQ: Final = "Producer-Expected-Seq"
PRODUCER_RECEIVED_SEQ: Final = "Producer-Received-Seq"

REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "If-None-Match",
    STREAM_CLOSED,
    STREAM_TTL,
    STREAM_EXPIRES_AT,
    *FORK_HEADERS,
    "Stream-Seq",
    "Producer-Id",
    PRODUCER_EPOCH,
    PRODUCER_SEQ,
)
"""What a client may send."""

EXPOSED_HEADERS: Final = (
    "ETag",
    "Location",
    STREAM_NEXT_OFFSET,
    STREAM_UP_TO_DATE,
    STREAM_CLOSED,
    STREAM_CURSOR,
    STREAM_TTL,
    STREAM_EXPIRES_AT,
    STREAM_SSE_DATA_ENCODING,
    PRODUCER_EPOCH,
    PRODUCER_SEQ,
    PRODUCER_EXPECTED_SEQ,
    PRODUCER_RECEIVED_SEQ,
)
"""What a script of another site needs to read of an answer."""

DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
JSON: Final = "application/json"

OFFSET_DIGITS: Final = 16
"""Offsets count records, so 16 digits last for ever, and equal width makes tokens sort as text."""
OFFSET_PREFIX: Final = "0" * OFFSET_DIGITS + "_"
"""Before the digits of each token: as the protocol's reference server writes the offsets of a stream in one file."""
BEGINNING: Final = "beginning"
NOW: Final = "now"
Position = int | Literal["beginning", "now"]
"""Where a read starts: an offset, or one of the protocol's two sentinels."""

SAFE_INTEGER: Final = 2**53 - 1
"""Greatest epoch and sequence number: what a JavaScript number holds exactly."""
PRODUCER_ID_CHARACTERS: Final = 256
STREAM_SEQ_CHARACTERS: Final = 256
TTL_SECONDS_MOST: Final = 10 * 366 * 86_400

CURSOR_EPOCH_MS: Final = 1_728_432_000_000
"""2024-10-09T00:00:00Z, from which the protocol counts cursor intervals."""
CURSOR_INTERVAL_MS: Final = 20_000
CURSOR_JITTER_S: Final = (1.0, 3600.0)

_OFFSET = re.compile(rf"{OFFSET_PREFIX}([0-9]{{{OFFSET_DIGITS}}})")
_INTEGER = re.compile(r"0|[1-9][0-9]{0,15}")
_CURSOR = re.compile(r"[0-9]{1,18}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*;[\x20-\x7e]*)?")


def format_offset(offset: int) -> str:
    """The token for an offset."""
    assert 0 <= offset < 10**OFFSET_DIGITS, offset
    return f"{OFFSET_PREFIX}{offset:0{OFFSET_DIGITS}d}"


def parse_offset(token: str) -> int | None:
    """What `format_offset` made a token of; None for what is none."""
    match = _OFFSET.fullmatch(token)
    return None if match is None else int(match[1])


def parse_position(token: str | None) -> Position:
    """Where a read with `offset=<token>` starts; None is the beginning. Raises InvalidInput for all but our tokens."""
    if token is None or token == "-1":
        return BEGINNING
    if token == "now":
        return NOW
    offset = parse_offset(token)
    if offset is None:
        raise InvalidInput(
            "read at offset",
            repr(token[:80]),
            "it is no offset of this server",
            "Use -1, now, or what Stream-Next-Offset said",
        )
    return offset


def is_true(value: str | None) -> bool:
    """Whether a flag header is set: the protocol knows only `true`, in any case, and ignores everything else."""
    return value is not None and value.lower() == "true"


def parse_ttl_s(value: str | None) -> int | None:
    """Seconds of a Stream-TTL header. Raises InvalidInput."""
    if value is None:
        return None
    if not _INTEGER.fullmatch(value) or int(value) > TTL_SECONDS_MOST:
        raise InvalidInput(
            "read header",
            STREAM_TTL,
            f"{value[:40]!r} is not a whole number of seconds from 0 to {TTL_SECONDS_MOST}",
        )
    return int(value)


def expiry_ms(value: str) -> int:
    """Milliseconds since the Unix epoch of an RFC 3339 timestamp. Raises InvalidInput."""
    text = value.upper()
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError("it is not written like 2030-01-31T00:00:00Z")
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("read header", STREAM_EXPIRES_AT, f"{value[:40]!r} is no RFC 3339 time: {error}") from error


class Lifetime(NamedTuple):
    """How long a stream is to live; at most one is set."""

    ttl_s: int | None
    """Idle seconds."""
    expires_at: str | None
    """RFC 3339."""


NO_LIFETIME: Final = Lifetime(None, None)


def parse_lifetime(headers: Mapping[str, str]) -> Lifetime:
    """The lifetime a PUT asks for. Raises InvalidInput, also when it states both kinds."""
    ttl_s = parse_ttl_s(headers.get(STREAM_TTL.lower()))
    expires_at = headers.get(STREAM_EXPIRES_AT.lower())
    if expires_at is not None:
        expiry_ms(expires_at)
    if ttl_s is not None and expires_at is not None:
        raise InvalidInput("read headers", f"{STREAM_TTL} and {STREAM_EXPIRES_AT}", "a stream has one or the other")
    return Lifetime(ttl_s, expires_at)


def parse_stream_seq(headers: Mapping[str, str]) -> str | None:
    """The writer's own sequence value, compared as bytes. Raises InvalidInput when it is empty or too long."""
    value = headers.get("stream-seq")
    if value is not None and not 1 <= len(value) <= STREAM_SEQ_CHARACTERS:
        raise InvalidInput("read header", "Stream-Seq", f"it has 1 to {STREAM_SEQ_CHARACTERS} characters")
    return value


class ForkPoint(NamedTuple):
    """What a PUT asks to fork, and where."""

    source: str
    """The path of the source's URL."""
    position: Position | None
    """None for the source's tail."""
    sub_offset: int
    """Beyond it: messages in JSON mode, otherwise bytes of the record there."""


def parse_fork(headers: Mapping[str, str]) -> ForkPoint | None:
    """The fork a PUT asks for, if it does. Raises InvalidInput."""
    source, offset, sub_offset = (headers.get(name.lower()) for name in FORK_HEADERS)
    if source is None:
        if offset is not None or sub_offset is not None:
            raise InvalidInput("read headers", STREAM_FORK_OFFSET, f"it says nothing without {STREAM_FORKED_FROM}")
        return None
    if sub_offset is not None and not _INTEGER.fullmatch(sub_offset):
        raise InvalidInput(
            "read header", STREAM_FORK_SUB_OFFSET, f"{sub_offset[:40]!r} is not a whole number from 0 up"
        )
    beyond = int(sub_offset or 0)
    if beyond and offset is None:
        raise InvalidInput("read headers", STREAM_FORK_SUB_OFFSET, f"it counts from a {STREAM_FORK_OFFSET}")
    return ForkPoint(source, None if offset is None else parse_position(offset), beyond)


class Producer(NamedTuple):
    """Who says it sent an append, and which of its appends it is."""

    id: str
    epoch: int
    seq: int


def parse_producer(headers: Mapping[str, str]) -> Producer | None:
    """The idempotent producer of a POST, if it names one. Raises InvalidInput for a part of one."""
    values = [headers.get(name) for name in ("producer-id", "producer-epoch", "producer-seq")]
    producer_id, epoch, seq = values
    if producer_id is None and epoch is None and seq is None:
        return None
    if producer_id is None or epoch is None or seq is None:
        raise InvalidInput("read headers", "Producer-*", "Producer-Id, Producer-Epoch and Producer-Seq go together")
    if not 1 <= len(producer_id) <= PRODUCER_ID_CHARACTERS:
        raise InvalidInput("read header", "Producer-Id", f"it has 1 to {PRODUCER_ID_CHARACTERS} characters")
    return Producer(producer_id, _safe_integer(PRODUCER_EPOCH, epoch), _safe_integer(PRODUCER_SEQ, seq))


def _safe_integer(name: str, value: str) -> int:
    if not _INTEGER.fullmatch(value) or int(value) > SAFE_INTEGER:
        raise InvalidInput("read header", name, f"{value[:40]!r} is not a whole number from 0 to 2^53-1")
    return int(value)


def check_content_type(value: str) -> str:
    """Return a Content-Type value that may be stored and sent back, or raise InvalidInput."""
    if len(value) > 256 or not _MEDIA_TYPE.fullmatch(value):
        raise InvalidInput("read header", "Content-Type", f"{value[:80]!r} is no media type")
    return value


def media_type(content_type: str) -> str:
    """Type and subtype, lower case, without parameters: what two content types are compared by."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a stream of this type keeps messages apart (JSON mode)."""
    return media_type(content_type) == JSON


def is_text(content_type: str) -> bool:
    """Whether its bytes travel as they are in server-sent events; others travel as base64."""
    kind = media_type(content_type)
    return kind == JSON or kind.startswith("text/")


def entity_tag(identity: str, first: int, following: int, *, closed: bool) -> str:
    """A strong ETag for records [first, following) of one incarnation of a stream.

    closed: whether the answer says that the stream ends there; it is part of the tag, or a 304 would hide it.
    """
    return f'"{identity}:{first}:{following}{":c" if closed else ""}"'


def tag_matches(if_none_match: str | None, tag: str) -> bool:
    """Whether a conditional GET already has what `tag` names (RFC 9110 section 13.1.2, weak comparison)."""
    if if_none_match is None:
        return False
    held = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in held or tag in held


def next_cursor(now_ms: int, echoed: str | None, jitter_s: float) -> str:
    """The cursor of a live answer: the number of the current interval, or beyond what the client echoed.

    echoed: the request's `cursor`; one that is no cursor is ignored. jitter_s: drawn from CURSOR_JITTER_S; it keeps
    clients that share a cursor from sharing the next one for ever.
    """
    interval = max(0, (now_ms - CURSOR_EPOCH_MS) // CURSOR_INTERVAL_MS)
    if echoed is None or not _CURSOR.fullmatch(echoed) or int(echoed) < interval:
        return str(interval)
    return str(int(echoed) + max(1, int(jitter_s * 1000) // CURSOR_INTERVAL_MS))
