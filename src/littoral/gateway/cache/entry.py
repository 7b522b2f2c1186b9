"""One stored response."""

from collections.abc import Sequence

from littoral.gateway.field_block import FieldBlock
from littoral.wire.caching.storing import Stored

OVERHEAD_BYTES = 2048
"""Of an object in memory, besides its body and fields: keys, moments, places in tables."""


class Entry:
    """A response as it is held: its facts, its fields as they are sent, and its body.

    Implements `littoral.gateway.cache.eviction.Held`.
    """

    __slots__ = ("block", "is_in", "key", "name", "pieces", "refreshing", "size", "stored", "uses", "variant")

    def __init__(self, key: str, variant: str, stored: Stored, pieces: Sequence[bytes]) -> None:
        """key: of the shelf; variant: what distinguishes it there. pieces: one for each of `stored.parts`, or one for all."""
        self.key = key
        self.variant = variant
        self.name = f"{key}\n{variant}" if variant else key
        self.stored = stored
        self.pieces = pieces
        self.block = FieldBlock(stored.fields)
        self.size = OVERHEAD_BYTES + len(key) + sum(map(len, pieces)) + 2 * len(self.block.encoded)
        self.uses = 0
        self.is_in = False
        self.refreshing = False
        """Whether it is being fetched again, while it is given away stale."""

    @property
    def length(self) -> int:
        """Of the whole representation, in bytes."""
        return self.stored.total if self.stored.parts else len(self.pieces[0])

    def bytes_of(self, start: int, end: int) -> bytes:
        """Of the representation. They lie in one piece: `parts` are apart."""
        if not self.stored.parts:
            body = self.pieces[0]
            return body if start == 0 and end == len(body) else body[start:end]
        for (first, last), piece in zip(self.stored.parts, self.pieces, strict=True):
            if first <= start and end <= last:
                return piece[start - first : end - first]
        raise AssertionError((start, end, self.stored.parts))
