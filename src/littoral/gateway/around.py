"""An exchange around another one: what is not said otherwise passes through."""

from collections.abc import AsyncIterator, Callable

from littoral.gateway.exchange import Duplex, Exchange
from littoral.gateway.field_block import FieldBlock, Fields


class Around:
    """Implements `littoral.gateway.exchange.Exchange`."""

    go_on = None

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.method = exchange.method
        self.target = exchange.target
        self.host = exchange.host
        self.scheme = exchange.scheme
        self.version = exchange.version
        self.client = exchange.client
        self.tls = exchange.tls
        self.fields = exchange.fields
        self.has_body = exchange.has_body
        self.body_length = exchange.body_length
        self.notes = exchange.notes

    @property
    def sent_bytes(self) -> int:
        """See Exchange."""
        return self.exchange.sent_bytes

    @property
    def made_s(self) -> float:
        """See Exchange."""
        return self.exchange.made_s

    @made_s.setter
    def made_s(self, moment_s: float) -> None:
        self.exchange.made_s = moment_s

    def body(self) -> AsyncIterator[bytes]:
        """See Exchange."""
        return self.exchange.body()

    def inform(self, status: int, fields: Fields) -> None:
        """See Exchange."""
        self.exchange.inform(status, fields)

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """See Exchange."""
        self.exchange.respond(status, block, extra, body)

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """See Exchange."""
        await self.exchange.begin(status, block, extra)

    async def send(self, piece: bytes | memoryview) -> None:
        """See Exchange."""
        await self.exchange.send(piece)

    async def end(self, trailers: Fields = ()) -> None:
        """See Exchange."""
        await self.exchange.end(trailers)

    def switch(self, status: int, fields: Fields) -> Duplex:
        """See Exchange."""
        return self.exchange.switch(status, fields)

    def abort(self) -> None:
        """See Exchange."""
        self.exchange.abort()

    def when_gone(self, call: Callable[[], None]) -> None:
        """See Exchange."""
        self.exchange.when_gone(call)
