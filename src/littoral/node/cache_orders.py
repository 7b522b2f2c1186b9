"""What the hub orders of a gateway's cache: to purge, and to say what it holds."""

from collections.abc import Awaitable, Iterable, Sequence

import msgspec

from littoral.core.clock import Clock
from littoral.core.resources.web import CacheKey
from littoral.gateway.cache.disk import DiskTier
from littoral.gateway.cache.disk_objects import Found
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.key import SEPARATOR, MakeKey, key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import EVERYTHING, Aim, Purge, aim_of
from littoral.node.cache_top import most_given
from littoral.node.purge_messages import CachedObject
from littoral.wire.caching.selection import variant_fields
from littoral.wire.caching.serving import age_s
from littoral.wire.caching.storing import Stored

RULES_MOST = 256
"""How many ways of making keys are remembered. Before they are forgotten everything is purged: what they made could be found
no more."""


class CacheOrders:
    """Implements `littoral.node.control_client.GatewayCaches`."""

    def __init__(self, tier: MemoryTier, clock: Clock, disk: DiskTier | None = None) -> None:
        self.tier = tier
        self.disk = disk
        self.known: Position | None = None
        self._clock = clock
        self._makers: dict[bytes, MakeKey] = {}
        """By what the routes say of keys, or once said: what was stored by it may still be there."""
        self.use(())

    def use(self, specs: Iterable[CacheKey]) -> None:
        """The routes make their keys so from now on."""
        makers = {msgspec.json.encode(spec): key_maker(spec) for spec in (CacheKey(), *specs)}
        is_too_much = len(self._makers | makers) > max(RULES_MOST, len(makers))
        if is_too_much:
            self.tier.purge(aim_of(EVERYTHING, ()))
            self._makers.clear()
        self._makers |= makers
        if self.disk is not None:
            self.disk.use(makers)
            if is_too_much:
                self.disk.clear()

    def aim(self, purge: Purge) -> Aim:
        """What a purge is meant for, as keys are made here."""
        return aim_of(purge, self._makers.values())

    def purge(self, purges: Sequence[Purge], until: Position) -> list[int] | Awaitable[list[int]]:
        """See GatewayCaches."""
        counts = [self.tier.purge(self.aim(purge)) for purge in purges]
        known, self.known = self.known, until
        return counts if self.disk is None else _together(counts, self.disk.purge(purges, until, known))

    def inspect(self, url: str) -> list[CachedObject]:
        """See GatewayCaches."""
        now_s = self._clock.wall_ms() / 1000
        keys = sorted(self.aim(Purge("url", url)).urls)
        held = [_shown(entry, now_s) for key in keys for entry in self.tier.of_url(key)]
        if self.disk is not None:
            held += [_shown_on_disk(found, now_s) for key in keys for found in self.disk.of_url(key)]
        return held

    async def top(self, count: int) -> list[CachedObject]:
        """See GatewayCaches."""
        entries = await most_given(self.tier.shelves(), count)
        for entry in entries:
            # What was let be stale with all else is so once its shelf is looked at.
            self.tier.get(entry.key)
        now_s = self._clock.wall_ms() / 1000
        return [_shown(entry, now_s) for entry in entries]


async def _together(counts: list[int], on_disk: Awaitable[list[int]]) -> list[int]:
    """How many objects purges were meant for. Most of those in memory are on the disk, too."""
    return list(map(max, counts, await on_disk))


def _shown(entry: Entry, now_s: float) -> CachedObject:
    held = _described(entry.key, entry.variant, entry.stored, now_s)
    return msgspec.structs.replace(held, bytes=entry.held_bytes, hits=entry.hits, tags=list(entry.tags))


def _shown_on_disk(found: Found, now_s: float) -> CachedObject:
    held = _described(found.key, found.variant, found.stored, now_s)
    return msgspec.structs.replace(held, bytes=found.size, tags=list(found.tags), tier="disk")


def _described(key: str, variant: str, stored: Stored, now_s: float) -> CachedObject:
    url, *more = key.split(SEPARATOR)
    return CachedObject(
        url=url,
        key=more,
        variant=variant_fields(stored.vary, variant),
        status=stored.status,
        age_s=age_s(stored, now_s),
        ttl_s=int(stored.fresh_until_s - now_s) if stored.fresh_until_s > 0 else None,
        bytes=0,
        hits=0,
        tags=[],
    )
