"""Purges that apps order of what the caches hold of their own answers (`ctx.cache.purge`), and of nothing else."""

import asyncio
from collections import Counter

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, LimitReached
from littoral.core.function_limits import CACHE_PURGES
from littoral.core.limits import Limits
from littoral.gateway.cache.purge import Purge
from littoral.node.purge_desk import PurgeDesk

MOST_AT_ONCE = 100
"""Tags and beginnings of paths in one call: each is looked for in all that is stored."""
MINUTE_S = 60


class AppPurges:
    """Implements `littoral.functions.hub.cache_bindings.PurgeAnswers`."""

    def __init__(self, desk: PurgeDesk, clock: Clock, limits: Limits) -> None:
        self._desk = desk
        self._clock = clock
        self._limits = limits
        self._minute = 0
        self._ordered: Counter[str] = Counter()
        """By each app, this minute."""

    async def __call__(self, app: str, tags: list[str], paths: list[str], *, everything: bool) -> str:
        """Purge; see PurgeAnswers. Raises InvalidInput, LimitReached."""
        wanted = [Purge("tag", tag) for tag in tags] + [Purge("path", path) for path in paths]
        if everything:
            wanted = [Purge("all")]
        if not 0 < len(wanted) <= MOST_AT_ONCE:
            cause = f"{len(wanted)} tags and paths were given"
            raise InvalidInput("purge answers of", app, cause, f"Give 1 to {MOST_AT_ONCE} in a call")
        self._count(app, len(wanted))
        purges = [msgspec.structs.replace(each, app=app) for each in wanted]
        outcomes = await asyncio.gather(*map(self._desk.purge, purges))
        missing = max(each.unconfirmed for each in outcomes)
        return f"{missing} gateways of the node have not confirmed it yet; they do it once they can" if missing else ""

    def _count(self, app: str, purges: int) -> None:
        """Raises LimitReached."""
        minute = int(self._clock.monotonic_s() // MINUTE_S)
        if minute != self._minute:
            self._minute = minute
            self._ordered.clear()
        if self._ordered[app] + purges > self._limits[CACHE_PURGES]:
            self._limits.hit(CACHE_PURGES)
            most = f"it has ordered {self._ordered[app]} this minute, and may order {self._limits[CACHE_PURGES]}"
            raise LimitReached("purge answers of", app, most)
        self._ordered[app] += purges
