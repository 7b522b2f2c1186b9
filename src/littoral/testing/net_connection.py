"""One request on a simulated link, and its response on the way back."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

import msgspec

from littoral.core.errors import PeerUnreachable
from littoral.core.http import AnyResponse, Handler, Headers, Request, Response, StreamingResponse
from littoral.core.tasks import Tasks
from littoral.testing.link import Link
from littoral.testing.random import SeededRandom
from littoral.wire.problem import answer, fault_response

STREAM_PIECES = 16
"""Pieces of a stream that may be on their way or unread: the buffers of the connection. Its sender then waits."""

Event = Literal[
    "requests",  # sent
    "requests_lost",
    "held",  # requests that later ones may overtake
    "duplicated",  # requests that reached a handler once more
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


class Traffic(msgspec.Struct, frozen=True):
    """Something that happened to one request."""

    at_s: float
    number: int
    """Of the request, counted from 1 over the whole network."""
    source: str
    """The node that sent it."""
    target: str
    """The base URL it was sent to."""
    method: str
    path: str
    event: Event
    size_bytes: int
    """Of the body that this is about; 0 where it is about none."""


class Head(msgspec.Struct, frozen=True):
    """The first piece of a stream."""

    status: int
    headers: Headers


class End(msgspec.Struct, frozen=True):
    """The last piece of a complete stream."""


Piece = Response | Head | bytes | End | PeerUnreachable


@dataclass(slots=True)
class Peer:
    """A process that answers at a base URL."""

    handler: Handler
    context: Context
    """What it does belongs to its node."""
    up: bool = True
    connections: "dict[Connection, None]" = field(default_factory=dict)
    """What it is working on, in the order in which it arrived."""


class NetworkState(Protocol):
    """What a connection sees of its network."""

    random: SeededRandom
    counts: Counter[Event]
    failures: list[BaseException]
    tasks: Tasks
    peers: dict[str, Peer]
    context: Context
    observe: Callable[[Traffic], None] | None


class Connection:
    """Carries one request there, and the pieces of its response back, in order."""

    def __init__(
        self, network: NetworkState, link: Link, source: str, base_url: str, number: int, request: Request
    ) -> None:
        self._network = network
        self._link = link
        self._source = source
        self._base_url = base_url
        self._number = number
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[Piece] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Semaphore | None = None
        """Of a stream: how many more pieces may be sent."""
        self._request_left_s = 0.0
        """When the whole request is on its way."""
        self._response_left_s = 0.0
        self._response_duration_s = 0.0
        """How long the last piece of the response takes to leave."""
        self._last_arrival_s = 0.0
        self._broken = False
        self._arrival: asyncio.TimerHandle | None = None
        self._serving: asyncio.Task[None] | None = None

    # The caller's end.

    def start(self, *, stream: bool) -> None:
        """Send the request. stream: its response is read piece by piece."""
        network, link, size_bytes = self._network, self._link, len(self._request.body)
        link.connections[self] = None
        self._note("requests", size_bytes)
        lost = network.random.chance(link.loss) or link.requests_cut
        now_s = self._loop.time()
        self._request_left_s = link.requests.send(now_s, size_bytes / link.bytes_per_s)
        arrival_s = self._request_left_s + self._delay_s()
        if not stream and network.random.chance(link.reordering):
            self._note("held")
            arrival_s += network.random.uniform(0.0, link.held_s)
        self._arrival = self._loop.call_at(arrival_s, self._reach, lost, stream, context=network.context)

    async def receive_head(self, most_s: float | None = None) -> Response | Head:
        """Wait for a response, or for status and headers of a stream. Raises PeerUnreachable where the connection ended
        instead, or nothing came for so long."""
        piece = await self._next(most_s)
        if isinstance(piece, Response):
            self._arrived += (piece.body, End())
            return piece
        assert isinstance(piece, Head), piece
        return piece

    async def receive(self, most_s: float | None = None) -> bytes | None:
        """Wait for a piece of the body; None at its end. Raises PeerUnreachable where the connection ended instead, or
        nothing came for so long."""
        piece = await self._next(most_s)
        if isinstance(piece, End):
            return None
        assert isinstance(piece, bytes), piece
        if self._room is not None:
            self._room.release()
        return piece

    def timed_out(self, timeout_s: float) -> PeerUnreachable:
        """The caller has waited for too long."""
        self._note("timeouts")
        return PeerUnreachable("reach", self._base_url, f"timed out (no answer within {timeout_s:g} s)")

    def _give_up(self, waited_s: float) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self.timed_out(waited_s))

    def close(self) -> None:
        """The caller goes away. What it has not sent by then never arrives; a stream is ended when the peer hears of it;
        a handler that runs is left to finish."""
        link, now_s = self._link, self._loop.time()
        link.connections.pop(self, None)
        self._broken = True
        if now_s < self._request_left_s and self._arrival is not None:
            self._arrival.cancel()
            link.requests.give_up(now_s, self._request_left_s, len(self._request.body) / link.bytes_per_s)
            self._note("requests_lost", len(self._request.body))
        if now_s < self._response_left_s:
            link.responses.give_up(now_s, self._response_left_s, self._response_duration_s)
        if self._room is not None and not link.requests_cut:
            self._loop.call_later(self._delay_s(), self._stop_serving, context=self._network.context)

    async def _next(self, most_s: float | None) -> Piece:
        if not self._arrived:
            self._waiter = self._loop.create_future()
            # A timer alone: nearly all that is awaited here are heartbeats, and a timeout would be twice as dear.
            timer = self._loop.call_later(most_s, self._give_up, most_s) if most_s is not None else None
            try:
                await self._waiter
            finally:
                if timer is not None:
                    timer.cancel()
        piece = self._arrived.popleft()
        if isinstance(piece, PeerUnreachable):
            raise piece
        return piece

    # What happens to it.

    def reset(self, cause: str) -> None:
        """Both ends notice at once."""
        self._note("resets")
        if not self._broken:
            self._broken = True
            self._put(PeerUnreachable("reach", self._base_url, cause, ""))
        if self._room is not None:
            self._stop_serving()

    def peer_died(self) -> None:
        """The peer's end vanishes; the caller hears of it if the link lets it through."""
        self._stop_serving()
        if not self._broken:
            self._note("resets")
            self._send(PeerUnreachable("reach", self._base_url, "the connection was reset", ""), 0)

    # The peer's end.

    def _reach(self, lost: bool, stream: bool) -> None:
        """The request arrives at the peer's machine."""
        network, link = self._network, self._link
        if lost or link.requests_cut:
            self._note("requests_lost", len(self._request.body))
            return
        peer = network.peers.get(self._base_url)
        if peer is None or not peer.up:
            self._note("refused")
            self._send(PeerUnreachable("reach", self._base_url, "connection refused", ""), 0)
            return
        if not stream and network.random.chance(link.duplication):
            copy = Connection(network, link, self._source, self._base_url, self._number, self._request)
            copy._broken = True  # nobody waits for its answer
            delay_s = network.random.uniform(0.0, link.held_s)
            self._loop.call_later(delay_s, copy._reach_again, context=network.context)
        self._accept(peer, "handled")

    def _reach_again(self) -> None:
        peer = self._network.peers.get(self._base_url)
        if peer is not None and peer.up:
            self._accept(peer, "duplicated")

    def _accept(self, peer: Peer, event: Event) -> None:
        """The peer's system takes the request; the peer itself does when it gets to it."""
        peer.connections[self] = None
        name = f"{self._source} -> {self._base_url}"
        self._serving = peer.context.run(self._network.tasks.start, self._serve(peer, event), name)

    async def _serve(self, peer: Peer, event: Event) -> None:
        network = self._network
        try:
            self._note(event, len(self._request.body))
            response = await answer(peer.handler, self._request, partial(self._fault, peer))
            if network.random.chance(self._link.loss) and not self._broken:
                self._broken = True
                self._note("responses_lost")
            await self._reply(response, copy=event == "duplicated")
        finally:
            peer.connections.pop(self, None)

    def _fault(self, peer: Peer, method: str, path: str, error: Exception) -> Response:
        """A fault of ours ended the request. What a process meets while it dies is none."""
        if peer.up:
            self._network.failures.append(error)
        return fault_response(method, path, "")

    async def _reply(self, response: AnyResponse, *, copy: bool) -> None:
        if isinstance(response, Response):
            self._send(response, len(response.body))
        elif copy:
            await _close(response)
        else:
            self._send(Head(response.status, response.headers), 0)
            await self._reply_stream(response)
            self._send(End(), 0)

    async def _reply_stream(self, response: StreamingResponse) -> None:
        self._room = asyncio.Semaphore(STREAM_PIECES)
        try:
            async for chunk in response.chunks:
                await self._room.acquire()
                self._send(chunk, len(chunk))
        finally:
            await _close(response)

    def _send(self, piece: Piece, size_bytes: int) -> None:
        """Let a piece arrive after its time on the link, and not before those sent earlier."""
        if self._broken:
            return
        self._response_duration_s = size_bytes / self._link.bytes_per_s
        self._response_left_s = self._link.responses.send(self._loop.time(), self._response_duration_s)
        self._last_arrival_s = max(self._last_arrival_s, self._response_left_s + self._delay_s())
        self._loop.call_at(self._last_arrival_s, self._arrive, piece, context=self._network.context)

    def _arrive(self, piece: Piece) -> None:
        if self._broken:
            return
        first = isinstance(piece, (Response, Head))
        if self._link.responses_cut:
            # What follows cannot be understood without this piece, and nobody sends it again.
            self._broken = True
            self._note("responses_lost" if first else "chunks_lost")
            return
        if first:
            self._note("answered", len(piece.body) if isinstance(piece, Response) else 0)
        elif isinstance(piece, bytes):
            self._network.counts["chunks"] += 1
        else:
            self._broken = isinstance(piece, PeerUnreachable)
        self._put(piece)

    def _put(self, piece: Piece) -> None:
        self._arrived.append(piece)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _delay_s(self) -> float:
        return self._link.delay_s + self._network.random.uniform(0.0, self._link.jitter_s)

    def _stop_serving(self) -> None:
        if self._serving is not None:
            self._serving.cancel()

    def _note(self, event: Event, size_bytes: int = 0) -> None:
        network = self._network
        network.counts[event] += 1
        if network.observe is not None:
            request, now_s = self._request, self._loop.time()
            network.observe(
                Traffic(
                    now_s, self._number, self._source, self._base_url, request.method, request.path, event, size_bytes
                )
            )


async def _close(response: StreamingResponse) -> None:
    if isinstance(response.chunks, AsyncGenerator):
        await response.chunks.aclose()
