"""Requests to a gateway, and origins' answers to it, in memory: what passes is written down as it passes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from littoral.gateway.cache.sender import Inform, Sent
from littoral.gateway.exchange import Answering, Duplex
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.notes import Notes
from littoral.gateway.origins.caller import Answered
from littoral.gateway.origins.transport import OriginFailed, OriginRequest


@dataclass
class MemoryExchange:
    """Implements `littoral.gateway.exchange.Exchange`."""

    method: str = "GET"
    target: str = "/"
    fields: Fields = ()
    host: str = "edge.test"
    scheme: str = "http"
    version: str = "1.1"
    client: str = "192.0.2.7"
    tls: str = ""
    pieces: Sequence[bytes] = ()
    body_length: int | None = None
    status: int = 0
    answered: list[tuple[str, str]] = field(default_factory=list)
    sent: bytes = b""
    informed: list[int] = field(default_factory=list)
    ended: bool = False
    aborted: bool = False
    read: int = 0
    """Pieces of the request's body."""
    notes: Notes | None = None
    made_s: float = 0.0
    go_on: Callable[[Answering], None] | None = None

    def __post_init__(self) -> None:
        self.has_body = bool(self.pieces) or bool(self.body_length)

    @property
    def sent_bytes(self) -> int:
        return len(self.sent)

    @property
    def said(self) -> dict[str, str]:
        return dict(self.answered)

    async def body(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece

    def inform(self, status: int, fields: Fields) -> None:
        self.informed.append(status)

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        assert not self.status, "it was answered"
        self.status, self.answered, self.ended = status, [*block.fields, *extra], True
        self.sent = b"" if self.method == "HEAD" or status in (204, 304) else body

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        assert not self.status, "it was answered"
        self.status, self.answered = status, [*block.fields, *extra]

    async def send(self, piece: bytes | memoryview) -> None:
        self.sent += piece
        await asyncio.sleep(0)

    async def end(self, trailers: Fields = ()) -> None:
        self.ended = True

    def switch(self, status: int, fields: Fields) -> Duplex:
        raise AssertionError(status)

    def abort(self) -> None:
        self.aborted = True

    def when_gone(self, call: Callable[[], None]) -> None:
        pass


@dataclass
class MemoryAnswer:
    """Implements `littoral.gateway.origins.transport.OriginAnswer`. Whole, or in pieces, of which the last may be a failure."""

    status: int = 200
    fields: Fields = ()
    whole: bytes | None = b""
    pieces: Sequence[bytes | OriginFailed] = ()
    version: str = "1.1"
    length: int | None = None
    trailers: Fields = ()
    personal: Fields = ()
    older_s: float = 0.0
    closed: bool = False
    read_pieces: int = 0

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self.read_pieces == len(self.pieces):
            return b""
        piece = self.pieces[self.read_pieces]
        self.read_pieces += 1
        if isinstance(piece, OriginFailed):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


class MemoryOrigin:
    """Implements `littoral.gateway.origin_calls.Caller`: answers with what it was given, one after the other."""

    def __init__(self, *answers: MemoryAnswer | OriginFailed) -> None:
        self.answers = list(answers)
        self.asked: list[OriginRequest] = []
        self.steered: list[tuple[str, str]] = []
        """What each was hashed by, and the mark it came with."""
        self.mark = ""
        """Of who answers."""
        self.way: Duplex | None = None
        """Where a switch leads."""
        self.held: asyncio.Event | None = None
        """If there is one: answers wait until it is set."""

    async def switch(
        self, request: OriginRequest, *, hash_key: str = "", affinity: str = ""
    ) -> tuple[Answered, Duplex | None]:
        return await self.call(request, hash_key=hash_key, affinity=affinity), self.way

    def begin(self, request: OriginRequest, told: Callable[[], None], *, hash_key: str, inform: Inform) -> Sent:
        raise AssertionError("its exchanges have no `go_on`")

    async def call(
        self,
        request: OriginRequest,
        *,
        hash_key: str = "",
        affinity: str = "",
        inform: Callable[[int, Fields], None] | None = None,
    ) -> Answered:
        self.asked.append(request)
        self.steered.append((hash_key, affinity))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.held is not None:
            await self.held.wait()
        if isinstance(answer, OriginFailed):
            raise answer
        return Answered(answer, "origin.test", self.mark, 1)


def failure(cause: str = "connection refused") -> OriginFailed:
    return OriginFailed("connect to", "http://origin.test:80", cause)
