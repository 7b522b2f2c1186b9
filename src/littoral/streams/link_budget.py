"""The bandwidth budget of a node's uplink: who waits for it, and what was used of it, across restarts.

Whatever is sent first enters, with what its answer is expected to be; what the answer was is settled afterwards. Who is
urgent goes first; within either class the first to come is the first to go, so that none with much to send is passed for
ever by those with little. What was sent and not answered counts in full: nobody knows how far it got.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, Unavailable
from littoral.core.names import StreamName
from littoral.core.resources.model import Bandwidth
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.bandwidth import REQUEST_BYTES, Period, TokenBucket, Usage, terms_of

BANDWIDTH = "bandwidth"
"""Scope of the state: a UTC day or month -> bytes carried in it."""
KEEP_EVERY_S = 1.0
"""How often the counts are kept on disk, as the parent's marks are: a process that is killed forgets so much."""
LOOK_EVERY_S = 5.0
"""How often one who waits for a new day looks at the wall clock, which may be set meanwhile."""
PIECE_PART = 0.75
"""Most of a burst that is asked for at once: one that needs all of it would wait for the moment when nobody else does."""


class BudgetSpent(Unavailable):
    """Only what is urgent may go until the period ends."""


class BudgetState(msgspec.Struct, frozen=True):
    """The budget at one moment."""

    used: dict[Period, int]
    """Bytes carried in the present UTC day and month, where these have a bound."""
    waiting: bool
    """Something waits for the rate."""
    spent_until_ms: int | None
    """When the period ends whose budget is spent, ms since the epoch; None while none is."""
    carried_bytes: int
    """Both directions, since the hub started."""
    waited_s: float
    """How long what was sent has waited for the rate, in all."""


class LinkBudget:
    """Of one link."""

    def __init__(
        self, document: Bandwidth, store: Store, clock: Clock, essential: Callable[[StreamName], bool]
    ) -> None:
        """essential: which of the parent's streams are followed also when the budget of a period is spent."""
        self.terms = terms_of(document)
        self.essential = essential
        self._store = store
        self._clock = clock
        rate, burst = self.terms.rate, self.terms.burst
        self._bucket = TokenBucket(rate, burst, clock.monotonic_s()) if rate is not None else None
        self._usage = Usage(self.terms.most, store.state(BANDWIDTH))
        self._lines = {True: asyncio.Lock(), False: asyncio.Lock()}
        self._waiting = {True: 0, False: 0}
        """How many are in line, urgent or not."""
        self._changed = asyncio.Event()
        """Somebody urgent has gone, or something was given back."""
        self._carried_bytes = 0
        self._waited_s = 0.0

    # Sending

    async def enter(self, size_bytes: int, *, urgent: bool) -> None:
        """Wait until so much may be carried, and count it.

        Raises: BudgetSpent, Unavailable where not even what is urgent may go until the period ends.
        """
        self.check(urgent=urgent)
        began_s = self._clock.monotonic_s()
        self._waiting[urgent] += 1
        try:
            async with self._lines[urgent]:
                while (wait_s := self._wait_s(size_bytes, urgent=urgent)) != 0:
                    await self._change(wait_s)
                    self.check(urgent=urgent)
                self.carried(size_bytes)
        finally:
            self._waiting[urgent] -= 1
            if urgent:
                self._changed.set()
        self._waited_s += self._clock.monotonic_s() - began_s

    def carried(self, size_bytes: int) -> None:
        """Count what came unasked, or of what was counted before, if negative, what was not carried after all."""
        self._carried_bytes += size_bytes
        self._usage.add(size_bytes, self._clock.wall_ms())
        if self._bucket is not None:
            self._bucket.take(size_bytes, self._clock.monotonic_s())
        if size_bytes < 0:
            self._changed.set()

    @property
    def spent(self) -> bool:
        """Whether only what is urgent may go, or nothing."""
        return self._usage.spent_until_ms(self._clock.wall_ms()) is not None

    def check(self, *, urgent: bool) -> None:
        """Raise BudgetSpent or Unavailable, as `enter` does."""
        until_ms = self._usage.spent_until_ms(self._clock.wall_ms())
        if until_ms is None:
            return
        if urgent and not self.terms.stops:
            return
        until = datetime.fromtimestamp(until_ms // 1000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
        spent, remedy = f"its bandwidth budget is spent until {until}", "Raise perDay or perMonth"
        kind = Unavailable if self.terms.stops else BudgetSpent
        raise kind("use", "the link to the parent", spent, f"{remedy} of spec.parent.bandwidth")

    def piece_bytes(self, most_bytes: int) -> int:
        """`most_bytes`, or as much less as a piece should be to go without a long wait and within what is left."""
        bounds = [int(self.terms.burst * PIECE_PART) - REQUEST_BYTES] if self._bucket is not None else []
        if left := self._usage.left(self._clock.wall_ms()):
            bounds.append(left - REQUEST_BYTES)
        return max(1, min(most_bytes, *bounds)) if bounds else most_bytes

    async def unspent(self) -> None:
        """Return once what is not urgent may go."""
        while (until_ms := self._usage.spent_until_ms(self._clock.wall_ms())) is not None:
            wait_s = (until_ms - self._clock.wall_ms()) / 1000
            await asyncio.sleep(min(max(wait_s, 0.001), LOOK_EVERY_S))

    def _wait_s(self, size_bytes: int, *, urgent: bool) -> float | None:
        """How long to wait; None for as long as somebody urgent does."""
        if not urgent and self._waiting[True]:
            return None
        return self._bucket.wait_s(size_bytes, self._clock.monotonic_s()) if self._bucket is not None else 0.0

    async def _change(self, most_s: float | None) -> None:
        """Return when something has changed, and after `most_s` at the latest."""
        self._changed.clear()
        try:
            async with asyncio.timeout(most_s):
                await self._changed.wait()
        except TimeoutError:
            return

    # Telling and keeping

    @property
    def state(self) -> BudgetState:
        """At this moment."""
        wall_ms = self._clock.wall_ms()
        return BudgetState(
            used={period: self._usage.used(period, wall_ms) for period in self.terms.most},
            waiting=any(self._waiting.values()),
            spent_until_ms=self._usage.spent_until_ms(wall_ms),
            carried_bytes=self._carried_bytes,
            waited_s=self._waited_s,
        )

    async def keep(self, warn: Callable[[str], None]) -> None:
        """Keep what was used of days and months on disk, until cancelled, or where they have no bound at once."""
        if not self.terms.most:
            return
        unkept: dict[str, bytes | None] = {}
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            unkept |= self._usage.changes()
            if unkept:
                try:
                    await self._store.submit(partial(_keep, unkept))
                except LittoralError as error:
                    warn(str(error))
                else:
                    unkept = {}


def _keep(counts: dict[str, bytes | None], tx: Transaction) -> None:
    for label, count in counts.items():
        tx.put_state(BANDWIDTH, label, count)
