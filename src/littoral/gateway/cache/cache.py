"""A route's cache: what becomes of one GET or HEAD (RFC 9111, sections 3 and 4).

    stored, and may be used     given at once, or once it was brought from the disk; what may be given stale while it is
                                validated, is, and then fetched again
    stored, and may not be      the origin is asked whether it still holds; where it fails, and that is allowed, it is given stale
    being fetched               waited for, and then as stored
    not stored                  fetched: what may be stored is given and stored at the same time, as it comes

All decisions are those of `littoral.wire.caching`; what is here carries them out.
"""

from collections.abc import Awaitable, Mapping

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, TimedOut
from littoral.core.tasks import Tasks
from littoral.gateway.cache.asked import Asked
from littoral.gateway.cache.changes import Changes
from littoral.gateway.cache.disk import DiskTier
from littoral.gateway.cache.disk_objects import Found
from littoral.gateway.cache.entry import Body, Entry
from littoral.gateway.cache.fetching import Fetching
from littoral.gateway.cache.flights import Arrived, Flight, Flights
from littoral.gateway.cache.giver import NOTHING, Given, Giver, settled
from littoral.gateway.cache.intake import Came, Intake
from littoral.gateway.cache.keeper import Keeper
from littoral.gateway.cache.key import MakeKey
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.cache.plain import Plain, PlainAnswers
from littoral.gateway.cache.sender import PromptSender, Sender, Sent
from littoral.gateway.exchange import Exchange, Later
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.forwarding import for_client
from littoral.gateway.nobody import Nobody
from littoral.gateway.notes import step
from littoral.gateway.origin_later import may_be_later
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest
from littoral.gateway.passing import pass_on, pass_whole
from littoral.gateway.target import RequestTarget
from littoral.wire.caching.cache_status import Forward, cache_status
from littoral.wire.caching.directives import RequestDirectives, request_directives
from littoral.wire.caching.fields import table as table_of
from littoral.wire.caching.freshness import made_s
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.ranges import completing_fields, missing_range
from littoral.wire.caching.selection import variant_key
from littoral.wire.caching.serving import ERRORS, Decision, age_s, decide, may_serve_on_error
from littoral.wire.caching.storing import NotStored, Stored, judge
from littoral.wire.caching.validation import (
    Freshened,
    freshen,
    freshen_by_head,
    not_modified,
    validating_fields,
)

_USABLE = frozenset({Decision.FRESH, Decision.STALE, Decision.STALE_WHILE_REVALIDATE})


class CacheSettings(msgspec.Struct, frozen=True):
    """What a route says of its cache."""

    policy: CachePolicy
    key: MakeKey
    body_bytes: int
    """Of one stored answer."""
    collapse: bool = True


