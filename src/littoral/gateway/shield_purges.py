"""The purges that the parent may not know of when it answers: by them its answers are judged.

    of the parent's own    how far this node has followed them is said with each request: the parent sees to it
    of this node's own     what the parent fetched before one of them that is meant for it is not taken
    what clients change    likewise: who has sent a POST is not to be given what was there before

When that was the parent says by the answer's age. It is compared with how long ago the purge was ordered, both by this process's
monotonic clock: clocks that differ, or jump, do not matter.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable

from littoral.core.clock import Clock
from littoral.gateway.cache.key import SEPARATOR
from littoral.gateway.cache.purge import Aim, Purge
from littoral.wire.relay import PurgesKnown

REMEMBERED_MOST = 1000
"""Of an answer that is older than the last so many, nobody knows whether one of the others was meant for it."""


CHANGED_MOST = 10_000
"""URLs that clients have changed. Those that were changed longest ago are forgotten: that is no purge that somebody has confirmed."""


class _Ordered:
    """One of the node's own."""

    __slots__ = ("aim", "at_s", "purge")

    def __init__(self, purge: Purge, at_s: float) -> None:
        self.purge = purge
        self.at_s = at_s
        self.aim: Aim | None = None
        """None until it is looked for."""


class ShieldPurges:
    """Those that one gateway process was told of."""

    def __init__(self, clock: Clock, aim_of: Callable[[Purge], Aim]) -> None:
        """aim_of: what a purge is meant for, by the rules for keys that there are."""
        self._clock = clock
        self._aim_of = aim_of
        self._own: deque[_Ordered] = deque()
        self._changed: OrderedDict[str, float] = OrderedDict()
        """When URLs were changed by clients, the last one last."""
        self._before_s = 0.0
        """There were others until then."""
        self.known: PurgesKnown | None = None
        """Up to where the parent's purges are done here; None while nothing was told: then the parent is not to be asked."""

    def tell(self, known: PurgesKnown, own: Iterable[Purge], now_ms: int) -> None:
        """These have come. now_ms: by the clock that their `at_ms` are by."""
        now_s = self._clock.monotonic_s()
        self.known = known
        for purge in own:
            # Both are whole milliseconds: it was one later, perhaps.
            self._own.append(_Ordered(purge, now_s - max(0, now_ms - purge.at_ms - 1) / 1000))
        while len(self._own) > REMEMBERED_MOST:
            self._before_s = max(self._before_s, self._own.popleft().at_s)

    def tell_all(self, known: PurgesKnown, own: Iterable[Purge], before_ms: int, now_ms: int) -> None:
        """These are all. before_ms: there were others until then; 0 for none."""
        self._own.clear()
        self._before_s = self._clock.monotonic_s() - max(0, now_ms - before_ms) / 1000 if before_ms else float("-inf")
        self.tell(known, own, now_ms)

    def change(self, url: str) -> None:
        """A client has changed what is there, through this gateway (RFC 9111, section 4.4). url: as keys begin with it."""
        self._changed[url] = self._clock.monotonic_s()
        self._changed.move_to_end(url)
        if len(self._changed) > CHANGED_MOST:
            self._changed.popitem(last=False)

    def look_again(self) -> None:
        """There are other rules for keys: what a purge is meant for may be more by now."""
        for each in self._own:
            each.aim = None

    def hits(self, key: str, tags: Collection[str], made_s: float) -> bool:
        """Whether an answer was purged here after it was made. made_s: by the monotonic clock."""
        if made_s <= self._before_s:
            return True
        changed_s = self._changed.get(key.partition(SEPARATOR)[0])
        if changed_s is not None and changed_s >= made_s:
            return True
        return any(each.at_s >= made_s and self._is_meant(each, key, tags) for each in reversed(self._own))

    def _is_meant(self, ordered: _Ordered, key: str, tags: Collection[str]) -> bool:
        if ordered.aim is None:
            ordered.aim = self._aim_of(ordered.purge)
        return ordered.aim.hits(key, tags)
