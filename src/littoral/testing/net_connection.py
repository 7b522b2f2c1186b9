"""One request on a simulated link, and its response on the way back."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from littoral.core.errors import PeerUnreachable
from littoral.core.http import Handler, Headers, Request, Response, StreamingResponse
from littoral.core.tasks import Tasks
from littoral.drivers.problem import answer
from littoral.testing.random import SeededRandom

STREAM_PIECES = 16
"""Pieces of a stream that may be on their way or unread: the buffers of the connection. Its sender then waits."""

Direction = Literal["requests", "responses", "both"]
Event = Literal[
    "requests",  # sent
    "requests_lost",
    "handled",  # reached a handler
    "answered",  # the whole response arrived, or the head of a stream
    "responses_lost",
    "refused",  # nobody listens there
    "resets",  # ended by the link or by the death of the peer
    "timeouts",
    "streams",  # requests whose response is read piece by piece
    "chunks",  # pieces of streams that arrived
    "chunks_lost",
]


class Head(msgspec.Struct, frozen=True):
    """The first piece of every response."""

    status: int
    headers: Headers


class End(msgspec.Struct, frozen=True):
    """The last piece of every complete response."""


Piece = Head | bytes | End | PeerUnreachable


@dataclass(slots=True)
class Link:
    """One node's way to one peer. The fields may be changed at any time."""

    delay_s: float = 0.0
    """One way."""
    jitter_s: float = 0.0
    """At most this much is added to the delay, drawn anew for each piece."""
    loss: float = 0.0
    """Probability that a request is lost, and the same for its response."""
    bytes_per_s: float = float("inf")
    requests_cut: bool = False
    responses_cut: bool = False
    connections: "set[Connection]" = field(default_factory=set)
    """Requests and streams in progress."""

    def cut(self, direction: Direction = "both", *, reset: bool = False) -> None:
        """Lose everything in that direction, in silence: connections are half open until a timeout notices.

        `reset` also ends what is in progress at once, as a router that sends RST does.
        """
        self.requests_cut |= direction != "responses"
        self.responses_cut |= direction != "requests"
        if reset:
            for connection in list(self.connections):
                connection.reset("connection reset")

    def restore(self) -> None:
        """Let everything through that is sent from now on."""
        self.requests_cut = self.responses_cut = False


@dataclass(slots=True)
class Peer:
    """A process that answers at a base URL."""

    handler: Handler
    up: bool = True
    connections: "set[Connection]" = field(default_factory=set)
    """What it is working on."""


class NetworkState(Protocol):
    """What a connection sees of its network."""

    random: SeededRandom
    counts: Counter[Event]
    tasks: Tasks
    peers: dict[str, Peer]


class Connection:
    """Carries one request there, and the pieces of its response back, in order."""

    def __init__(self, network: NetworkState, link: Link, base_url: str) -> None:
        self._network = network
        self._link = link
        self._base_url = base_url
        self._arrived: asyncio.Queue[Piece] = asyncio.Queue()
        self._room = asyncio.Semaphore(STREAM_PIECES)
        self._last_arrival_s = 0.0
        self._broken = False
        self._streaming = False
        self._peer: Peer | None = None
        self._serving: asyncio.Task[None] | None = None
        link.connections.add(self)

    # The caller's end.

    def start(self, request: Request, name: str) -> None:
        """Send the request."""
        self._serving = self._network.tasks.start(self._serve(request), name)

    async def receive_head(self) -> Head:
        """Wait for status and headers. Raises PeerUnreachable where the connection ended instead."""
        piece = await self._arrived.get()
        if isinstance(piece, PeerUnreachable):
            raise piece
        assert isinstance(piece, Head), piece
        self._network.counts["answered"] += 1
        return piece

    async def receive(self) -> bytes | None:
        """Wait for a piece of the body; None at its end. Raises PeerUnreachable where the connection ended instead."""
        piece = await self._arrived.get()
        if isinstance(piece, PeerUnreachable):
            raise piece
        if isinstance(piece, End):
            return None
        assert isinstance(piece, bytes), piece
        self._room.release()
        return piece

    def close(self) -> None:
        """The caller goes away. A stream is ended when the peer hears of it; a handler that runs is left to finish."""
        self._link.connections.discard(self)
        self._broken = True
        if self._streaming and not self._link.requests_cut:
            asyncio.get_running_loop().call_later(self._travel_s(0), self._stop_serving)

    # What happens to it.

    def reset(self, cause: str) -> None:
        """Both ends notice at once."""
        self._network.counts["resets"] += 1
        self._fail(cause)
        if self._streaming:
            self._stop_serving()

    def peer_died(self) -> None:
        """The peer's end vanishes; the caller hears of it if the link lets it through."""
        self._stop_serving()
        if not self._broken:
            self._network.counts["resets"] += 1
            self._send(PeerUnreachable("reach", self._base_url, "the connection was reset", ""), 0)

    # The peer's end.

    async def _serve(self, request: Request) -> None:
        network, link = self._network, self._link
        lost = network.random.chance(link.loss) or link.requests_cut
        await asyncio.sleep(self._travel_s(len(request.body)))
        if lost or link.requests_cut:
            network.counts["requests_lost"] += 1
            return
        peer = network.peers.get(self._base_url)
        if peer is None or not peer.up:
            network.counts["refused"] += 1
            self._send(PeerUnreachable("reach", self._base_url, "connection refused", ""), 0)
            return
        peer.connections.add(self)
        try:
            network.counts["handled"] += 1
            response = await answer(peer.handler, request)
            if network.random.chance(link.loss) and not self._broken:
                self._broken = True
                network.counts["responses_lost"] += 1
            await self._reply(response)
        finally:
            peer.connections.discard(self)

    async def _reply(self, response: Response | StreamingResponse) -> None:
        self._send(Head(response.status, response.headers), 0)
        if isinstance(response, Response):
            self._send(response.body, len(response.body))
        else:
            await self._reply_stream(response)
        self._send(End(), 0)

    async def _reply_stream(self, response: StreamingResponse) -> None:
        self._streaming = True
        try:
            async for chunk in response.chunks:
                await self._room.acquire()
                self._send(chunk, len(chunk))
        finally:
            if isinstance(response.chunks, AsyncGenerator):
                await response.chunks.aclose()

    def _send(self, piece: Piece, size_bytes: int) -> None:
        """Let a piece arrive after its time on the link, and not before those sent earlier."""
        loop = asyncio.get_running_loop()
        self._last_arrival_s = max(self._last_arrival_s, loop.time() + self._travel_s(size_bytes))
        loop.call_at(self._last_arrival_s, self._arrive, piece)

    def _arrive(self, piece: Piece) -> None:
        counts = self._network.counts
        if self._link.responses_cut and not self._broken:
            # What follows cannot be understood without this piece, and nobody sends it again.
            self._broken = True
            counts["responses_lost" if isinstance(piece, Head) else "chunks_lost"] += 1
        if self._broken:
            return
        if self._streaming and isinstance(piece, bytes):
            counts["chunks"] += 1
        if isinstance(piece, PeerUnreachable):
            self._broken = True
        self._arrived.put_nowait(piece)

    def _fail(self, cause: str) -> None:
        if not self._broken:
            self._broken = True
            self._arrived.put_nowait(PeerUnreachable("reach", self._base_url, cause, ""))

    def _travel_s(self, size_bytes: int) -> float:
        link = self._link
        return link.delay_s + self._network.random.uniform(0.0, link.jitter_s) + size_bytes / link.bytes_per_s

    def _stop_serving(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
