"""An exchange with nobody at its other end: for what is fetched once more after it was answered, and for what only looks how it
is answered."""

from collections.abc import AsyncIterator, Callable
from typing import Self

from littoral.gateway.exchange import Duplex, Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.notes import Notes


class Nobody:
    """Implements `littoral.gateway.exchange.Exchange`: asks without a body, and hears nothing."""

    go_on = None

    def __init__(
        self, *, method: str, target: str, host: str, scheme: str, version: str, client: str, fields: Fields
    ) -> None:
        self.method = method
        self.target = target
        self.host = host
        self.scheme = scheme
        self.version = version
        self.client = client
        self.tls = ""
        self.fields = fields
        self.has_body = False
        self.body_length: int | None = None
        self.notes: Notes | None = None
        self.sent_bytes = 0
        self.made_s = 0.0

    @classmethod
    def instead_of(cls, asked: Exchange) -> Self:
        """Asks what another one asked."""
        return cls(
            method=asked.method,
            target=asked.target,
            host=asked.host,
            scheme=asked.scheme,
            version=asked.version,
            client=asked.client,
            fields=asked.fields,
        )

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
