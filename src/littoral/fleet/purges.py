"""Purges of the HTTP caches, as they come down the tree.

Each node has a stream of its own, which says what its gateways are to purge. A child follows that of its parent, and folds it
into its own:

    cloud/purges ──► eu: fold ──► eu/purges ──► plant-a: fold ──► plant-a/purges ──► its gateways

So what is purged at a node is purged at all nodes below it. The offset in a node's own stream is what its gateways know a
purge by.

What a node cannot know it purges for: everything. That is so where records of its parent's are gone, or it follows another
parent, or its parent's store was restored. One that has followed nobody's purges yet has nothing from before the first of
them if that is still there, and takes all. Such a purge is the node's own: the parent did not order it, and may still have what
is purged by it.
"""

import contextlib
from collections.abc import Sequence

import msgspec

from littoral.core.errors import StorageCorrupt
from littoral.core.names import StreamName
from littoral.gateway.cache.purge import EVERYTHING, Purge, encode_purge
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import CHUNK_BYTES, SnapshotPart

PURGES = "purges"
"""Path of the stream at each node, and scope of what the fold keeps."""
KEPT_BYTES = 4 << 20
"""Of purges at each node: whoever was away for longer purges everything."""
FOLLOWED = "followed"
"""Whose purges were taken last."""

_encode = msgspec.msgpack.Encoder().encode
_decode_items = msgspec.msgpack.Decoder(list[bytes]).decode
_EVERYTHING = encode_purge(EVERYTHING)


def submit_purge(tx: Transaction, purge: Purge) -> int:
    """Purge at this node and all below it; returns its offset in this node's stream."""
    return _append(tx, [encode_purge(msgspec.structs.replace(purge, node=tx.node))])


def _append(tx: Transaction, records: Sequence[bytes], *, essential: bool = False) -> int:
    name = StreamName(tx.node, PURGES)
    tx.open_stream(name, content_type="application/msgpack", lane="control", retention_bytes=KEPT_BYTES, reach="node")
    return tx.append(name, records, essential=essential).first


class PurgeFold:
    """What the parent purges, this node purges. It does not look into the records."""

    name = "purges"

    def __init__(self, parent: str) -> None:
        """parent: the parent's name; empty at the root."""
        self._source = StreamName(parent, PURGES)

    def wants(self, info: StreamInfo) -> bool:
        return info.name == self._source and info.via == self._source.origin

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        _append(tx, records, essential=True)

    def lost(self, tx: Transaction) -> None:
        """There were records, and nobody can say which."""
        everything = msgspec.structs.replace(EVERYTHING, at_ms=tx.now_ms, node=tx.node)
        _append(tx, [encode_purge(everything)], essential=True)

    # A stream whose beginning is gone, or that is followed for the first time: see littoral.streams.bootstrap

    def take(self, tx: Transaction, items: bytes) -> None:
        """What the parent has purged so far. Raises InvalidInput."""
        if tx.get_state(PURGES, FOLLOWED) is None:
            _append(tx, _decode_items(items), essential=True)

    def begin_anew(self, tx: Transaction, name: StreamName, offset: int) -> None:
        """All of that is taken."""
        if tx.get_state(PURGES, FOLLOWED) is not None:
            self.lost(tx)
        tx.put_state(PURGES, FOLLOWED, name.origin.encode())
        tx.set_fold(self.name, name, offset)


def purges_part(store: Store, name: StreamName) -> SnapshotPart:
    """For a child that begins to follow a stream: all that was ever purged, if that is little and is still there, and
    otherwise everything."""
    info = store.stream(name)
    assert info is not None, name
    records: list[bytes] = []
    if info.first == 0 and info.bytes <= CHUNK_BYTES:
        with contextlib.suppress(StorageCorrupt):
            records = [record for batch in store.read(name, 0, CHUNK_BYTES) for record in batch.records()]
    return SnapshotPart(_encode(records if len(records) == info.next else [_EVERYTHING]), None)
