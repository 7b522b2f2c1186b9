"""PUT: make a stream, or make sure that it is there as asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from littoral.core.errors import Conflict, TooLarge
from littoral.core.limits import RECORD_BYTES, Limits
from littoral.core.names import StreamName
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.expiry import Expiry
from littoral.streams.writer_state import WriterState
from littoral.wire.durable_streams import (
    DEFAULT_CONTENT_TYPE,
    STREAM_CLOSED,
    Lifetime,
    check_content_type,
    expiry_ms,
    is_json,
    is_true,
    media_type,
    parse_lifetime,
    refuse_fork,
)
from littoral.wire.json_messages import split_messages


@dataclass(frozen=True, slots=True)
class Creation:
    """What a PUT asks for."""

    name: StreamName
    content_type: str | None
    """None takes whatever an existing stream has."""
    lifetime: Lifetime
    closed: bool
    records: list[bytes]


class Created(NamedTuple):
    """What became of it."""

    new: bool
    info: StreamInfo


def parse_creation(name: StreamName, headers: Mapping[str, str], body: bytes) -> Creation:
    """Read a PUT. Raises InvalidInput."""
    refuse_fork(headers)
    content_type = headers.get("content-type") or None
    if content_type is not None:
        check_content_type(content_type)
    return Creation(
        name,
        content_type,
        parse_lifetime(headers),
        is_true(headers.get(STREAM_CLOSED.lower())),
        split_records(content_type or DEFAULT_CONTENT_TYPE, body),
    )


def split_records(content_type: str, body: bytes) -> list[bytes]:
    """The records of a body: messages in JSON mode, otherwise the body as one. Raises InvalidInput."""
    if not body:
        return []
    return split_messages(body) if is_json(content_type) else [body]


def check_record_sizes(name: StreamName, records: list[bytes], limits: Limits) -> None:
    """Raise TooLarge for a record over the limit, before the writer is bothered with it."""
    most = limits[RECORD_BYTES]
    largest = max(map(len, records), default=0)
    if largest > most:
        limits.hit(RECORD_BYTES)
        raise TooLarge(
            "append to stream",
            str(name),
            f"a record of {largest} bytes; at most {most} are allowed",
            "Send it in pieces, or raise limit record-bytes",
        )


def create(tx: Transaction, asked: Creation, expiry: Expiry) -> Created:
    """The transaction of a PUT. Raises Conflict when the stream exists and is another."""
    info = tx.stream(asked.name)
    if info is not None and expiry.is_over(info):
        delete(tx, asked.name)
        info = None
    if info is not None:
        _check_same(info, asked)
        return Created(new=False, info=info)
    tx.open_stream(
        asked.name,
        content_type=asked.content_type or DEFAULT_CONTENT_TYPE,
        ttl_s=asked.lifetime.ttl_s,
        expires_at=asked.lifetime.expires_at,
    )
    if asked.records:
        tx.append(asked.name, asked.records)
    if asked.closed:
        tx.close_stream(asked.name)
    made = tx.stream(asked.name)
    assert made is not None
    return Created(new=True, info=made)


def delete(tx: Transaction, name: StreamName) -> None:
    """Remove a stream and what it remembers of its writers. Raises NotFound."""
    WriterState(tx, name).forget()
    tx.delete_stream(name)


def _check_same(info: StreamInfo, asked: Creation) -> None:
    differs = []
    if asked.content_type is not None and media_type(asked.content_type) != media_type(info.content_type):
        differs.append(f"its content type is {info.content_type}")
    if asked.lifetime.ttl_s != info.ttl_s:
        differs.append(f"its TTL is {info.ttl_s}")
    if _moment(asked.lifetime.expires_at) != _moment(info.expires_at):
        differs.append(f"it expires at {info.expires_at}")
    if asked.closed != info.closed:
        differs.append("it is closed" if info.closed else "it is open")
    if differs:
        raise Conflict("create stream", str(asked.name), f"it exists, and {', '.join(differs)}")


def _moment(expires_at: str | None) -> int | None:
    return None if expires_at is None else expiry_ms(expires_at)