class RouteCache:
    """Answers a route's GET and HEAD requests."""

    def __init__(
        self,
        settings: CacheSettings,
        tier: MemoryTier,
        sender: Sender,
        clock: Clock,
        tasks: Tasks,
        meter: CacheMeter,
        disk: DiskTier | None = None,
    ) -> None:
        self._settings = settings
        self._policy = settings.policy
        self._key = settings.key
        self._tier = tier
        self._purges = tier.purges
        self._sender = sender
        self._prompt = sender if isinstance(sender, PromptSender) else None
        self._plain = PlainAnswers(settings.policy)
        self._clock = clock
        self._tasks = tasks
        self._meter = meter
        self._giver = Giver(settings.policy.name, clock, meter)
        self._keeper = Keeper(tier, disk, clock, meter)
        self._changes = Changes(settings.policy, settings.key, self._keeper, sender, clock)
        self._flights = Flights()
        self._name = settings.policy.name
        self._disk = disk
        self._intake = Intake(
            self._name,
            settings.body_bytes,
            self._keeper,
            self._giver,
            self._flights,
            tier.purges,
            disk,
            clock,
            tasks,
        )

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Later | Awaitable[int]:
        """See `Handler.serve`; of GET and HEAD only."""
        now_s = self._clock.wall_ms() / 1000
        key = self._key(exchange, target)
        fields = table_of(exchange.fields)
        wish = fields.get("cache-control")
        directives = request_directives(wish, self._is_obeyed(exchange)) if wish is not None else None
        shelf = self._tier.get(key)
        entry = None if shelf is None else shelf.only or shelf.find(fields)
        decision = decide(entry.stored if entry is not None else None, directives, now_s)
        if entry is not None and decision is Decision.FRESH and "range" not in fields and entry.is_plain:
            return self._giver.hit(exchange, entry, fields, now_s)
        is_unshared = entry is None and self._flights.is_unshared(key, now_s)
        found = None
        if entry is None and self._disk is not None and not is_unshared:
            found = self._find(key, fields, directives, now_s)
        if found is None and decision is Decision.NOT_CACHED:
            raise _not_cached(exchange)
        request = self._sender.request(exchange, target, request_id)
        asked = Asked(exchange, key, fields, directives, request, now_s, self._purges.number)
        missing: Forward = "vary-miss" if shelf is not None else "uri-miss"
        if found is not None:
            return self._recall(asked, found, missing)
        is_alone = is_unshared or (entry is None and not self._may_wait(asked))
        if is_alone and self._prompt is not None and may_be_later(exchange):
            later = Fetching(self, asked, missing, request_id).ask(self._prompt, request, key)
            if later is not None:
                return later
        return self._answer(asked, entry, decision, missing)

    def _answer(self, asked: Asked, entry: Entry | None, decision: Decision, missing: Forward) -> Given:
        """By what is stored, in memory or where memory knows of it. missing: why there is nothing, if so."""
        if entry is None:
            return self._forward(asked, None, missing)
        if decision not in _USABLE:
            return self._forward(asked, entry, "stale" if asked.now_s >= entry.stored.fresh_until_s else "request")
        given = self._giver.give(asked, entry, is_stale=decision is not Decision.FRESH)
        if given is None and entry.body is not None:
            return self._look_again(asked, entry, entry.body)
        if given is None:
            return self._forward(asked, entry, "partial")
        if decision is Decision.STALE_WHILE_REVALIDATE and not entry.refreshing:
            entry.refreshing = True
            self._tasks.start(self._refresh(asked, entry), f"refresh {asked.key[:80]}")
        return given

    # What lies on the disk

    def _find(
        self, key: str, fields: Mapping[str, str], directives: RequestDirectives | None, now_s: float
    ) -> Found | None:
        """What is of use for a request. Nothing is looked for where answers could not be stored a moment ago."""
        assert self._disk is not None
        found = self._disk.find(key, fields)
        if found is None or directives is not None:
            return found
        stored = found.stored
        until_s = max(stored.fresh_until_s, stored.revalidate_until_s, stored.error_until_s)
        return found if now_s < until_s or stored.etag or stored.modified else None

    def _recall(self, asked: Asked, found: Found, missing: Forward) -> Given:
        """Go by it: by its file where it is large, and once it was brought into memory where it is small."""
        if found.body is not None and found.size > self._settings.body_bytes:
            return self._recalled(asked, found.entry(), missing)
        return self._load(asked, found, missing)

    async def _load(self, asked: Asked, found: Found, missing: Forward) -> int:
        assert self._disk is not None
        with step(asked.exchange.notes, "read from disk"):
            loaded = await self._disk.load(found)
        return await settled(self._recalled(asked, loaded, missing))

    def _recalled(self, asked: Asked, entry: Entry | None, missing: Forward) -> Given:
        decision = decide(entry.stored if entry is not None else None, asked.directives, self._now_s())
        if entry is not None:
            self._keeper.recall(entry, asked.since)
        elif decision is Decision.NOT_CACHED:
            raise _not_cached(asked.exchange)
        return self._answer(asked, entry, decision, missing)

    def _look_again(self, asked: Asked, entry: Entry, body: Body) -> Given:
        """Its file is gone. Another process may have put another one in its place."""
        self._tier.drop(entry)
        found = None
        if self._disk is not None and not self._flights.is_unshared(asked.key, asked.now_s):
            found = self._find(asked.key, asked.table, asked.directives, asked.now_s)
        if found is not None and found.body is not None and found.body.name != body.name:
            return self._recall(asked, found, "uri-miss")
        return self._forward(asked, None, "uri-miss")

    def _is_obeyed(self, exchange: Exchange) -> bool:
        """Whether who asks may demand that the origin is asked."""
        is_operators = exchange.notes is not None and exchange.notes.is_operators
        return is_operators or self._policy.honour_request_directives

    @property
    def since(self) -> int:
        """For `note`: before the origin is asked."""
        return self._purges.number

    def note(
        self, exchange: Exchange, target: RequestTarget, answer: OriginAnswer, fields: Fields, since: int
    ) -> Fields:
        """The origin has answered a request that was not for the cache: what it may have changed is forgotten (RFC 9111, section
        4.4). Returns the fields that the client is sent."""
        return self._changes.note(exchange, target, answer, fields, since)

    # The origin is asked

    def _forward(self, asked: Asked, entry: Entry | None, reason: Forward) -> Awaitable[int]:
        """Alone, where others cannot be given the same."""
        if self._may_wait(asked):
            return self._join(asked, entry, reason)
        return self._fetch(asked, entry, reason, None)

    async def _join(self, asked: Asked, entry: Entry | None, reason: Forward) -> int:
        """In place of others who want the same, or after them."""
        flight = self._under_way(asked.key)
        while flight is not None:
            with step(asked.exchange.notes, "wait for another request"):
                arrived = await flight.wait()
            if arrived is not None:
                status = await self._share(asked, arrived, reason)
                if status is not None:
                    return status
                break
            if self._flights.is_unshared(asked.key, self._now_s()):
                break
            flight = self._under_way(asked.key)
        if flight is not None:
            return await self._fetch(asked, entry, reason, None)
        given = self._stored_meanwhile(asked, entry)
        if given is not None:
            return await settled(given)
        flight = self._flights.begin(asked.key, self._purges.number)
        try:
            return await self._fetch(asked, entry, reason, flight)
        finally:
            if flight.fill is None:
                self._flights.end(asked.key, flight)

    def _stored_meanwhile(self, asked: Asked, entry: Entry | None) -> Given | None:
        """What has come since the request did, which had to wait for its turn. None where there is no such."""
        shelf = self._tier.get(asked.key)
        found = None if shelf is None else shelf.only or shelf.find(asked.table)
        if found is None or found is entry or decide(found.stored, None, self._now_s()) is not Decision.FRESH:
            return None
        return self._giver.give(asked, found, is_stale=False)

    def _under_way(self, key: str) -> Flight | None:
        """The fetch that brings what is wanted; not one that a purge may be meant for that came since it began."""
        flight = self._flights.get(key)
        return None if flight is None or self._purges.hits(flight.since, key) else flight

    def _may_wait(self, asked: Asked) -> bool:
        """Whether somebody else's answer may be this one's."""
        return (
            self._settings.collapse
            and asked.method == "GET"
            and "range" not in asked.table
            and asked.directives is None
            and not self._flights.is_unshared(asked.key, asked.now_s)
        )

    async def _share(self, asked: Asked, arrived: Arrived, reason: Forward) -> int | None:
        """Give what another request has fetched; None where it is not for this one."""
        stored, now_s = arrived.stored, self._now_s()
        if variant_key(stored.vary, asked.table) != arrived.variant:
            return None
        if decide(stored, None, now_s) is not Decision.FRESH:
            return None
        asked.exchange.made_s = stored.born_s
        said = cache_status(self._name, forward=reason, collapsed=True, ttl_s=stored.fresh_until_s - now_s)
        extra = [("age", str(age_s(stored, now_s))), ("cache-status", said)]
        body = arrived.body
        if isinstance(body, Entry):
            self._meter.collapsed += 1
            given = self._giver.respond(asked, body, body.block, extra)
            return None if given is None else await settled(given)
        if not body.is_open or not_modified(stored, asked.table, now_s):
            return None
        self._meter.collapsed += 1
        if body.length is not None:
            extra.append(("content-length", str(body.length)))
        return await self._intake.stream(asked, stored.status, FieldBlock(stored.fields), extra, body)

    async def _fetch(self, asked: Asked, entry: Entry | None, reason: Forward, flight: Flight | None) -> int:
        if entry is not None and self._purges.hits(asked.since, asked.key, entry.tags, hard=True):
            entry = None  # Forgotten while this request waited for another one.
        asked.since = self._purges.number
        request = self._conditional(asked, entry)
        request_s = self._now_s()
        try:
            answer = await self._sender.send(request, asked.key, asked.exchange.inform)
        except LittoralError as error:
            given = self._stand_in(asked, entry, str(error))
            if given is None:
                raise
            return await settled(given)
        if entry is not None and answer.status in ERRORS:
            given = self._stand_in(asked, entry, f"the origin answered {answer.status}")
            if given is not None:
                answer.close()
                return await settled(given)
        came = self._came(asked, answer, request_s)
        if entry is not None and answer.status == 304:
            answer.close()
            freshened = freshen(entry.stored, asked.table, came.fields, came.request_s, came.response_s, self._policy)
            if freshened is None:
                return await self._fetch(asked, None, reason, flight)
            given = self._confirmed(asked, entry, freshened, reason, flight, answer.personal)
            return await settled(given) if given is not None else await self._fetch(asked, None, reason, flight)
        if asked.method == "HEAD":
            return self._head(asked, entry, came, reason)
        return await self._take(asked, entry, came, reason, flight)

    async def fetch_rest(self, asked: Asked, sent: Sent, reason: Forward) -> int:
        """Of a request that was begun when it came, and for which nothing was stored."""
        came = self._came(asked, await sent.rest(), asked.now_s)
        if asked.method == "HEAD":
            return self._head(asked, None, came, reason)
        return await self._take(asked, None, came, reason, None)

    def take_whole(self, asked: Asked, answer: OriginAnswer, reason: Forward) -> Given:
        """The same, answered whole."""
        if asked.method == "GET" and not answer.personal and "cache-control" not in asked.table:
            plain = self._plain[tuple(answer.fields), answer.version, answer.status, reason]
            if plain is not None and answer.whole is not None:
                return self._pass_plain(asked, answer, answer.whole, plain)
        came = self._came(asked, answer, asked.now_s)
        if asked.method == "HEAD":
            return self._head(asked, None, came, reason)
        stored = judge("GET", asked.table, answer.status, came.fields, came.request_s, came.response_s, self._policy)
        if isinstance(stored, Stored) and self._intake.fits(stored, answer.length):
            return self._intake.keep_whole(asked, None, came, stored, reason, None)
        pass_whole(asked.exchange, answer, came.fields, self._said_not_stored(stored, reason))
        return answer.status

    def _pass_plain(self, asked: Asked, answer: OriginAnswer, body: bytes, plain: Plain) -> int:
        """Most answers that are not stored say so themselves."""
        exchange = asked.exchange
        answer.close()
        self._meter.misses += 1
        answered_s = asked.now_s - answer.older_s
        exchange.made_s = made_s(answer.fields, answered_s) if plain.has_age else answered_s
        exchange.respond(answer.status, plain.block, plain.said, body)
        return answer.status

    def _came(self, asked: Asked, answer: OriginAnswer, request_s: float) -> Came:
        """The origin has answered, and not with an error that something stale stands in for."""
        self._meter.misses += 1
        request_s -= answer.older_s
        asked.exchange.made_s = made_s(answer.fields, request_s)
        return Came(answer, for_client(answer.fields, answer.version), request_s, self._now_s())

    async def _take(self, asked: Asked, entry: Entry | None, came: Came, reason: Forward, flight: Flight | None) -> int:
        """Another answer than what is stored."""
        answer, fields = came.answer, came.fields
        completes = answer.status == 206 and entry is not None and "range" not in asked.table
        # Then it was this cache that asked for a part.
        table = {**asked.table, "range": ""} if completes else asked.table
        stored = judge("GET", table, answer.status, fields, came.request_s, came.response_s, self._policy)
        if completes and entry is not None:
            status = await self._intake.complete(asked, entry, answer, stored)
            return status if status is not None else await self._fetch(asked, None, reason, flight)
        if isinstance(stored, Stored) and self._intake.fits(stored, answer.length):
            return await self._intake.keep(asked, entry, came, stored, reason, flight)
        if flight is not None:
            self._flights.note_unshared(asked.key, came.response_s)
            self._flights.end(asked.key, flight)
        if entry is not None and answer.status < 500:
            # What is stored is no more what the origin gives.
            self._keeper.drop(entry)
        await pass_on(asked.exchange, answer, fields, self._said_not_stored(stored, reason))
        return answer.status

    def _said_not_stored(self, stored: Stored | NotStored, reason: Forward) -> Fields:
        detail = "too large" if isinstance(stored, Stored) else stored
        return (("cache-status", cache_status(self._name, forward=reason, detail=detail)),)

    def _conditional(self, asked: Asked, entry: Entry | None) -> OriginRequest:
        """The request, with the conditions that what is stored makes."""
        if entry is None:
            return asked.request
        if asked.method == "GET" and entry.stored.parts and missing_range(entry.stored) and "range" not in asked.table:
            fields = completing_fields(asked.request.fields, entry.stored)
        elif entry.stored.etag or entry.stored.modified:
            if entry.stored.parts and "range" in asked.table:
                return asked.request
            fields = validating_fields(asked.request.fields, entry.stored)
        else:
            return asked.request
        return msgspec.structs.replace(asked.request, fields=fields)

    def _stand_in(self, asked: Asked, entry: Entry | None, detail: str) -> Given | None:
        """Give what is stale in place of an error, if that is allowed."""
        if entry is None or not may_serve_on_error(entry.stored, self._now_s()):
            return None
        if self._purges.hits(asked.since, asked.key, entry.tags, hard=True):
            return None
        return self._giver.give(asked, entry, is_stale=True, detail=detail)

    def _confirmed(
        self, asked: Asked, entry: Entry, freshened: Freshened, reason: Forward, flight: Flight | None, personal: Fields
    ) -> Given | None:
        """The origin says that what is stored still holds. None where it is not there any more."""
        self._meter.validated += 1
        updated = self._keeper.update(asked.key, entry, freshened, asked.since)
        is_stored = updated is not None and updated.is_in
        if updated is not None and flight is not None:
            flight.settle(Arrived(updated.stored, updated.variant, updated))
        given = updated or entry
        now_s = self._now_s()
        ttl_s = given.stored.fresh_until_s - now_s if updated is not None and given.stored.fresh_until_s else None
        said = cache_status(self._name, forward=reason, forward_status=304, stored=is_stored, ttl_s=ttl_s)
        answered = self._giver.respond(asked, given, FieldBlock(freshened.fields), [("cache-status", said), *personal])
        if answered is None:
            self._tier.drop(given)
        return answered

    def _head(self, asked: Asked, entry: Entry | None, came: Came, reason: Forward) -> int:
        """An answer to HEAD is not stored; but it may say that what is stored still holds, or does not."""
        answer, fields = came.answer, came.fields
        if entry is not None and answer.status == 200:
            length = entry.length if entry.stored.whole else None
            freshened = freshen_by_head(
                entry.stored, length, asked.table, fields, came.request_s, came.response_s, self._policy
            )
            self._keeper.update(asked.key, entry, freshened, asked.since)
            fields = [*freshened.fields]
        answer.close()
        asked.exchange.respond(answer.status, NOTHING, [*fields, *answer.personal, self._said(reason)], b"")
        return answer.status

    async def _refresh(self, asked: Asked, entry: Entry) -> None:
        """Fetch again what was given stale. Nobody waits for it, and what fails is tried again by the next request."""
        if self._flights.get(asked.key) is not None:
            entry.refreshing = False
            return
        flight = self._flights.begin(asked.key, self._purges.number)
        asked.exchange = Nobody.instead_of(asked.exchange)
        try:
            await self._fetch(asked, entry, "stale", flight)
        except LittoralError:
            self._meter.misses += 1
        finally:
            entry.refreshing = False
            if flight.fill is None:
                self._flights.end(asked.key, flight)

    def _said(self, reason: Forward, *, stored: bool = False) -> tuple[str, str]:
        return ("cache-status", cache_status(self._name, forward=reason, stored=stored))

    def _now_s(self) -> float:
        return self._clock.wall_ms() / 1000


def _not_cached(exchange: Exchange) -> TimedOut:
    return TimedOut("answer", exchange.target[:120], "it is not cached, and the client wants nothing else")
