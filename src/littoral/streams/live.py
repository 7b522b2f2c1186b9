"""Readers that wait: how many there are, what they read together, and what a server-sent event stream sends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cached_property

from littoral.core.clock import Clock
from littoral.core.errors import Gone, LimitReached, NotFound
from littoral.core.limits import LIVE_READERS, SSE_S, Limits
from littoral.core.random import Random
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.expiry import Expiry
from littoral.streams.slices import Slice, read_slice
from littoral.wire.durable_streams import CURSOR_JITTER_S, format_offset, is_text, next_cursor
from littoral.wire.server_events import Control, control_event, data_event


class _Reading:
    """A slice of a stream, as it was when it was read."""

    def __init__(self, info: StreamInfo, piece: Slice) -> None:
        self.info = info
        self.piece = piece

    @cached_property
    def event(self) -> bytes:
        """The records as an event."""
        if not self.piece.records:
            return b""
        content_type = self.info.content_type
        return data_event(self.piece.body(content_type), text=is_text(content_type))


class LiveReaders:
    """The readers that are waiting at this node, and what they share."""

    def __init__(self, store: Store, clock: Clock, random: Random, limits: Limits, expiry: Expiry) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._limits = limits
        self._expiry = expiry
        self._count = 0
        self._last: _Reading | None = None

    @property
    def count(self) -> int:
        """Long-polls and event streams open now."""
        return self._count

    @contextmanager
    def admitted(self, info: StreamInfo) -> Iterator[None]:
        """Count one reader. Raises LimitReached."""
        self.check_room(info)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._last = None

    def check_room(self, info: StreamInfo) -> None:
        """Raise LimitReached if one more reader would be too many."""
        if self._count >= self._limits[LIVE_READERS]:
            self._limits.hit(LIVE_READERS)
            raise LimitReached(
                "follow stream", str(info.name), f"{self._count} live readers are open, the limit", "Try again later"
            )

    def cursor(self, echoed: str | None) -> str:
        """The cursor of an answer to a client that sent `echoed`."""
        return next_cursor(self._clock.wall_ms(), echoed, self._random.uniform(*CURSOR_JITTER_S))

    async def events(self, info: StreamInfo, offset: int, echoed: str | None) -> AsyncIterator[bytes]:
        """The chunks of an event stream from `offset` on; ends after SSE_S, or where the stream does.

        Ends without a word when the stream is deleted, when retention took what comes next, or when so many readers
        began at once that this one does not fit any more: the client reconnects, and is told.
        """
        ends_at_s = asyncio.get_running_loop().time() + self._limits[SSE_S]
        try:
            with self.admitted(info):
                following: StreamInfo | None = info
                while following is not None:
                    reading = self._read(following, offset)
                    yield self._chunk(reading, echoed)
                    if reading.piece.at_end:
                        return
                    offset = reading.piece.next
                    following = await self._grown(following, offset, ends_at_s)
        except (Gone, NotFound, LimitReached):
            return

    async def _grown(self, info: StreamInfo, offset: int, ends_at_s: float) -> StreamInfo | None:
        """The stream once it has something to say beyond `offset`; None when it is gone or the time is over."""
        # The timeout spans nothing but the wait: around a `yield` it would cancel whoever reads the events.
        try:
            async with asyncio.timeout_at(ends_at_s):
                await self._store.wait(info.name, offset)
                await asyncio.sleep(0)  # A stream that grows all the time must not keep this reader from its end.
        except TimeoutError:
            return None
        latest = self._store.stream(info.name)
        if latest is None or latest.id != info.id:
            return None
        self._expiry.use(latest)
        return latest

    def _read(self, info: StreamInfo, offset: int) -> _Reading:
        """As `read_slice`. All who wait at a stream's end want the same next: it is read and encoded once."""
        last = self._last
        if last is None or last.info is not info or last.piece.first != offset:
            last = self._last = _Reading(info, read_slice(self._store, info, offset, self._limits))
        return last

    def _chunk(self, reading: _Reading, echoed: str | None) -> bytes:
        piece = reading.piece
        control = control_event(
            Control(
                stream_next_offset=format_offset(piece.next),
                stream_cursor=None if piece.at_end else self.cursor(echoed),
                up_to_date=piece.up_to_date,
                stream_closed=piece.at_end,
            )
        )
        return reading.event + control
