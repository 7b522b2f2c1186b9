"""Collapsed forwarding: what several clients want at once is fetched once (RFC 9111, section 4; RFC 9211, section 2.6)."""

import asyncio
from collections import OrderedDict

from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.fill import Fill
from littoral.wire.caching.storing import Stored

UNSHARED_S = 10.0
"""For so long after an answer that could not be shared nobody waits for the next one."""
UNSHARED_MOST = 10_000


class Arrived:
    """What a flight has brought: the facts, and the body, or where it comes."""

    __slots__ = ("body", "stored", "variant")

    def __init__(self, stored: Stored, variant: str, body: Entry | Fill) -> None:
        self.stored = stored
        self.variant = variant
        self.body = body


class Flight:
    """One fetch under way."""

    __slots__ = ("_arrived", "fill", "since", "waiting")

    def __init__(self, since: int) -> None:
        """since: the last purge when it began."""
        self.since = since
        self._arrived: asyncio.Future[Arrived | None] = asyncio.get_running_loop().create_future()
        self.fill: Fill | None = None
        self.waiting = 0
        """Who waits for its head."""

    async def wait(self) -> Arrived | None:
        """What it brings; None if that is of use to nobody else."""
        self.waiting += 1
        try:
            return await asyncio.shield(self._arrived)
        finally:
            self.waiting -= 1

    def settle(self, arrived: Arrived | None) -> None:
        """Tell everybody; the first word counts."""
        if not self._arrived.done():
            self._arrived.set_result(arrived)


class Flights:
    """The fetches under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._unshared: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, key: str) -> Flight | None:
        """The fetch that brings what is stored under a key."""
        return self._flights.get(key)

    def begin(self, key: str, since: int = 0) -> Flight:
        """There is none, or one that nobody is to join any more. since: the last purge there was."""
        flight = self._flights[key] = Flight(since)
        return flight

    def end(self, key: str, flight: Flight) -> None:
        """Nobody need wait for it any more."""
        flight.settle(None)
        if self._flights.get(key) is flight:
            del self._flights[key]

    def note_unshared(self, key: str, now_s: float) -> None:
        """What came was for one client only; so is the next, most likely, and waiting for it would be in vain."""
        self._unshared[key] = now_s + UNSHARED_S
        self._unshared.move_to_end(key)
        if len(self._unshared) > UNSHARED_MOST:
            self._unshared.popitem(last=False)

    def is_unshared(self, key: str, now_s: float) -> bool:
        """Whether it was so a short while ago."""
        until_s = self._unshared.get(key)
        if until_s is None:
            return False
        if now_s < until_s:
            return True
        del self._unshared[key]
        return False
