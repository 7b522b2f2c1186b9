"""An exchange of which notes are taken: what is answered passes through here on its way to the client."""

from littoral.gateway.around import Around
from littoral.gateway.exchange import Duplex, Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.notes import BODY, Notes, Step
from littoral.wire.caching.cache_status import decision
from littoral.wire.server_timing import NAME


class Noted(Around):
    """Implements `littoral.gateway.exchange.Exchange`."""

    def __init__(self, exchange: Exchange, notes: Notes) -> None:
        super().__init__(exchange)
        self.notes = self._notes = notes
        self._body: Step | None = None

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """See Exchange."""
        self.exchange.respond(status, block, self._answered(status, block.fields, extra), body)

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """See Exchange."""
        extra = self._answered(status, block.fields, extra)
        self._body = Step(self._notes, BODY, "")
        self._notes.began(self._body)
        await self.exchange.begin(status, block, extra)

    async def end(self, trailers: Fields = ()) -> None:
        """See Exchange."""
        await self.exchange.end(trailers)
        self._ended("")

    def switch(self, status: int, fields: Fields) -> Duplex:
        """See Exchange."""
        self._answered(status, fields, ())
        return self.exchange.switch(status, fields)

    def abort(self) -> None:
        """See Exchange."""
        self._notes.aborted = True
        self._ended("it broke off")
        self.exchange.abort()

    def _answered(self, status: int, fields: Fields, extra: Fields) -> Fields:
        """The head of the answer goes out. Returns its further fields."""
        notes = self._notes
        notes.first_ms = notes.elapsed_ms()
        notes.status, notes.fields, notes.extra = status, fields, extra
        if not notes.shows_timing:
            return extra
        return [*extra, (NAME, server_timing(notes))]

    def _ended(self, failure: str) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.failure = failure
            self._notes.ended(body)


def cache_decision(notes: Notes) -> str:
    """What the cache did, by what it tells the client; empty where none was asked."""
    for fields in (notes.extra, notes.fields):
        for name, value in reversed(fields):
            if name == "cache-status":
                return decision(value)
    return ""


def server_timing(notes: Notes) -> str:
    """What the client is told, up to the head of its answer."""
    decision = cache_decision(notes)
    cache = f"cache;desc={decision}, " if decision else ""
    asked = "".join([f"{name};dur={length_ms:.1f}, " for name, length_ms in notes.asked_ms().items()])
    return f"{cache}{asked}total;dur={notes.first_ms or 0.0:.1f}"
