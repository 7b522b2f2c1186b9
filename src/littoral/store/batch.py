"""Batches: how records lie in a row, and how a row proves that it is what was written.

A payload is a msgpack array of bin, compressed with zstd where that makes it smaller. `crc` is the CRC-32 of the
payload as stored. `chain` is a BLAKE2b-128 over the chain before the batch, its offsets and its payload, so one
value stands for a stream's whole history: two nodes agree on the history up to an offset exactly if their chains
there are equal. A batch travels between nodes as it is stored, and every node on the way can check it.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence

import msgspec
import zstandard

from littoral.core.errors import StorageCorrupt
from littoral.core.lanes import Lane
from littoral.core.limits import BATCH_BYTES, BATCH_RECORDS, RECORD_BYTES
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.store.stream import Reach
from littoral.wire.compression import Undecodable, decompress

BATCH_COLUMNS = "lineage, first, next, appended_ms, codec, crc, chain_before, chain, payload"
"""The fields of a row of the table `batches`, in the order of `Batch` after origin and path."""

CODEC_PLAIN = 0
CODEC_ZSTD = 1
CHAIN_BYTES = 16
CHAIN_START = bytes(CHAIN_BYTES)
"""The chain of an empty history."""
UNLINKED = b""
"""`chain_before` of a batch that lacks its beginning: its chain cannot be computed, only what follows it links to it."""
COMPRESS_FROM_BYTES = 400
"""Below this zstd saves next to nothing and costs more than the write."""
HEADER_BYTES = 5
"""Most of what msgpack puts before a record, and before their array."""
DECODED_MOST_BYTES = max(BATCH_BYTES.most, RECORD_BYTES.most) + HEADER_BYTES * (BATCH_RECORDS.most + 1)
"""A payload that claims to decompress to more than any batch holds is refused before it is. Not a node's own limits
count but the most that they can be set to: what one node has acknowledged every other can read."""
PIECE_BYTES = 1 << 20
"""Of payload: most that is deleted in one transaction, for others wait for it; or one batch, where that is larger."""
MOST_OFFSET = (1 << 63) - 1
"""SQLite's integers, which also hold times."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode
_compress = zstandard.ZstdCompressor(level=1).compress


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Records [first, next) of a stream, as one row holds them and as the uplink carries them."""

    origin: str
    path: str
    lineage: str
    first: int
    next: int
    appended_ms: int
    """When the origin appended, in milliseconds since the Unix epoch by its clock."""
    codec: int
    crc: int
    chain_before: bytes
    chain: bytes
    payload: bytes

    @property
    def name(self) -> StreamName:
        """The stream it belongs to."""
        return StreamName(self.origin, self.path)

    def records(self) -> list[bytes]:
        """The records, checked against `crc`. Raises StorageCorrupt."""
        if zlib.crc32(self.payload) != self.crc:
            raise self._corrupt("its checksum does not match")
        try:
            data = self.payload
            if self.codec == CODEC_ZSTD:
                data = decompress(data, DECODED_MOST_BYTES)
            records = _decode(data)
        except (Undecodable, *UNDECODABLE) as error:
            raise self._corrupt(f"it cannot be decoded ({error})") from error
        if len(records) != self.next - self.first:
            raise self._corrupt(f"it holds {len(records)} records")
        return records

    def check(self) -> None:
        """Raise StorageCorrupt unless payload and chain are what the origin computed.

        Of a trimmed batch only the payload can be checked; who trimmed it has checked the whole.
        """
        if not (0 <= self.first < self.next <= MOST_OFFSET and 0 <= self.appended_ms <= MOST_OFFSET):
            raise self._corrupt("its offsets or its time are impossible")
        if self.codec not in (CODEC_PLAIN, CODEC_ZSTD):
            raise self._corrupt(f"codec {self.codec} is unknown")
        if zlib.crc32(self.payload) != self.crc:
            raise self._corrupt("its checksum does not match")
        if (
            self.chain_before != UNLINKED
            and chain_after(self.chain_before, self.first, self.next, self.payload) != self.chain
        ):
            raise self._corrupt("its chain hash does not match")

    def _corrupt(self, cause: str) -> StorageCorrupt:
        return StorageCorrupt(
            "read batch",
            f"{self.origin}/{self.path} [{self.first}, {self.next})",
            cause,
            "Restore the store from a backup, or let the node fetch the stream again from its neighbour",
        )


class StoredBatch(msgspec.Struct, frozen=True, array_like=True):
    """A batch with what its stream says of itself: what one node tells another."""

    batch: Batch
    content_type: str
    lane: Lane
    reach: Reach
    earliest: int
    """The oldest offset the sender still has: a receiver that wants an older one will never get it."""


def chain_after(before: bytes, first: int, following: int, payload: bytes) -> bytes:
    """The chain hash after a batch."""
    digest = hashlib.blake2b(before, digest_size=CHAIN_BYTES)
    digest.update(struct.pack(">QQ", first, following))
    digest.update(payload)
    return digest.digest()


def pack(records: Sequence[bytes]) -> tuple[int, bytes]:
    """Codec and payload for `records`."""
    plain = _encode(records)
    if len(plain) >= COMPRESS_FROM_BYTES:
        packed = _compress(plain)
        if len(packed) < len(plain):
            return CODEC_ZSTD, packed
    return CODEC_PLAIN, plain


def make_batch(
    name: StreamName, lineage: str, first: int, records: Sequence[bytes], appended_ms: int, chain_before: bytes
) -> Batch:
    """A new batch at the end of a history."""
    codec, payload = pack(records)
    following = first + len(records)
    chain = chain_after(chain_before, first, following, payload)
    crc = zlib.crc32(payload)
    return Batch(
        name.origin, name.path, lineage, first, following, appended_ms, codec, crc, chain_before, chain, payload
    )


def trim(batch: Batch, first: int) -> Batch:
    """The part of `batch` from `first` on. Its chain is still the origin's at `next`."""
    records = batch.records()[first - batch.first :]
    codec, payload = pack(records)
    return Batch(
        batch.origin,
        batch.path,
        batch.lineage,
        first,
        batch.next,
        batch.appended_ms,
        codec,
        zlib.crc32(payload),
        UNLINKED,
        batch.chain,
        payload,
    )
