"""Answering from what is stored: all of it, a part, or that it has not changed."""

from collections.abc import Awaitable, Mapping

from littoral.core.clock import Clock
from littoral.core.errors import StorageError
from littoral.gateway.cache.asked import Asked
from littoral.gateway.cache.disk_objects import READ_BYTES
from littoral.gateway.cache.entry import Body, Entry, OpenBody
from littoral.gateway.cache.eviction import MOST_USES
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import FieldBlock
from littoral.wire.caching.cache_status import cache_status
from littoral.wire.caching.ranges import Selected, select
from littoral.wire.caching.serving import STALE_WARNING, age_s
from littoral.wire.caching.validation import not_modified, not_modified_fields

NOTHING = FieldBlock(())
RANGE_NOT_SATISFIABLE = 416
Given = int | Awaitable[int]
"""The status; of what is read from a disk, once it has been read."""


async def settled(given: Given) -> int:
    """The status, once it is answered."""
    return given if isinstance(given, int) else await given


class Giver:
    """Answers requests from entries."""

    def __init__(self, name: str, clock: Clock, meter: CacheMeter) -> None:
        """name: of this cache, in Cache-Status."""
        self._name = name
        self._clock = clock
        self._meter = meter

    def hit(self, exchange: Exchange, entry: Entry, fields: Mapping[str, str], now_s: float) -> int:
        """Fresh, and whole."""
        stored = entry.stored
        extra = [
            ("age", str(int(now_s - stored.born_s))),
            ("cache-status", f"{self._name}; hit; ttl={int(stored.fresh_until_s - now_s)}"),
        ]
        exchange.made_s = stored.born_s
        self._meter.hits += 1
        entry.hits += 1
        if entry.uses < MOST_USES:
            entry.uses += 1
        if ("if-none-match" in fields or "if-modified-since" in fields) and not_modified(stored, fields, now_s):
            exchange.respond(304, NOTHING, not_modified_fields(stored) + extra, b"")
            return 304
        body = entry.pieces[0]
        self._meter.hit_bytes += len(body)
        exchange.respond(stored.status, entry.block, extra, body)
        return stored.status

    def give(self, asked: Asked, entry: Entry, *, is_stale: bool, detail: str | None = None) -> Given | None:
        """Any stored answer, and any part of it; None where that is not there."""
        stored, now_s = entry.stored, self._clock.wall_ms() / 1000
        ttl_s = stored.fresh_until_s - now_s if stored.fresh_until_s else 0.0
        extra = [
            ("age", str(age_s(stored, now_s))),
            ("cache-status", cache_status(self._name, ttl_s=ttl_s, detail=detail)),
        ]
        if is_stale:
            extra.append(STALE_WARNING)
        asked.exchange.made_s = stored.born_s
        given = self.respond(asked, entry, entry.block, extra)
        if given is not None:
            self._meter.hits += 1
            self._meter.stale_hits += is_stale
            entry.hits += 1
            entry.uses = min(entry.uses + 1, MOST_USES)
        return given

    def respond(
        self, asked: Asked, entry: Entry, block: FieldBlock, extra: list[tuple[str, str]], *, is_saved: bool = True
    ) -> Given | None:
        """From what an entry holds, as the request's conditions and range want it; None where what is wanted is not
        there. is_saved: whether the origin did not have to send it."""
        exchange, stored = asked.exchange, entry.stored
        if not_modified(stored, asked.table, asked.now_s):
            exchange.respond(304, NOTHING, not_modified_fields(stored) + extra, b"")
            return 304
        selected = select(stored, entry.length, asked.method, asked.table, asked.now_s)
        if selected is None:
            return None
        if selected.content_range:
            extra.append(("content-range", selected.content_range))
        if entry.body is not None:
            given = _respond_from_disk(exchange, entry.body, selected, block, extra)
        else:
            given = _respond_from_memory(exchange, entry, selected, block, extra)
        if is_saved and given is not None:
            self._meter.hit_bytes += selected.end - selected.start
        return given


def _respond_from_memory(
    exchange: Exchange, entry: Entry, selected: Selected, block: FieldBlock, extra: list[tuple[str, str]]
) -> int:
    body = entry.bytes_of(selected.start, selected.end) if selected.status != RANGE_NOT_SATISFIABLE else b""
    exchange.respond(selected.status, block, extra, body)
    return selected.status


def _respond_from_disk(
    exchange: Exchange, body: Body, selected: Selected, block: FieldBlock, extra: list[tuple[str, str]]
) -> Given | None:
    """None where the body is not there any more."""
    length = selected.end - selected.start
    if exchange.method == "HEAD":
        exchange.respond(selected.status, block, [*extra, ("content-length", str(length))], b"")
        return selected.status
    if selected.status == RANGE_NOT_SATISFIABLE:
        exchange.respond(selected.status, block, extra, b"")
        return selected.status
    opened = body.open()
    if opened is None:
        return None
    return _send(exchange, opened, selected, block, [*extra, ("content-length", str(length))])


async def _send(
    exchange: Exchange, opened: OpenBody, selected: Selected, block: FieldBlock, extra: list[tuple[str, str]]
) -> int:
    """As fast as the client takes it; one piece is in memory at a time."""
    at, end = selected.start, selected.end
    try:
        await exchange.begin(selected.status, block, extra)
        while at < end and (piece := await opened.read(at, min(at + READ_BYTES, end))):
            await exchange.send(piece)
            at += len(piece)
        if at < end:
            exchange.abort()
        else:
            await exchange.end()
    except StorageError:
        exchange.abort()
    finally:
        opened.close()
    return selected.status
