"""Deleting or spilling what streams may no longer hold, in small pieces, so that no write waits long for it, and with a
rest as long as each piece took: half of what the disk can do is left to those who wait for an answer.

What cannot be spilled (the place is not mounted, or full) stays in the store and is tried again; the store's budget then
refuses what comes (littoral.store.budgets).
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, NotFound
from littoral.core.limits import STORE_BYTES, Limits
from littoral.core.names import StreamName
from littoral.core.offload import Offload
from littoral.store.budgets import MAKING_ROOM
from littoral.store.spiller import Spiller
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction

T = TypeVar("T")
EVERY_S = 1.0
"""At most once in this time is anything deleted: a stream at its bound grows beyond it with every record."""
BY_AGE_EVERY_S = 30.0
BATCHES_AT_ONCE = 64
"""Deleted in one transaction: well below a sync's time."""
PAGES_AT_ONCE = 64
"""Given back to the file system in one transaction: each may be moved from the end of the file first."""
SPILL_AGAIN_S = 10.0
"""After the place of spill files has refused: it may be mounted by then."""


class Retention:
    """Keeps every stream of a store within its bytes and age."""

    def __init__(
        self, store: Store, clock: Clock, limits: Limits, warn: Callable[[str], None], offload: Offload
    ) -> None:
        """warn: told in words when the disk refuses even to delete; it is tried again."""
        self._store = store
        self._limits = limits
        self._clock = clock
        self._warn = warn
        self._aged_s = clock.monotonic_s()
        self._due = asyncio.Event()
        """A stream has more bytes than it may, or the disk refused to delete."""
        self._bytes: dict[StreamName, int] = {}
        self._over: set[StreamName] = set()
        """Streams of whose bytes something is to be done."""
        self._total_bytes = 0
        """Of all streams, as last published."""
        self._deleted = True
        """Rows of deleted streams may be there: those of before the store was opened, at first."""
        self._deleted_bytes = 0
        """What deleted streams hold that forks still read."""
        self.dropped_batches = 0
        self._budgets = store.bounds.budgets
        self._spiller = Spiller(store, offload)
        self._unswept = True
        """Spill files may be there that are of no stream any more: those of before the store was opened, at first."""
        self._spill_from_s = clock.monotonic_s()
        """Not before; later than now where the place has refused."""
        self.spilled_bytes = 0
        """Of payload, since the start."""
        self.spill_refused = ""
        """Why nothing can be spilled at present."""

    async def run(self) -> None:
        """Work until cancelled."""
        stop = self._store.watch(self._note, self._note_deleted)
        try:
            for info in self._store.streams():
                self._note(info)
            self._due.set()
            while True:
                await asyncio.sleep(EVERY_S)
                await self._until_due()
                by_age = self._clock.monotonic_s() - self._aged_s >= BY_AGE_EVERY_S
                if by_age:
                    self._aged_s = self._clock.monotonic_s()
                await self._sweep()  # first: a place that is full takes files again
                await self._keep_all_within(by_age=by_age)
                if self._over_bytes() > 0:
                    await self._make_room()
                await self._forget_deleted()
                await self._sweep()
        finally:
            stop()

    def _note(self, info: StreamInfo) -> None:
        self._total_bytes += info.bytes - self._bytes.get(info.name, 0)
        self._bytes[info.name] = info.bytes
        if self._is_over(info):
            self._over.add(info.name)
        else:
            self._over.discard(info.name)
        if self._over or self._over_bytes() > 0:
            self._due.set()

    def _is_over(self, info: StreamInfo) -> bool:
        """Whether something is to be done about the bytes of a stream."""
        budget = self._budgets.of(info)
        return info.bytes > budget.bytes and budget.policy != "reject"

    def _over_bytes(self) -> int:
        """How much more there is than the node may hold."""
        return self._total_bytes + self._deleted_bytes - self._budgets.over_from

    def _note_deleted(self, name: StreamName) -> None:
        self._total_bytes -= self._bytes.pop(name, 0)
        self._over.discard(name)
        self._deleted = True
        self._due.set()

    async def _until_due(self) -> None:
        """Until there are bytes to delete, or ages to look at."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._aged_s + BY_AGE_EVERY_S - self._clock.monotonic_s())):
                await self._due.wait()
        self._due.clear()

    async def _forget_deleted(self) -> None:
        """Give back what only deleted streams hold."""
        try:
            if self._deleted or self._store.has_purgeable():
                self._deleted = await self._purge()
                self._unswept = True
                await self._give_back()
            self._deleted_bytes = self._store.deleted_bytes()
        except LittoralError as error:
            self._warn(str(error))
            self._due.set()

    async def _purge(self) -> bool:
        """Delete the rows of deleted streams; whether there may be more that can be deleted."""
        try:
            while await self._piece(partial(Transaction.purge, most_batches=BATCHES_AT_ONCE)):
                pass
        except LittoralError as error:
            self._warn(str(error))
            self._due.set()
            return True
        return False

    async def _give_back(self) -> None:
        """Give free pages of the file back, if they are many."""
        try:
            while await self._piece(partial(Transaction.give_back, most_pages=PAGES_AT_ONCE)):
                pass
        except LittoralError as error:
            self._warn(str(error))

    async def _piece(self, job: Callable[[Transaction], T]) -> T:
        """One piece, and a rest."""
        began_s = self._clock.monotonic_s()
        done = await self._store.submit(job)
        await asyncio.sleep(self._clock.monotonic_s() - began_s)
        return done

    async def _keep_all_within(self, *, by_age: bool) -> None:
        """Bring all streams within their budgets: those that have grown over them, and now and then the aged."""
        for name in [info.name for info in self._store.heads()] if by_age else list(self._over):
            if (info := self._store.stream(name)) is not None:
                await self._keep_within(info, by_age=by_age)

    async def _keep_within(self, info: StreamInfo, *, by_age: bool) -> None:
        """Bring a stream within its budget."""
        budget = self._budgets.of(info)
        over = self._is_over(info)
        if (over and budget.policy == "drop-oldest") or (by_age and budget.age_ms is not None and info.count):
            await self._retain(info)
        if over and budget.policy == "spill":
            await self._spill(info.name, budget.bytes)

    async def _spill(self, name: StreamName, most_bytes: int) -> bool:
        """Move the oldest of a stream to spill files until it has no more than this in the store; whether anything went."""
        went = False
        if self._clock.monotonic_s() >= self._spill_from_s:
            self._unswept = True  # the place may drop its oldest, or a file not be finished
            try:
                while size := await self._spiller.spill(name, most_bytes):
                    went = True
                    self.spilled_bytes += size
                    self.spill_refused = ""
            except NotFound:
                return went  # deleted meanwhile
            except LittoralError as error:
                self._note_refusal(error)
        return went

    async def _sweep(self) -> None:
        """Remove spill files that are of no stream any more."""
        if not self._unswept or self._clock.monotonic_s() < self._spill_from_s:
            return
        try:
            await self._spiller.sweep()
            self._unswept = False
        except LittoralError as error:
            self._note_refusal(error)

    def _note_refusal(self, error: LittoralError) -> None:
        """The place of spill files takes nothing now."""
        self._spill_from_s = self._clock.monotonic_s() + SPILL_AGAIN_S
        if str(error) != self.spill_refused:
            self._warn(str(error))
        self.spill_refused = str(error)
        self._due.set()

    async def _retain(self, info: StreamInfo, most_bytes: int | None = None) -> bool:
        """Delete what is to be deleted of a stream; whether the disk let us."""
        now_ms = self._clock.wall_ms()
        count = 1
        while count:
            try:
                count = await self._piece(lambda tx: tx.retain(info.name, now_ms, BATCHES_AT_ONCE, most_bytes))
            except NotFound:
                return True  # deleted meanwhile
            except LittoralError as error:
                self._warn(str(error))
                self._due.set()
                return False
            self.dropped_batches += count
            self._unswept = self._unswept or count > 0
        return True

    async def _make_room(self) -> None:
        """Drop or spill the oldest of the largest streams of the least urgent lanes, until the node's streams are within
        their bound together."""
        stuck: set[StreamName] = set()
        for lane in MAKING_ROOM:
            while (over := self._over_bytes()) > 0:
                streams = [info for info in self._store.heads() if info.lane == lane and self._may_shrink(info)]
                largest = max((info for info in streams if info.name not in stuck), key=_rank, default=None)
                if largest is None:
                    break
                self._limits.hit(STORE_BYTES)
                # Not all that is over from one: the next may then be the largest.
                most_bytes = largest.bytes - min(over, max(1, largest.bytes // 4))
                if self._budgets.relief(largest) == "spill":
                    if not await self._spill(largest.name, most_bytes):
                        stuck.add(largest.name)
                elif not await self._retain(largest, most_bytes):
                    return

    def _may_shrink(self, info: StreamInfo) -> bool:
        """Whether room may be made of a stream now."""
        return info.bytes > 0 and self._budgets.relief(info) != "reject"


def _rank(info: StreamInfo) -> tuple[int, StreamName]:
    """The largest, and of several the same one in each run."""
    return info.bytes, info.name
