"""PUT: make a stream, or make sure that it is there as asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from littoral.core.errors import Conflict, InvalidInput, NotFound, TooLarge
from littoral.core.limits import RECORD_BYTES, STREAM_BYTES, Limits
from littoral.core.names import StreamName
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.expiry import Expiry
from littoral.streams.slices import resolve_position
from littoral.streams.writer_state import WriterState
from littoral.wire.durable_streams import (
    DEFAULT_CONTENT_TYPE,
    NO_LIFETIME,
    STREAM_CLOSED,
    ForkPoint,
    Lifetime,
    check_content_type,
    expiry_ms,
    is_json,
    is_true,
    media_type,
    parse_fork,
    parse_lifetime,
)
from littoral.wire.json_messages import split_messages
from littoral.wire.stream_budget import NO_BUDGET, AskedBudget, parse_budget


@dataclass(frozen=True, slots=True)
class Creation:
    """What a PUT asks for."""

    name: StreamName
    content_type: str | None
    """None takes whatever an existing stream has."""
    lifetime: Lifetime
    closed: bool
    body: bytes
    records: list[bytes] | None
    """Of the body; None where the content type is that of what is forked."""
    fork: ForkPoint | None = None
    source: StreamName | None = None
    """Of the fork."""
    budget: AskedBudget = NO_BUDGET


class Created(NamedTuple):
    """What became of it."""

    new: bool
    info: StreamInfo


def parse_creation(
    name: StreamName, headers: Mapping[str, str], body: bytes, stream_at: Callable[[str], StreamName]
) -> Creation:
    """Read a PUT. stream_at: which stream a URL's path means. Raises InvalidInput."""
    content_type = headers.get("content-type") or None
    if content_type is not None:
        check_content_type(content_type)
    fork = parse_fork(headers)
    of_source = fork is not None and content_type is None
    budget = parse_budget(headers)
    if fork is not None and budget != NO_BUDGET:
        raise InvalidInput("create stream", str(name), "a fork has the budget of its source")
    return Creation(
        name,
        content_type,
        parse_lifetime(headers),
        is_true(headers.get(STREAM_CLOSED.lower())),
        body,
        None if of_source else split_records(content_type or DEFAULT_CONTENT_TYPE, body),
        fork,
        None if fork is None else stream_at(fork.source),
        budget,
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


def check_budget(name: StreamName, asked: AskedBudget, limits: Limits, *, may_spill: bool) -> None:
    """Raise TooLarge or InvalidInput for a budget that no stream of this node is given by a request. may_spill: whether
    there is a place to spill to."""
    most = limits[STREAM_BYTES]
    if asked.bytes is not None and asked.bytes > most:
        limits.hit(STREAM_BYTES)
        cause = f"a budget of {asked.bytes} bytes; at most {most} are given to who asks (limit stream-bytes)"
        raise TooLarge("create stream", str(name), cause, "Give it more in spec.storage.streams of the node")
    if asked.policy == "spill" and not may_spill:
        raise InvalidInput(
            "create stream", str(name), "there is no place to spill to", "Name one in spec.storage.spill of the node"
        )


def create(tx: Transaction, asked: Creation, expiry: Expiry, limits: Limits) -> Created:
    """The transaction of a PUT.

    Raises: Conflict when the stream exists and is another, or what was deleted there still has forks; for a fork
    NotFound, InvalidInput.
    """
    info = tx.stream(asked.name)
    if info is not None and expiry.is_over(info):
        delete(tx, asked.name)
        info = None
    if info is not None:
        _check_same(info, asked)
        return Created(new=False, info=info)
    if tx.is_held(asked.name):
        raise Conflict("create stream", str(asked.name), "it was deleted, and has forks that live", "Use another name")
    if asked.fork is None:
        made = tx.open_stream(
            asked.name,
            content_type=asked.content_type or DEFAULT_CONTENT_TYPE,
            ttl_s=asked.lifetime.ttl_s,
            expires_at=asked.lifetime.expires_at,
            retention_bytes=asked.budget.bytes,
            policy=asked.budget.policy or "drop-oldest",
        )
    else:
        made = _fork(tx, asked, asked.fork, expiry)
    records = asked.records
    if records is None:
        records = split_records(made.content_type, asked.body)
        check_record_sizes(asked.name, records, limits)
    if records:
        tx.append(asked.name, records)
    if asked.closed:
        tx.close_stream(asked.name)
    latest = tx.stream(asked.name)
    assert latest is not None
    return Created(new=True, info=latest)


def _fork(tx: Transaction, asked: Creation, fork: ForkPoint, expiry: Expiry) -> StreamInfo:
    name = asked.source
    assert name is not None
    source = tx.stream(name)
    if source is None or expiry.is_over(source):
        if tx.is_held(name):
            raise Conflict("fork stream", str(name), "it was deleted", "Fork one of its forks")
        raise NotFound("fork stream", str(name), "there is no such stream on this node")
    if asked.content_type is not None and media_type(asked.content_type) != media_type(source.content_type):
        raise Conflict("fork stream", str(name), f"it holds {source.content_type}, not {asked.content_type}")
    at = source.next if fork.position is None else resolve_position(source, fork.position)
    part_bytes = 0
    if is_json(source.content_type):
        at += fork.sub_offset
    else:
        part_bytes = fork.sub_offset
    lifetime = asked.lifetime if asked.lifetime != NO_LIFETIME else Lifetime(source.ttl_s, source.expires_at)
    return tx.fork_stream(
        asked.name,
        name,
        at,
        part_bytes=part_bytes,
        asked=_asked_of(asked),
        ttl_s=lifetime.ttl_s,
        expires_at=lifetime.expires_at,
    )


def _asked_of(asked: Creation) -> str:
    """What is compared when the same fork is asked for again."""
    assert asked.fork is not None
    position = "" if asked.fork.position is None else asked.fork.position
    return f"{asked.source} {position} {asked.fork.sub_offset}"


def delete(tx: Transaction, name: StreamName) -> None:
    """Remove a stream and what it remembers of its writers. Raises NotFound."""
    WriterState(tx, name).forget()
    tx.delete_stream(name)


def _check_same(info: StreamInfo, asked: Creation) -> None:
    differs = []
    if asked.content_type is not None and media_type(asked.content_type) != media_type(info.content_type):
        differs.append(f"its content type is {info.content_type}")
    if asked.fork is None and info.fork is not None:
        differs.append("it is a fork")
    elif asked.fork is not None and (info.fork is None or info.fork.asked != _asked_of(asked)):
        differs.append("it is another fork" if info.fork is not None else "it is no fork")
    # A fork that says nothing of its lifetime took over its source's.
    if asked.fork is None or asked.lifetime != NO_LIFETIME:
        if asked.lifetime.ttl_s != info.ttl_s:
            differs.append(f"its TTL is {info.ttl_s}")
        if _moment(asked.lifetime.expires_at) != _moment(info.expires_at):
            differs.append(f"it expires at {info.expires_at}")
    differs += _other_budget(info, asked.budget)
    if asked.closed != info.closed:
        differs.append("it is closed" if info.closed else "it is open")
    if differs:
        raise Conflict("create stream", str(asked.name), f"it exists, and {', '.join(differs)}")


def _other_budget(info: StreamInfo, asked: AskedBudget) -> list[str]:
    differs = []
    if asked.bytes not in (None, info.retention_bytes):
        differs.append(f"its budget is {info.retention_bytes} bytes")
    if asked.policy not in (None, info.policy):
        differs.append(f"its policy is {info.policy}")
    return differs


def _moment(expires_at: str | None) -> int | None:
    return None if expires_at is None else expiry_ms(expires_at)
