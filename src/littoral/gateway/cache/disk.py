"""The cache's second tier: objects on a disk, which all gateway processes of a node share, and which outlive them.

    find, load       what memory has nothing of is looked for here; small objects are brought back into memory, large ones
                     are read from here whenever they are given
    keep, drop       what memory takes in or lets go of for good happens here too, soon afterwards
    spool            the body of a large object, while it comes

Nobody is given what was purged. A gateway reads and writes here only once it has been told which purges were missed here
(`is_open`); what is purged is given no more from the moment on that this gateway hears of it, whether it is done here
already (`_is_pending`) or not; and what is written here says up to where the purges were known then, so that it is refused
if there were others. Where the disk fails, the gateway goes on without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from littoral.core.errors import StorageError
from littoral.core.tasks import Tasks
from littoral.gateway.cache.disk_objects import DiskObjects, Found, Spool
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.meters import DiskMeter
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge
from littoral.gateway.cache.purge_log import PurgeLog
from littoral.wire.caching.selection import variant_key

WORTH_S = 10.0
"""What is fresh for less is not worth a disk's wear."""
RETRY_S = 60.0
"""So long after it failed the disk is tried again."""


class DiskTier:
    """What a gateway process does with the objects on the disk."""

    def __init__(
        self, objects: DiskObjects, purges: PurgeLog, tasks: Tasks, meter: DiskMeter, log: Callable[[str], None]
    ) -> None:
        """purges: those that this process has heard of. log: takes a line for the operator."""
        self.meter = meter
        self.is_open = False
        """Whether it may be read and written."""
        self.object_bytes = 0
        """Larger bodies are not kept."""
        self._objects = objects
        self._purges = purges
        self._tasks = tasks
        self._log = log
        self._is_wanted = True
        self._is_begun = False
        self._is_told = False
        """Whether nothing lies there any more that was purged."""
        self._beginning: asyncio.Task[None] | None = None
        """Opens it again."""
        self._known: Position | None = None
        """Up to where this process knows the node's purges."""
        self._done = 0
        """Up to this number of `purges` all are done on the disk, too."""
        self._drops = 0
        """How often something was dropped."""
        self._loading: dict[int, asyncio.Task[Entry | None]] = {}

    # Beginning and end

    async def open(self) -> Position | None:
        """Begin, if it is wanted. Returns up to where purges are done on the disk; it is read once the process was told what it
        misses."""
        if not self._is_wanted:
            return None
        self._is_begun = True
        try:
            return await self._objects.open()
        except StorageError as error:
            self._fail(error)
            return None

    async def close(self) -> None:
        """Write what is to be written, and end."""
        self._is_begun = self._is_told = self.is_open = False
        await self._objects.close()

    def resize(self, most_bytes: int, object_bytes: int) -> None:
        """Go by these bounds from now on. Of nothing: it is neither read nor written, and emptied."""
        self._is_wanted = most_bytes > 0
        self.object_bytes = min(most_bytes, object_bytes)
        self.is_open = self._is_wanted and self._is_told
        self._objects.resize(most_bytes)
        if self._is_wanted and not self._is_begun and self._known is not None:
            self._begin_again(0)

    def _fail(self, error: StorageError) -> None:
        """Go on without it, and try it again later."""
        self.meter.errors += 1
        if self._beginning is None:
            self._log(f"HTTP cache: goes on without what is on the disk: {error}")
        self._begin_again(RETRY_S)

    def _begin_again(self, delay_s: float) -> None:
        self._is_told = self.is_open = False
        if self._beginning is None:
            self._beginning = self._tasks.start(self._try_again(delay_s), "open the HTTP cache on disk")

    async def _try_again(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._beginning = None
        await self.open()
        if self._is_begun and self._known is not None:
            await self.purge([], self._known, self._known)

    # Objects

    def find(self, key: str, asked: Mapping[str, str]) -> Found | None:
        """What answers a request with these fields."""
        if not self.is_open:
            return None
        try:
            candidates = self._objects.find(key)
        except StorageError as error:
            self._fail(error)
            return None
        for found in candidates:
            if variant_key(found.stored.vary, asked) == found.variant:
                return None if self._is_pending(found) else found
        return None

    def of_url(self, url: str) -> Sequence[Found]:
        """All that is stored under the keys that begin with a URL."""
        try:
            return [each for each in self._objects.of_url(url) if not self._is_pending(each)] if self.is_open else ()
        except StorageError as error:
            self._fail(error)
            return ()

    def _is_pending(self, found: Found) -> bool:
        """Whether a purge was meant for it that is not done on the disk yet."""
        return self._purges.hits(self._done, found.key, found.tags)

    async def load(self, found: Found) -> Entry | None:
        """Bring one into memory; None where it is not there any more. Whoever wants the same waits for the same."""
        task = self._loading.get(found.number)
        if task is None:
            task = self._loading[found.number] = self._tasks.start(self._load(found), f"load {found.key[:80]}")
        return await asyncio.shield(task)

    async def _load(self, found: Found) -> Entry | None:
        drops = self._drops
        try:
            body = await self._objects.load(found)
        except StorageError:
            self.meter.errors += 1
            return None
        finally:
            del self._loading[found.number]
        if body is None or drops != self._drops:
            return None  # It may have been this one.
        self.meter.hits += 1
        return Entry(found.key, found.variant, found.stored, (body,))

    def keep(self, entry: Entry, before: Entry | None) -> None:
        """What memory has taken in, in place of `before`. Parts of a representation stay in memory only."""
        if not self.is_open or self._known is None or entry.stored.parts:
            return
        if _is_worth_it(entry, before):
            self._objects.put(entry, before, self._known)
        elif before is not None and not _has_body_of(entry, before):
            self._objects.drop(before)

    async def keep_spooled(self, entry: Entry, before: Entry | None) -> bool:
        """Make an object of what was spooled: the entry's body. Whether it has become one."""
        if not self.is_open or self._known is None:
            return False
        return await self._objects.put_spooled(entry, before, self._known)

    def drop(self, entry: Entry) -> None:
        """Forget one; also while nothing is read here."""
        self._drops += 1
        self._objects.drop(entry)

    def drop_url(self, url: str) -> None:
        """Forget all that is stored under the keys that begin with a URL; also while nothing is read here."""
        self._drops += 1
        self._objects.drop_url(url)

    def spool(self) -> Spool | None:
        """For a body that is too large for memory; None where that cannot be now."""
        return self._objects.spool() if self.is_open else None

    # Purges

    def use(self, rules: Iterable[bytes]) -> None:
        """The routes make keys by these rules, too."""
        self._objects.use(rules)

    def purge(self, purges: Sequence[Purge], until: Position, known: Position | None) -> Awaitable[list[int]]:
        """What memory has been purged of just now; up to `until` all is known then. How many objects on the disk each purge was meant for; once that is said, all
        is done, or nothing is read here any more. known: up to where this process knew the purges before."""
        self._known = until
        if not self._is_begun:
            return _nothing(len(purges))
        return self._note_done(self._objects.purge(purges, until, known), self._purges.number, len(purges))

    def clear(self) -> None:
        """Forget all; memory has forgotten all just now."""
        if self._is_begun:
            done = self._note_done(_cleared(self._objects.clear()), self._purges.number, 0)
            self._tasks.start(done, "clear the HTTP cache on disk")

    async def _note_done(self, done: Awaitable[list[int]], number: int, count: int) -> list[int]:
        try:
            counts = await done
        except StorageError as error:
            self._fail(error)
            return [0] * count
        self._done = max(self._done, number)
        self._is_told = self._known is not None
        self.is_open = self._is_wanted and self._is_told
        return counts


def _has_body_of(entry: Entry, before: Entry) -> bool:
    return entry.pieces is before.pieces and entry.body is before.body


def _is_worth_it(entry: Entry, before: Entry | None) -> bool:
    """Whether it is written: not if the origin is asked again in a moment, and has to send all of it then; and that it has
    confirmed what is there already, only if that lasts."""
    stored = entry.stored
    if before is not None and _has_body_of(entry, before):
        return not 0 <= stored.fresh_until_s - before.stored.fresh_until_s < WORTH_S
    return bool(stored.etag or stored.modified) or stored.fresh_until_s - stored.born_s >= WORTH_S


async def _nothing(count: int) -> list[int]:
    return [0] * count


async def _cleared(done: Awaitable[None]) -> list[int]:
    await done
    return []
