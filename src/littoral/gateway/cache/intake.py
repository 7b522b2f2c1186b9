"""Answers of the origin's that are to be stored: given to whoever asked, and stored at the same time, as they come."""

from typing import NamedTuple

from littoral.core.clock import Clock
from littoral.core.errors import StorageError
from littoral.core.tasks import Tasks
from littoral.gateway.cache.asked import Asked
from littoral.gateway.cache.disk import DiskTier
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.fill import Fill, Reader
from littoral.gateway.cache.flights import Arrived, Flight, Flights
from littoral.gateway.cache.giver import NOTHING, Given, Giver, settled
from littoral.gateway.cache.keeper import Keeper
from littoral.gateway.cache.purge import tags_of
from littoral.gateway.cache.purge_log import PurgeLog
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.origins.transport import OriginAnswer, OriginFailed
from littoral.gateway.passing import LENGTH, read_whole
from littoral.wire.caching.cache_status import Forward, cache_status
from littoral.wire.caching.fields import without
from littoral.wire.caching.selection import variant_key
from littoral.wire.caching.storing import NotStored, Stored

PURGED = "purged"
"""Why an answer is not stored: the origin was asked before the purge."""
_COOKIE = frozenset({"set-cookie"})


class Came(NamedTuple):
    """An answer of the origin's."""

    answer: OriginAnswer
    fields: Fields
    """As clients are sent them."""
    request_s: float
    response_s: float


class Intake:
    """Takes in what a route's cache stores."""

    def __init__(
        self,
        name: str,
        body_bytes: int,
        keeper: Keeper,
        giver: Giver,
        flights: Flights,
        purges: PurgeLog,
        disk: DiskTier | None,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        """name: of the cache, in Cache-Status. body_bytes: of one stored answer in memory."""
        self._name = name
        self._body_bytes = body_bytes
        self._keeper = keeper
        self._giver = giver
        self._flights = flights
        self._purges = purges
        self._disk = disk
        self._clock = clock
        self._tasks = tasks

    def fits(self, stored: Stored, length: int | None) -> bool:
        """Whether an answer whose body is announced to be as long may be stored. Parts are only in memory."""
        if length is None or length <= self._body_bytes:
            return True
        disk = self._disk
        return disk is not None and disk.is_open and not stored.parts and length <= disk.object_bytes

    async def keep(
        self, asked: Asked, entry: Entry | None, came: Came, stored: Stored, reason: Forward, flight: Flight | None
    ) -> int:
        """Give it, and store it in place of `entry`."""
        answer, fields = came.answer, came.fields
        if answer.whole is not None:
            return await settled(self.keep_whole(asked, entry, came, stored, reason, flight))
        variant = variant_key(stored.vary, asked.table)
        extra = self._said(asked, answer, stored, reason)
        fill = Fill(answer, self._body_bytes, None if stored.parts else self._disk)
        if flight is not None and not stored.parts:
            flight.fill = fill
            flight.settle(Arrived(stored, variant, fill))
        elif flight is not None:
            self._flights.end(asked.key, flight)
        reader = fill.reader()
        self._tasks.start(self._fill(asked, entry, stored, variant, fill, flight), f"store {asked.key[:80]}")
        try:
            return await self.stream(asked, answer.status, FieldBlock(fields), extra, fill, reader)
        finally:
            reader.close()

    def _said(self, asked: Asked, answer: OriginAnswer, stored: Stored, reason: Forward) -> list[tuple[str, str]]:
        now_s = self._clock.wall_ms() / 1000
        ttl_s = stored.fresh_until_s - now_s if stored.fresh_until_s else 0.0
        is_purged = self._purges.hits(asked.since, asked.key, tags_of(stored.fields))
        detail = PURGED if is_purged else None
        said = cache_status(self._name, forward=reason, stored=not is_purged, ttl_s=ttl_s, detail=detail)
        # What is stored here others may store, too: a cookie of one client's does not go with it.
        return [("cache-status", said), *without(answer.personal, _COOKIE)]

    def keep_whole(
        self, asked: Asked, entry: Entry | None, came: Came, stored: Stored, reason: Forward, flight: Flight | None
    ) -> Given:
        """The same, of an answer that came whole."""
        body, status = came.answer.whole, came.answer.status
        assert body is not None, asked.key
        extra = self._said(asked, came.answer, stored, reason)
        came.answer.close()
        variant = variant_key(stored.vary, asked.table)
        kept = self._keeper.store(asked.key, entry, stored, variant, body, asked.since)
        # What is not to be kept of it, whoever asked for it is told all the same.
        fields = without(came.fields, LENGTH)
        if kept is None or kept.stored.parts:
            asked.exchange.respond(status, NOTHING, [*fields, *extra], body)
            return status
        if flight is not None:
            flight.settle(Arrived(kept.stored, variant, kept))
        given = self._giver.respond(asked, kept, FieldBlock(fields), extra, is_saved=False)
        assert given is not None, asked.key
        return given

    async def _fill(
        self, asked: Asked, before: Entry | None, stored: Stored, variant: str, fill: Fill, flight: Flight | None
    ) -> None:
        """Read a body to its end, whoever still wants it, and store it."""
        key, since = asked.key, asked.since
        try:
            await fill.pump()
            if fill.is_whole and fill.spool is not None:
                await self._keeper.store_spooled(key, before, stored, variant, fill.spool, since)
            elif fill.is_whole:
                self._keeper.store(key, before, stored, variant, b"".join(fill.pieces), since)
        finally:
            fill.settle()
            if flight is not None:
                self._flights.end(key, flight)

    async def complete(
        self, asked: Asked, entry: Entry, answer: OriginAnswer, stored: Stored | NotStored
    ) -> int | None:
        """The rest of what is stored in part has come: give all. None where the two do not belong together."""
        if not isinstance(stored, Stored):
            answer.close()
            return None
        body = await read_whole(answer)
        kept = self._keeper.store(asked.key, entry, stored, entry.variant, body, asked.since)
        if kept is None or not kept.stored.whole:
            return None
        said = cache_status(self._name, forward="partial", stored=kept.is_in)
        given = self._giver.respond(
            asked, kept, kept.block, [("cache-status", said), *without(answer.personal, _COOKIE)]
        )
        return None if given is None else await settled(given)

    async def stream(
        self,
        asked: Asked,
        status: int,
        block: FieldBlock,
        extra: list[tuple[str, str]],
        fill: Fill,
        reader: Reader | None = None,
    ) -> int:
        """Give a body as it comes."""
        exchange, reader = asked.exchange, reader or fill.reader()
        try:
            await exchange.begin(status, block, extra)
            while piece := await reader.read():
                await exchange.send(piece)
            await exchange.end(fill.trailers)
        except (OriginFailed, StorageError):
            exchange.abort()
        finally:
            reader.close()
        return status
