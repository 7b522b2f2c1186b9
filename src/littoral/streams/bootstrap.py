"""Starting to follow a stream whose beginning is gone, or is better not read: snapshot, then tail.

A stream that is only there to be folded (key-value writes, desired state) need not be kept from its beginning: what
has been folded from it up to some offset says the same. The parent gives that state away in chunks, with the offset and
the chain hash at which the first was read; the child takes the chunks, and then follows the stream from that offset.

    child                                   parent
      │ read from an offset not held          │
      ├──────────────────────────────────────►│  410
      │ snapshot, chunk by chunk              │
      ├──────────────────────────────────────►│  items, digest; offset and chain of the stream now
      │ take it, and note how far it is       │
      │ the last: reset the copy to the       │
      │ first chunk's offset                  │
      │ read from that offset                 │
      ├──────────────────────────────────────►│

What is folded must not mind seeing a write again that the snapshot already holds: both folds take the newest. For the same
reason a chunk holds by itself, whenever the next one comes: after a cut, or a restart, the child goes on after the last
chunk that it has on disk (`littoral.streams.arrival`), as long as the parent still has the stream from the first chunk's
offset on.

A state may be folded from several streams of the parent's. Where one of them has lost its beginning, all are begun anew:
what is still held of another may be older than the state that the snapshot gave, and would undo some of it.
"""

from hashlib import sha256
from typing import Protocol

import msgspec

from littoral.core.errors import Gone, InvalidInput
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.store.batch import UNLINKED
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.wire.peer import SnapshotPage

_decode_items = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode

CHUNK_BYTES = 256 << 10
"""Most of one chunk, and one item more: it is read and applied in one piece, while others wait."""


class SnapshotPart(msgspec.Struct, frozen=True):
    """Some of a state, in an order that does not change while it is read."""

    items: bytes
    """As one msgpack array."""
    cursor: str | None
    """Where to go on; None at the end."""
    horizon: int = 0
    """See `littoral.wire.peer.SnapshotPage`."""


class Snapshots(Protocol):
    """Gives and takes the state that is folded from streams; `node` wires the folds that can."""

    def covers(self, name: StreamName) -> bool:
        """Whether there is a snapshot of what is folded from this stream."""
        ...

    def position(self, info: StreamInfo) -> int:
        """At the parent: the offset up to which the stream is in the state that `part` gives away."""
        ...

    def part(self, name: StreamName, cursor: str | None, most_bytes: int) -> SnapshotPart:
        """At the parent: the state from `cursor` on; at least one item if there is any, then about up to `most_bytes`."""
        ...

    def siblings(self, name: StreamName) -> list[StreamName]:
        """The other streams that the same state is folded from."""
        ...

    def begin(self, tx: Transaction, name: StreamName) -> None:
        """At the child: parts follow, from the first on; what came of an earlier snapshot that broke off is void."""
        ...

    def take(
        self, tx: Transaction, name: StreamName, part: SnapshotPart, after: str | None, at: str | None = None
    ) -> str | None:
        """At the child: apply a part, or as much of it as one transaction may do. Returns None once all is applied;
        otherwise call again, in another transaction, with what is returned as `at`. An item that cannot be applied is put
        aside, as one of the stream would be.

        after: the cursor of the part before; None for the first."""
        ...

    def finish(self, tx: Transaction, name: StreamName, offset: int, horizon: int) -> None:
        """At the child: all parts are applied, and the stream is followed from `offset`: move the fold there.

        horizon: the greatest of the parts'."""
        ...


def snapshot_page(
    store: Store, snapshots: Snapshots, info: StreamInfo, cursor: str | None, most_bytes: int, *, chunked: bool
) -> SnapshotPage:
    """A part as it travels, with where in the stream it was taken. chunked: whether the child knows of chunks."""
    offset = snapshots.position(info)
    part = snapshots.part(info.name, cursor, min(most_bytes, CHUNK_BYTES))
    chain = _chain_at(store, info, offset)
    page = SnapshotPage(
        info.lineage, offset, chain, info.content_type, info.lane, info.reach, part.items, part.cursor, part.horizon
    )
    if not chunked:
        return msgspec.structs.replace(page, items=items_of(part.items))
    return msgspec.structs.replace(page, digest=digest_of(page, part.items))


def items_of(array: bytes) -> list[bytes]:
    """The items of a part, each as it is encoded. Raises InvalidInput."""
    try:
        return [bytes(item) for item in _decode_items(array)]
    except UNDECODABLE as error:
        raise InvalidInput("take", "snapshot", f"its items are no msgpack array ({error})") from error


def array_of(items: list[bytes]) -> bytes:
    """Encoded items as one msgpack array."""
    return b"\xdd" + len(items).to_bytes(4, "big") + b"".join(items)


def digest_of(page: SnapshotPage, items: bytes) -> bytes:
    """SHA-256 over all that a chunk says."""
    digest = sha256(items)
    digest.update(msgspec.msgpack.encode(msgspec.structs.replace(page, items=b"", digest=b"")))
    return digest.digest()


def check_held(info: StreamInfo, lineage: str, offset: int) -> None:
    """Whether who took the first chunk at `offset` can go on from there. Raises Gone."""
    if lineage != info.lineage or not info.first <= offset <= info.next:
        raise Gone(
            "go on with snapshot of",
            str(info.name),
            f"offset {offset} of {lineage}, where it was begun, is no longer held",
            "Begin the snapshot anew",
        )


def _chain_at(store: Store, info: StreamInfo, offset: int) -> bytes:
    """The chain hash between two batches; folds stand nowhere else."""
    if offset == info.next:
        return info.chain
    following = store.read(info.name, offset, 1)[0]
    assert following.first == offset, (info.name, offset, following.first)
    if following.chain_before != UNLINKED:
        return following.chain_before
    return store.read(info.name, offset - 1, 1)[0].chain
