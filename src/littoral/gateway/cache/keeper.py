"""Putting answers on their shelves: whole ones, and parts, which are put together where they belong together.

What a purge was meant for that came after the origin was asked is given to whoever asked, and is put on no shelf.
"""

from collections.abc import Sequence

from littoral.core.clock import Clock
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.wire.byte_range import Span
from littoral.wire.caching.ranges import combine, received
from littoral.wire.caching.storing import Stored
from littoral.wire.caching.validation import Freshened


class Keeper:
    """Stores what a route's cache keeps."""

    def __init__(self, tier: MemoryTier, clock: Clock, meter: CacheMeter) -> None:
        self._tier = tier
        self._clock = clock
        self._meter = meter

    def store(
        self, key: str, before: Entry | None, stored: Stored, variant: str, body: bytes, since: int
    ) -> Entry | None:
        """Put what came whole on its shelf; None where it is not what it was announced as. since: the last purge when the
        origin was asked."""
        pieces: Sequence[bytes] = (body,)
        if stored.parts:
            part = received(stored, len(body))
            if part is None:
                return None
            stored = part
            if before is not None and before.stored.parts:
                both = combine(before.stored, part, self._clock.wall_ms() / 1000)
                if both is not None:
                    stored, pieces = both, _merged(both, (before.stored.parts, before.pieces), (part.parts, pieces))
            elif before is not None and before.variant == variant:
                return None  # all of it is stored already
        kept = Entry(key, variant, stored, pieces)
        if self._replace(before, kept, since):
            self._meter.stored += 1
        return kept

    def update(self, key: str, entry: Entry, freshened: Freshened, since: int) -> Entry | None:
        """What is stored from now on in place of an entry; None where that is nothing. since: as above."""
        if not isinstance(freshened.stored, Stored):
            self._tier.drop(entry)
            return None
        updated = Entry(key, entry.variant, freshened.stored, entry.pieces)
        updated.hits = entry.hits
        self._replace(entry, updated, since)
        return updated

    def _replace(self, before: Entry | None, kept: Entry, since: int) -> bool:
        """Whether it was put on its shelf."""
        tags = kept.tags if before is None else (*before.tags, *kept.tags)
        if self._tier.purges.hits(since, kept.key, tags):
            return False
        if before is not None:
            self._tier.drop(before)
        self._tier.put(kept)
        return True


def _merged(both: Stored, *sources: tuple[Sequence[Span], Sequence[bytes]]) -> list[bytes]:
    """The bytes of each of the parts of two that were put together."""
    held = sorted(((span, piece) for spans, pieces in sources for span, piece in zip(spans, pieces, strict=True)))
    result: list[bytes] = []
    for start, end in both.parts:
        content = bytearray()
        for (first, last), piece in held:
            reached = start + len(content)
            if first <= reached < last:
                content += piece[reached - first :]
        assert len(content) == end - start, (both.parts, start, end)
        result.append(bytes(content))
    return result
