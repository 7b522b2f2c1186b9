"""Putting answers on their shelves: whole ones, and parts, which are put together where they belong together.

What memory takes in goes to the disk, too. What a purge was meant for that came after the origin was asked is given to
whoever asked, and is put on no shelf.
"""

from collections.abc import Sequence

from littoral.core.clock import Clock
from littoral.gateway.cache.disk import DiskTier
from littoral.gateway.cache.disk_objects import Spool
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.wire.byte_range import Span
from littoral.wire.caching.ranges import combine, received
from littoral.wire.caching.storing import Stored
from littoral.wire.caching.validation import Freshened


class Keeper:
    """Stores what a route's cache keeps."""

    def __init__(self, tier: MemoryTier, disk: DiskTier | None, clock: Clock, meter: CacheMeter) -> None:
        self._tier = tier
        self._disk = disk
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

    async def store_spooled(
        self, key: str, before: Entry | None, stored: Stored, variant: str, spool: Spool, since: int
    ) -> None:
        """The same of a large body, which is on disk: its object there, and what memory knows of it. Returns once it can be
        given from there, or will not be."""
        assert self._disk is not None, key
        body = await spool.finish()
        if body is None:
            return
        kept = Entry(key, variant, stored, (), body)
        if self._is_purged(before, kept, since) or not await self._disk.keep_spooled(kept, before):
            return
        if not self._is_purged(before, kept, since):
            self._shelve(before, kept)
            self._meter.stored += 1

    def recall(self, entry: Entry, since: int) -> None:
        """Shelve what was found on the disk, unless something newer has come meanwhile. since: the last purge when it was found."""
        shelf = self._tier.get(entry.key)
        if not (shelf is not None and shelf.has_like(entry)) and not self._is_purged(None, entry, since):
            self._tier.put(entry)

    def drop(self, entry: Entry) -> None:
        """It is not to be given any more."""
        self._tier.drop(entry)
        if self._disk is not None:
            self._disk.drop(entry)

    def drop_url(self, url: str) -> None:
        """Nothing that is stored of a URL is to be given any more."""
        self._tier.drop_url(url)
        if self._disk is not None:
            self._disk.drop_url(url)

    def update(self, key: str, entry: Entry, freshened: Freshened, since: int) -> Entry | None:
        """What is stored from now on in place of an entry; None where that is nothing. since: as above."""
        if not isinstance(freshened.stored, Stored):
            self.drop(entry)
            return None
        updated = Entry(key, entry.variant, freshened.stored, entry.pieces, entry.body)
        updated.hits = entry.hits
        self._replace(entry, updated, since)
        return updated

    def _replace(self, before: Entry | None, kept: Entry, since: int) -> bool:
        """Whether it was put on its shelf."""
        if self._is_purged(before, kept, since):
            return False
        self._shelve(before, kept)
        if self._disk is not None:
            self._disk.keep(kept, before)
        return True

    def _is_purged(self, before: Entry | None, kept: Entry, since: int) -> bool:
        tags = kept.tags if before is None else (*before.tags, *kept.tags)
        return self._tier.purges.hits(since, kept.key, tags)

    def _shelve(self, before: Entry | None, kept: Entry) -> None:
        if before is not None:
            self._tier.drop(before)
        self._tier.put(kept)


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
