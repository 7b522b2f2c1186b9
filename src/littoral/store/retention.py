"""Deleting what retention no longer keeps, in small pieces, so that no write waits long for it."""

import asyncio
import contextlib
from collections.abc import Callable

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.lanes import Lane
from littoral.core.limits import STORE_BYTES, Limits
from littoral.core.names import StreamName
from littoral.store.store import Store
from littoral.store.stream import StreamInfo

EVERY_S = 1.0
"""At most once in this time is anything deleted: a stream at its bound grows beyond it with every record."""
BY_AGE_EVERY_S = 30.0
MAKING_ROOM: tuple[Lane, ...] = ("bulk", "telemetry")
"""Lanes whose streams are shortened where all streams together are too large. What is folded into state, and alerts, are
not."""
BATCHES_AT_ONCE = 64
"""Deleted in one transaction: well below a sync's time."""


class Retention:
    """Keeps every stream of a store within its bytes and age."""

    def __init__(self, store: Store, clock: Clock, limits: Limits, warn: Callable[[str], None]) -> None:
        """warn: told in words when the disk refuses even to delete; it is tried again."""
        self._store = store
        self._limits = limits
        self._clock = clock
        self._warn = warn
        self._aged_s = clock.monotonic_s()
        self._due = asyncio.Event()
        """A stream has more bytes than it may, or the disk refused to delete."""
        self._bytes: dict[StreamName, int] = {}
        self._total_bytes = 0
        """Of all streams, as last published."""
        self._deleted = True
        """Rows of deleted streams may be there: those of before the store was opened, at first."""
        self.dropped_batches = 0

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
                for info in self._store.streams():
                    if info.bytes > info.retention_bytes or (by_age and info.retention_ms is not None and info.count):
                        await self._retain(info)
                if self._over_bytes() > 0:
                    await self._make_room()
                if self._deleted:
                    self._deleted = await self._purge()
        finally:
            stop()

    def _note(self, info: StreamInfo) -> None:
        self._total_bytes += info.bytes - self._bytes.get(info.name, 0)
        self._bytes[info.name] = info.bytes
        if info.bytes > info.retention_bytes or self._over_bytes() > 0:
            self._due.set()

    def _over_bytes(self) -> int:
        """How much more there is than the node may hold."""
        return self._total_bytes - self._limits[STORE_BYTES]

    def _note_deleted(self, name: StreamName) -> None:
        self._total_bytes -= self._bytes.pop(name, 0)
        self._deleted = True
        self._due.set()

    async def _until_due(self) -> None:
        """Until there are bytes to delete, or ages to look at."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._aged_s + BY_AGE_EVERY_S - self._clock.monotonic_s())):
                await self._due.wait()
        self._due.clear()

    async def _purge(self) -> bool:
        """Delete the rows of deleted streams; whether there may be more that can be deleted."""
        try:
            while await self._store.submit(lambda tx: tx.purge(BATCHES_AT_ONCE)):
                pass
        except LittoralError as error:
            self._warn(str(error))
            self._due.set()
            return True
        return False

    async def _retain(self, info: StreamInfo, most_bytes: int | None = None) -> bool:
        """Delete what is to be deleted of a stream; whether the disk let us."""
        now_ms = self._clock.wall_ms()
        count = BATCHES_AT_ONCE
        while count == BATCHES_AT_ONCE:
            try:
                count = await self._store.submit(lambda tx: tx.retain(info.name, now_ms, BATCHES_AT_ONCE, most_bytes))
            except LittoralError as error:
                self._warn(str(error))
                self._due.set()
                return False
            self.dropped_batches += count
        return True

    async def _make_room(self) -> None:
        """Delete the oldest of the largest streams of the least urgent lanes, until the node's streams are within their
        bound together."""
        for lane in MAKING_ROOM:
            while (over := self._over_bytes()) > 0:
                streams = [info for info in self._store.streams() if info.lane == lane and info.bytes]
                if not streams:
                    break
                largest = max(streams, key=_size)
                self._limits.hit(STORE_BYTES)
                # Not all that is over from one: the next may then be the largest.
                if not await self._retain(largest, largest.bytes - min(over, max(1, largest.bytes // 4))):
                    return


def _size(info: StreamInfo) -> int:
    return info.bytes
