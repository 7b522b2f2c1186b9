"""Queues as they lie in the store: a stream of the node's own for each, and beside it what is kept of messages that are not
settled (`littoral.node.queue_state`).

What was acknowledged to a sender is in the stream, which refuses what does not fit and drops nothing by itself. The records
at its beginning go when all of them are settled.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from littoral.core.errors import LimitReached
from littoral.core.event_limits import QUEUE_BYTES, QUEUE_MESSAGES
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.node.queue_state import Row, Rows
from littoral.store.batch import HEADER_BYTES
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction

QUEUES = "queues"
READ = "read"
LETTER = "queue"
"""Kind of the dead letters of a queue that has no queue for them."""
RELEASED_AT_ONCE = 64
"""Batches deleted in one transaction."""


class Stored(Struct, frozen=True, array_like=True):
    """A record of a queue's stream."""

    id: str
    """Of the message, as its consumer sees it at each attempt."""
    content_type: str
    body: bytes
    sent_ms: int
    due_ms: int = 0
    """It is not given before; ms since the epoch, 0 for at once."""
    from_queue: str = ""
    """Which queue it is a dead letter of."""


encode_stored = msgspec.msgpack.Encoder().encode
decode_stored = msgspec.msgpack.Decoder(Stored).decode
_encode = msgspec.msgpack.Encoder().encode
_decode_read = msgspec.msgpack.Decoder(tuple[int, int]).decode
_decode_row = msgspec.msgpack.Decoder(Row).decode


def queue_stream(node: str, queue: str) -> StreamName:
    """Where a node keeps a queue."""
    return StreamName(node, f"{QUEUES}/{queue}")


def scope_of(queue: str) -> str:
    """Of the state beside the stream."""
    return f"queue/{queue}"


def append_messages(
    tx: Transaction, queue: str, messages: Sequence[Stored], limits: Limits, settled: int = 0
) -> StreamInfo:
    """Put messages at the end of a queue, and make it where there is none. settled: how many of it are settled, as far
    as that is known; those that are not there any more are.

    Raises: LimitReached where it is full, StorageFull.
    """
    name = queue_stream(tx.node, queue)
    info = tx.open_stream(
        name,
        content_type="application/msgpack",
        lane="state",
        reach="node",
        retention_bytes=limits[QUEUE_BYTES],
        policy="reject",
    )
    if info.retention_bytes != limits[QUEUE_BYTES]:
        tx.set_retention(name, limits[QUEUE_BYTES])
    records = [encode_stored(message) for message in messages]
    held = info.next - max(settled, info.first)
    if held + len(records) > limits[QUEUE_MESSAGES]:
        limits.hit(QUEUE_MESSAGES)
        raise _full(queue, f"it holds {held} messages", "queue-messages")
    if info.bytes + sum(map(len, records)) + HEADER_BYTES * (len(records) + 1) > limits[QUEUE_BYTES]:
        limits.hit(QUEUE_BYTES)
        raise _full(queue, f"it holds {info.bytes} bytes", "queue-bytes")
    tx.append(name, records)
    return info


def _full(queue: str, holds: str, limit: str) -> LimitReached:
    return LimitReached(
        "send to queue",
        queue,
        f"{holds}, and no more fits",
        f"See why its consumer does not keep up (`littoral queue list`), or raise limit {limit}",
    )


def write_rows(tx: Transaction, queue: str, rows: Rows) -> bool:
    """What is known now of the messages of a queue. Whether more than a few records at the stream's beginning are needed no
    more: then it is to be written again."""
    scope = scope_of(queue)
    info = tx.stream(queue_stream(tx.node, queue))
    assert info is not None, queue
    # What was tried in vain meanwhile comes later than what followed it.
    stream, read = _decode_read(held) if (held := tx.get_state(scope, READ)) is not None else (info.id, 0)
    tx.put_state(scope, READ, _encode((info.id, max(rows.read, read) if stream == info.id else rows.read)))
    for offset, row in rows.put.items():
        tx.put_state(scope, str(offset), _encode(row))
    for offset in rows.remove:
        tx.put_state(scope, str(offset), None)
    return rows.keep_from > info.first and tx.release(info.name, rows.keep_from, RELEASED_AT_ONCE)


def read_rows(state: Mapping[str, bytes], info: StreamInfo) -> tuple[int, dict[int, Row]]:
    """What was written of a queue: up to where it was read, and the messages before that are not settled."""
    if (held := state.get(READ)) is None:
        return info.first, {}
    stream, read = _decode_read(held)
    if stream != info.id:
        # Of a stream that was deleted and made anew by the same name.
        return info.first, {}
    rows = {int(key): _decode_row(value) for key, value in state.items() if key != READ}
    return max(read, info.first), {offset: row for offset, row in rows.items() if offset >= info.first}


def send_again(tx: Transaction, queue: str, record: bytes, limits: Limits) -> str:
    """Put a dead letter of a queue into it again. Raises LimitReached, StorageFull."""
    stored = msgspec.structs.replace(decode_stored(record), due_ms=0)
    append_messages(tx, queue, [stored], limits)
    return f"sent to queue {queue} again"
