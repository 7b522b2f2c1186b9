"""What the hub orders of a gateway's cache: to purge, and to say what it holds."""

from collections.abc import Iterable

import msgspec

from littoral.core.clock import Clock
from littoral.core.resources.web import CacheKey
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.key import SEPARATOR, MakeKey, key_maker
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.purge import EVERYTHING, Purge, aim_of
from littoral.node.purge_desk import CachedObject
from littoral.wire.caching.selection import variant_fields
from littoral.wire.caching.serving import age_s

RULES_MOST = 256
"""How many ways of making keys are remembered. Before they are forgotten everything is purged: what they made could be found
no more."""


class CacheOrders:
    """Implements `littoral.node.control.GatewayCaches`."""

    def __init__(self, tier: MemoryTier, clock: Clock) -> None:
        self.tier = tier
        self._clock = clock
        self._makers: dict[bytes, MakeKey] = {}
        """By what the routes say of keys, or once said: what was stored by it may still be there."""
        self.use(())

    def use(self, specs: Iterable[CacheKey]) -> None:
        """The routes make their keys so from now on."""
        makers = {msgspec.json.encode(spec): key_maker(spec) for spec in (CacheKey(), *specs)}
        if len(self._makers | makers) > max(RULES_MOST, len(makers)):
            self.purge(EVERYTHING)
            self._makers.clear()
        self._makers |= makers

    def purge(self, purge: Purge) -> int:
        """See GatewayCaches."""
        return self.tier.purge(aim_of(purge, self._makers.values()))

    def inspect(self, url: str) -> list[CachedObject]:
        """See GatewayCaches."""
        now_s = self._clock.wall_ms() / 1000
        keys = sorted(aim_of(Purge("url", url), self._makers.values()).urls)
        return [_shown(entry, now_s) for key in keys for entry in self.tier.of_url(key)]


def _shown(entry: Entry, now_s: float) -> CachedObject:
    url, *more = entry.key.split(SEPARATOR)
    stored = entry.stored
    return CachedObject(
        url=url,
        key=more,
        variant=variant_fields(stored.vary, entry.variant),
        status=stored.status,
        age_s=age_s(stored, now_s),
        ttl_s=int(stored.fresh_until_s - now_s) if stored.fresh_until_s > 0 else None,
        bytes=sum(map(len, entry.pieces)),
        hits=entry.hits,
        tags=list(entry.tags),
    )
