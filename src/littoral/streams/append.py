"""POST: append to a stream, close it, or both, once.

When several things are wrong, the first of these is said: closed, other content type, producer, Stream-Seq.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from littoral.core.errors import Conflict, Forbidden, InvalidInput, LittoralError, NotFound
from littoral.core.http import Headers, Response
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.answers import answer, problem, tail_headers
from littoral.streams.create import split_records
from littoral.streams.expiry import Expiry
from littoral.streams.writer_state import WriterState
from littoral.wire.durable_streams import (
    PRODUCER_EPOCH,
    PRODUCER_EXPECTED_SEQ,
    PRODUCER_RECEIVED_SEQ,
    PRODUCER_SEQ,
    STREAM_CLOSED,
    Producer,
    check_content_type,
    is_true,
    media_type,
    parse_producer,
    parse_stream_seq,
)
from littoral.wire.producers import ProducerState, Verdict, judge


@dataclass(frozen=True, slots=True)
class Append:
    """What a POST asks for."""

    name: StreamName
    content_type: str
    """Empty when there is nothing to append."""
    records: list[bytes]
    closes: bool
    producer: Producer | None
    stream_seq: str | None


def parse_append(name: StreamName, headers: Mapping[str, str], body: bytes) -> Append:
    """Read a POST. Raises InvalidInput."""
    closes = is_true(headers.get(STREAM_CLOSED.lower()))
    content_type = headers.get("content-type", "")
    if not body:
        if not closes:
            raise InvalidInput(
                "append to stream", str(name), "the body is empty", "Stream-Closed: true closes without one"
            )
        return Append(name, "", [], closes, parse_producer(headers), parse_stream_seq(headers))
    if not content_type:
        raise InvalidInput("append to stream", str(name), "Content-Type is missing")
    records = split_records(check_content_type(content_type), body)
    if not records:
        raise InvalidInput("append to stream", str(name), "an empty array appends nothing")
    return Append(name, content_type, records, closes, parse_producer(headers), parse_stream_seq(headers))


def append(tx: Transaction, asked: Append, expiry: Expiry, limits: Limits) -> Response:
    """The transaction of a POST: its answer, which is sent once all it did is synced.

    Raises: NotFound, TooLarge, LimitReached; nothing is then written.
    """
    info = tx.stream(asked.name)
    if info is None or expiry.is_over(info):
        raise NotFound("append to stream", str(asked.name), "there is no such stream on this node")
    writers = WriterState(tx, asked.name)
    if info.closed:
        return _on_closed(info, asked, writers)
    if asked.records and media_type(asked.content_type) != media_type(info.content_type):
        return problem(
            Conflict("append to stream", str(info.name), f"it holds {info.content_type}, not {asked.content_type}"),
            tail_headers(info),
        )
    if asked.producer is not None:
        state = writers.producer(asked.producer.id)
        verdict = judge(state, asked.producer)
        if verdict is not Verdict.NEW:
            return _on_producer(info, asked.producer, state, verdict)
        if state is None:
            writers.check_room(limits)
    if asked.stream_seq is not None and not _is_after(asked.stream_seq, writers.seq):
        return problem(
            Conflict("append to stream", str(info.name), f"Stream-Seq is not after {writers.seq!r}"), tail_headers(info)
        )
    return _write(tx, asked, writers)


def _write(tx: Transaction, asked: Append, writers: WriterState) -> Response:
    if asked.records:
        tx.append(asked.name, asked.records)
    if asked.stream_seq is not None:
        writers.seq = asked.stream_seq
    echo: Headers = ()
    if asked.producer is not None:
        writers.accept(asked.producer)
        echo = _echo(ProducerState(asked.producer.epoch, asked.producer.seq))
    if asked.closes:
        tx.close_stream(asked.name)
        if asked.producer is not None:
            writers.closed_by = asked.producer
    info = tx.stream(asked.name)
    assert info is not None
    # 200 tells a producer that its records are new, 204 that they were there; without one it is always 204.
    status = 200 if asked.producer is not None and asked.records else 204
    return answer(status, (*tail_headers(info), *echo))


def _on_closed(info: StreamInfo, asked: Append, writers: WriterState) -> Response:
    if asked.producer is not None and asked.producer == writers.closed_by:
        return answer(204, (*tail_headers(info), *_echo(ProducerState(asked.producer.epoch, asked.producer.seq))))
    if asked.closes and not asked.records:
        return answer(204, tail_headers(info))
    return problem(Conflict("append to stream", str(info.name), "it is closed"), tail_headers(info))


def _on_producer(info: StreamInfo, producer: Producer, state: ProducerState | None, verdict: Verdict) -> Response:
    subject = f"{info.name} as producer {producer.id!r}"
    if verdict is Verdict.DUPLICATE:
        assert state is not None
        return answer(204, (*tail_headers(info), *_echo(state)))
    if verdict is Verdict.GAP:
        expected = 0 if state is None else state.seq + 1
        error: LittoralError = Conflict("append to stream", subject, f"append {expected} is next, not {producer.seq}")
        return problem(error, ((PRODUCER_EXPECTED_SEQ, str(expected)), (PRODUCER_RECEIVED_SEQ, str(producer.seq))))
    assert state is not None
    if verdict is Verdict.STALE:
        error = Forbidden("append to stream", subject, f"epoch {state.epoch} has begun, and this is {producer.epoch}")
        return problem(error, ((PRODUCER_EPOCH, str(state.epoch)),))
    return problem(InvalidInput("append to stream", subject, "a new epoch begins with Producer-Seq 0"))


def _echo(state: ProducerState) -> Headers:
    return ((PRODUCER_EPOCH, str(state.epoch)), (PRODUCER_SEQ, str(state.seq)))


def _is_after(value: str, last: str | None) -> bool:
    return last is None or value.encode() > last.encode()
