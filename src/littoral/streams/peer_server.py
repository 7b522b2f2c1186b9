"""The parent's side of the tree: taking over the children's records, and letting them follow ours."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from littoral.core.errors import Forbidden, Gone, InvalidInput, MethodNotAllowed, NotFound
from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.core.limits import READ_BYTES, Limits
from littoral.core.names import StreamName, parse_stream_name
from littoral.store.batch import StoredBatch
from littoral.store.replica import FORMER_STREAMS, Verdict
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.bootstrap import Snapshots, snapshot_page
from littoral.streams.take_over import take_over
from littoral.wire import peer

NUMBER_DIGITS_MOST = 18
"""An offset, and a number of bytes, is below 2^63."""
HEARTBEAT_S = 5.0
"""A notification channel is never silent for longer, so that a child can tell a quiet parent from a dead link."""


class Family(Protocol):
    """What the parent knows of its subtree; implemented by the registry."""

    def may_write(self, child: str, origin: str) -> bool:
        """Whether `origin` is `child` or lies below it."""
        ...

    def follows(self, child: str, info: StreamInfo) -> bool:
        """Whether `child` is to have this stream of ours."""
        ...

    async def greet(self, child: str, members: Sequence[peer.Member]) -> None:
        """Take note of what `child` says of itself and of those below it."""
        ...


class PeerServer:
    """Answers the peer protocol for authenticated children."""

    def __init__(self, store: Store, limits: Limits, family: Family, snapshots: Snapshots) -> None:
        self._store = store
        self._limits = limits
        self._family = family
        self._snapshots = snapshots
        self.received_records = 0
        self.lost_records = 0
        """Records that children no longer had when we asked: taken by their retention."""
        self.connected: dict[str, int] = {}
        """Open notification channels per child."""
        self._newest: dict[str, asyncio.Event] = {}
        """Of each child, what wakes its latest channel."""
        self._channels: list[Callable[[], None]] = []
        """What makes each open channel look at all streams again."""

    def review(self) -> None:
        """Who follows what may have changed, though no stream did: tell every child of all that it is to have."""
        for look_again in tuple(self._channels):
            look_again()

    async def handle(self, child: str, request: Request) -> AnyResponse:
        """Answer one request of an authenticated child. Raises LittoralError."""
        route = (request.method, request.path)
        if route == ("POST", peer.HELLO):
            return await self._hello(child, request)
        if route == ("POST", peer.BATCHES):
            return await self._batches(child, request)
        if route == ("GET", peer.NOTIFY):
            return self._notify(child)
        if route == ("GET", peer.READ):
            return self._read(child, request)
        if route == ("GET", peer.SNAPSHOT):
            return self._snapshot(child, request)
        if request.path in (peer.HELLO, peer.BATCHES, peer.NOTIFY, peer.READ, peer.SNAPSHOT):
            raise MethodNotAllowed("call", request.path, f"{request.method} is not what it takes")
        raise NotFound("find", request.path, "there is nothing here for neighbours")

    async def _hello(self, child: str, request: Request) -> Response:
        hello = peer.decode(request.body, peer.Hello, "hello")
        if hello.protocol != peer.PROTOCOL_VERSION:
            raise InvalidInput(
                "open session of",
                child,
                f"it speaks peer protocol {hello.protocol}, this node speaks {peer.PROTOCOL_VERSION}",
                "Run the same version of Littoral on both",
            )
        await self._family.greet(child, hello.members)
        marks = []
        for origin, path in hello.streams:
            if not self._family.may_write(child, origin):
                # No mark: the child keeps it and says so; and nobody learns of streams that are not its own.
                continue
            marks.append(self._mark(StreamName(origin, path)))
        marks += self._unnamed(child, hello)
        return _answer(peer.Welcome(peer.PROTOCOL_VERSION, self._store.node, marks))

    def _unnamed(self, child: str, hello: peer.Hello) -> list[peer.Mark]:
        """What is here of the child's own streams that it does not have: it deleted them, or was restored."""
        named = {StreamName(*each) for each in hello.streams}
        return [
            self._mark(info.name)
            for info in self._store.streams()
            if info.name.origin == child and info.name not in named and not info.name.path.startswith(FORMER_STREAMS)
        ]

    async def _batches(self, child: str, request: Request) -> Response:
        frame = peer.unpack(request.body, list[StoredBatch], "batches")
        for stored in frame:
            if not self._family.may_write(child, stored.batch.origin):
                raise Forbidden(
                    "take over records of",
                    str(stored.batch.name),
                    f"{stored.batch.origin} is not in the subtree of {child}",
                    f"Enrol {stored.batch.origin} under {child}",
                )

        had = {stored.batch.name: self._tail(stored.batch.name) for stored in frame}
        outcomes = await self._store.submit(partial(take_over, frame, child))
        self._store.counters.judged(outcomes)
        for stored, outcome in zip(frame, outcomes, strict=True):
            if outcome.verdict in (Verdict.APPEND, Verdict.TRIM, Verdict.SKIP):
                self.received_records += outcome.next - max(stored.batch.first, had[stored.batch.name])
            self.lost_records += outcome.lost
        return _answer(outcomes)

    def _tail(self, name: StreamName) -> int:
        info = self._store.stream(name)
        return info.next if info else 0

    def _mark(self, name: StreamName) -> peer.Mark:
        info = self._store.stream(name)
        return peer.Mark(name.origin, name.path, info.next, info.lineage) if info else peer.Mark(*name, 0)

    def _notify(self, child: str) -> StreamingResponse:
        headers = [("content-type", "text/event-stream"), ("cache-control", "no-store")]
        return StreamingResponse(200, headers, self._tails(child))

    async def _tails(self, child: str) -> AsyncIterator[bytes]:
        """The tails of what the child follows: all at first, then each as it moves.

        A child has one channel: a newer one ends the older, which the child may have lost without our knowing.
        """
        changed: dict[StreamName, None] = {}
        """In the order in which they did."""
        wake = asyncio.Event()
        if (older := self._newest.get(child)) is not None:
            older.set()
        self._newest[child] = wake

        def note(info: StreamInfo) -> None:
            if self._family.follows(child, info):
                changed[info.name] = None
                wake.set()

        def note_all() -> None:
            for info in self._store.streams():
                note(info)

        note_all()
        stop = self._store.watch(note, lambda name: changed.pop(name, None))
        self._channels.append(note_all)
        self.connected[child] = self.connected.get(child, 0) + 1
        try:
            while self._newest.get(child) is wake:
                wake.clear()
                tails = [self._mark(name) for name in changed]
                changed.clear()
                yield b"data: " + msgspec.json.encode(tails) + b"\n\n"
                await _until(wake, HEARTBEAT_S)
        finally:
            stop()
            self._channels.remove(note_all)
            self.connected[child] -= 1
            if self._newest.get(child) is wake:
                del self._newest[child]

    def _read(self, child: str, request: Request) -> Response:
        info = self._followed(child, request)
        offset = _number(request, "offset", info)
        most_bytes = self._most_bytes(request, info)
        if self._snapshots.covers(info.name) and info.name.origin != child:
            return _answer(self._store.read_stored(info.name, offset, most_bytes))
        try:
            # Nothing can bring back what retention took; the child goes on with what there is, and counts the loss.
            return _answer(self._store.read_stored(info.name, max(offset, info.first), most_bytes))
        except Gone:
            return _answer([])  # Retention is about to be published, and the child is told of the stream again.

    def _snapshot(self, child: str, request: Request) -> Response:
        info = self._followed(child, request)
        if not self._snapshots.covers(info.name):
            raise NotFound("snapshot stream", str(info.name), "nothing is folded from it that could be given away")
        most_bytes = self._most_bytes(request, info)
        return _answer(snapshot_page(self._store, self._snapshots, info, request.query.get("cursor"), most_bytes))

    def _most_bytes(self, request: Request, info: StreamInfo) -> int:
        """As much as the child asks for at once, and no more than we give."""
        most = self._limits[READ_BYTES]
        return min(most, _number(request, "most", info, str(most)))

    def _followed(self, child: str, request: Request) -> StreamInfo:
        name = parse_stream_name(request.query.get("stream", ""))
        info = self._store.stream(name)
        # Its own it may always have back.
        if info is None or not (name.origin == child or self._family.follows(child, info)):
            raise NotFound("read stream", str(name), f"{child} does not follow such a stream of {self._store.node}")
        return info


def _number(request: Request, key: str, info: StreamInfo, default: str = "") -> int:
    text = request.query.get(key, default)
    if not text.isdecimal() or len(text) > NUMBER_DIGITS_MOST:
        raise InvalidInput("read stream", str(info.name), f"{key} {text[:30]!r} is not a whole number")
    return int(text)


async def _until(event: asyncio.Event, timeout_s: float) -> None:
    """Return once it is set, which it is after `timeout_s` at the latest."""
    # A timer alone: every idle child costs one at each heartbeat, and a timeout would be twice as dear.
    timer = asyncio.get_running_loop().call_later(timeout_s, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


def _answer(body: object) -> Response:
    return Response(200, [("content-type", peer.MSGPACK)], peer.encode(body))
