"""One stored response."""

from collections.abc import Sequence
from typing import Protocol

from littoral.gateway.cache.purge import tags_of
from littoral.gateway.field_block import FieldBlock
from littoral.wire.caching.storing import Stored
from littoral.wire.caching.validation import expired

OVERHEAD_BYTES = 2048
"""Of an object in memory, besides its body and fields: keys, moments, places in tables."""
TAG_BYTES = 256
"""Of each of its tags: the place in the table of tags."""


class OpenBody(Protocol):
    """A body that is being read."""

    async def read(self, start: int, end: int) -> bytes:
        """Some bytes from `start` on, not beyond `end`. Raises StorageError."""
        ...

    def close(self) -> None:
        """It is not wanted any more."""
        ...


class Body(Protocol):
    """A body that lies on a disk."""

    name: str
    size: int

    def open(self) -> OpenBody | None:
        """None where it is not there any more."""
        ...


class Entry:
    """A response as it is held: its facts, its fields as they are sent, and its body.

    Implements `littoral.gateway.cache.eviction.Held`.
    """

    __slots__ = (
        "block",
        "body",
        "hits",
        "is_in",
        "is_plain",
        "key",
        "name",
        "pieces",
        "refreshing",
        "size",
        "stored",
        "tags",
        "uses",
        "variant",
    )

    def __init__(
        self, key: str, variant: str, stored: Stored, pieces: Sequence[bytes], body: Body | None = None
    ) -> None:
        """key: of the shelf; variant: what distinguishes it there. pieces: one for each of `stored.parts`, or one for all; none
        where the body lies on a disk."""
        self.key = key
        self.variant = variant
        self.name = f"{key}\n{variant}" if variant else key
        self.stored = stored
        self.pieces = pieces
        self.body = body
        self.is_plain = body is None and not stored.parts
        """Whether all of it is here."""
        self.block = FieldBlock(stored.fields)
        self.tags = tags_of(stored.fields)
        self.size = OVERHEAD_BYTES + len(key) + sum(map(len, pieces)) + 2 * len(self.block.encoded)
        self.size += TAG_BYTES * len(self.tags)
        self.hits = 0
        """How often it was given to clients."""
        self.uses = 0
        self.is_in = False
        self.refreshing = False
        """Whether it is being fetched again, while it is given away stale."""

    def expire(self) -> None:
        """It may not be given any more without the origin's word, unless the origin fails: a soft purge."""
        self.stored = expired(self.stored)

    @property
    def length(self) -> int:
        """Of the whole representation, in bytes."""
        if self.body is not None:
            return self.body.size
        return self.stored.total if self.stored.parts else len(self.pieces[0])

    @property
    def held_bytes(self) -> int:
        """Of the body, wherever it lies."""
        return sum(map(len, self.pieces)) if self.body is None else self.body.size

    def bytes_of(self, start: int, end: int) -> bytes:
        """Of the representation. They lie in one piece: `parts` are apart."""
        if not self.stored.parts:
            body = self.pieces[0]
            return body if start == 0 and end == len(body) else body[start:end]
        for (first, last), piece in zip(self.stored.parts, self.pieces, strict=True):
            if first <= start and end <= last:
                return piece[start - first : end - first]
        raise AssertionError((start, end, self.stored.parts))
