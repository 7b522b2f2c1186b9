"""A slice: what one read of a stream returns."""

from typing import NamedTuple

from littoral.core.errors import InvalidInput
from littoral.core.limits import READ_BYTES, Limits
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.wire.durable_streams import BEGINNING, NOW, Position, is_json
from littoral.wire.json_messages import join_messages


class Slice(NamedTuple):
    """Records [first, next) of a stream."""

    first: int
    next: int
    records: list[bytes]
    up_to_date: bool
    """Nothing more was there when it was read."""
    at_end: bool
    """Nothing more will ever be there: the stream is closed, and this reaches its end."""

    def body(self, content_type: str) -> bytes:
        """The records as a reader gets them: an array in JSON mode, otherwise one after the other."""
        return join_messages(self.records) if is_json(content_type) else b"".join(self.records)


def resolve_position(info: StreamInfo, position: Position) -> int:
    """The offset a read starts at. Raises InvalidInput beyond the tail: no such offset was ever given out."""
    if position == BEGINNING:
        return info.first
    if position == NOW:
        return info.next
    if position > info.next:
        raise InvalidInput("read stream", str(info.name), f"offset {position} is beyond its tail, {info.next}")
    return position


def read_slice(store: Store, info: StreamInfo, offset: int, limits: Limits) -> Slice:
    """Committed records from `offset` on: at least one if there is any, then up to READ_BYTES.

    Raises: NotFound, Gone for an offset that retention has taken, StorageError.
    """
    most = limits[READ_BYTES]
    records: list[bytes] = []
    size, following = 0, offset
    if offset < info.next or offset < info.first:
        for batch in store.read(info.name, offset, most):
            following = max(following, batch.first)  # A copy lacks what its origin had lost before it was sent.
            for record in batch.records()[following - batch.first :]:
                if records and size + len(record) > most:
                    break
                records.append(record)
                size += len(record)
                following += 1
            if following < batch.next:
                break
    up_to_date = following >= info.next
    return Slice(offset, following, records, up_to_date, up_to_date and info.closed)
