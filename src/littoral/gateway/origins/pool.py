"""The targets of a pool, and which of them a request goes to.

left out   who was tried for this request already; whose circuit is open
healthy    of the rest; all of the rest while too few of the pool are healthy
free       of these, who is below the bound of requests under way
nearest    of these, who is in the node's own region, if any is
then       whom the client was told to come back to; else the pool's policy decides
"""

from collections.abc import Collection
from typing import Final

from littoral.core.random import Random
from littoral.gateway.origins.balance import by_hash, in_turns, least_loaded
from littoral.gateway.origins.member import Member
from littoral.gateway.origins.meters import PoolMeter, TargetMeter
from littoral.gateway.origins.settings import OriginPool


class Full:
    """There are targets, and all have enough to do."""


FULL: Final = Full()


class Pool:
    """That of one gateway process."""

    def __init__(self, settings: OriginPool, random: Random, meter: PoolMeter, *, region: str = "", key: bytes) -> None:
        """region: the node's own. key: secret, and the same in all gateways that clients may come back to."""
        self.settings = settings
        self._random = random
        self._region = region
        self.members = [
            Member(each, settings, meter.targets.setdefault(str(each.endpoint), TargetMeter()), key)
            for each in settings.targets
        ]
        self._by_mark = {each.mark: each for each in self.members}
        self._panic_below = settings.passive.panic_share * len(self.members)
        self._most = settings.crowding.target_requests

    def choose(
        self, now_s: float, *, hash_key: str = "", affinity: str = "", tried: Collection[Member] = ()
    ) -> Member | Full | None:
        """affinity: the mark of the member that the client was told to come back to. FULL where waiting may help, None where
        nothing does."""
        most = self._most
        if len(self.members) == 1 and not tried:
            only = self.members[0]
            if only.inflight < most and only.is_well(now_s):
                return only
        # All of them, most of the time; what it takes to know why not can wait until it is so.
        free = [each for each in self.members if each.is_well(now_s) and each.inflight < most]
        if tried or len(free) < len(self.members):
            useful = self._useful(now_s, tried)
            free = [each for each in useful if each.inflight < most]
            if not free:
                return FULL if useful else None
        if affinity and (known := self._by_mark.get(affinity)) in free:
            return known
        balance = self.settings.balance
        if self._region and balance.nearest_region:
            free = [each for each in free if each.target.region == self._region] or free
        if len(free) == 1:
            return free[0]
        if balance.policy == "consistent-hash":
            return by_hash(free, hash_key, balance.load_bound)
        if balance.policy == "least-request":
            return least_loaded(free, self._random)
        return in_turns(free)

    def _useful(self, now_s: float, tried: Collection[Member]) -> list[Member]:
        chosen = [each for each in self.members if each.active.is_healthy and now_s >= each.passive.ejected_until_s]
        if len(chosen) < self._panic_below:
            chosen = self.members
        if tried:
            chosen = [each for each in chosen if each not in tried]
        return [each for each in chosen if each.breaker.is_closed or each.breaker.allows(now_s)]

    def failed(self, member: Member, now_s: float) -> None:
        """A request to it was not answered."""
        member.meter.failures += 1
        if member.breaker.failed(now_s):
            member.meter.opened += 1
        if member.passive.failed(now_s) and self._may_eject(now_s):
            member.passive.eject(now_s)
            member.meter.ejections += 1

    def _may_eject(self, now_s: float) -> bool:
        ejected = sum(each.passive.is_ejected(now_s) for each in self.members)
        return ejected + 1 <= self.settings.passive.ejected_most_share * len(self.members)
