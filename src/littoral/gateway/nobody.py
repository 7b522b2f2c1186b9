"""An exchange that was answered already: for what is fetched once more with nobody waiting for it."""

from collections.abc import AsyncIterator, Callable

from littoral.gateway.exchange import Duplex, Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.notes import Notes


class Nobody:
    """Implements `littoral.gateway.exchange.Exchange`: asks what another one asked, and hears nothing."""

    def __init__(self, asked: Exchange) -> None:
        """asked: a request without a body."""
        self.method = asked.method
        self.target = asked.target
        self.host = asked.host
        self.scheme = asked.scheme
        self.version = asked.version
        self.client = asked.client
        self.fields = asked.fields
        self.has_body = False
        self.body_length: int | None = None
        self.notes: Notes | None = None
        self.sent_bytes = 0
        self.made_s = 0.0

    async def body(self) -> AsyncIterator[bytes]:
        """There is none."""
        nothing: tuple[bytes, ...] = ()
        for piece in nothing:
            yield piece

    def inform(self, status: int, fields: Fields) -> None:
        """Nobody hears."""

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """Nobody hears."""

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """Nobody hears."""

    async def send(self, piece: bytes | memoryview) -> None:
        """Nobody hears."""

    async def end(self, trailers: Fields = ()) -> None:
        """Nobody hears."""

    def switch(self, status: int, fields: Fields) -> Duplex:
        """Nobody asks for another protocol so."""
        raise AssertionError(status)

    def abort(self) -> None:
        """Nobody hears."""

    def when_gone(self, call: Callable[[], None]) -> None:
        """They are gone, and are not missed."""
