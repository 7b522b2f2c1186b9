"""The parent's side of the tree: taking over the children's records, and letting them follow ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Protocol

import msgspec

from littoral.core.errors import Forbidden, Gone, InvalidInput, NotFound
from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.core.limits import READ_BYTES, Limits
from littoral.core.names import StreamName, parse_stream_name
from littoral.store.batch import StoredBatch
from littoral.store.replica import FORMER_STREAMS, Verdict
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.bootstrap import Snapshots, check_held, snapshot_page
from littoral.streams.channels import Channels, Followers
from littoral.streams.hello_queue import HelloQueue
from littoral.streams.origins import Origins
from littoral.streams.take_over import take_over
from littoral.wire import peer
from littoral.wire.answers import NO_STORE, method_not_allowed
from littoral.wire.query import required_number, whole_number

IN_ORDER_S = 2.0
"""How long a frame that overtook another waits for it: about as long as that one may take where several are sent at once."""
HEARTBEAT_S = 5.0
"""A notification channel is never silent for longer, so that a child can tell a quiet parent from a dead link."""


NOTHING_NEW = b"data: []\n\n"


class Family(Followers, Protocol):
    """What the parent knows of its subtree; implemented by the registry."""

    @property
    def child_count(self) -> int:
        """How many direct children there are."""
        ...

    def may_write(self, child: str, origin: str) -> bool:
        """Whether `origin` is `child` or lies below it."""
        ...

    async def greet(self, child: str, members: Sequence[peer.Member]) -> None:
        """Take note of what `child` says of itself and of those below it."""
        ...

    def is_elsewhere(self, child: str, node: str) -> bool:
        """Whether `node`, which `child` says is below it, is known to be in another part of the tree."""
        ...

    def is_unproved(self, child: str, node: str) -> bool:
        """Whether `node`, which `child` says is below it, has to show its key first: here, or to those above."""
        ...


class PeerServer:
    """Answers the peer protocol for authenticated children."""

    def __init__(self, store: Store, limits: Limits, family: Family, snapshots: Snapshots) -> None:
        self._store = store
        self._limits = limits
        self._family = family
        self._snapshots = snapshots
        self.relay_port = 0
        """Of this node's gateways, for children's; 0 for none."""
        self.received_records = 0
        self.lost_records = 0
        """Records that children no longer had when we asked: taken by their retention."""
        self._channels = Channels(store, family)
        self._untold: set[str] = set()
        """Children whose sessions were ended, and that have not said hello since."""
        self._origins = Origins(store)
        self._hellos = HelloQueue(store.node, limits)

    @property
    def connected(self) -> list[str]:
        """The children that hold a notification channel, by name."""
        return self._channels.children()

    def review(self, child: str | None = None) -> None:
        """Who follows what may have changed, though no stream did: tell the child, or all, of what they are to have."""
        self._channels.review(child)

    def end_session(self, child: str) -> None:
        """Let the child begin anew, if it may: there is something that it is told at its hello. Also one that has said hello
        and has not opened its channel yet."""
        self._untold.add(child)
        self._channels.end(child)

    async def admit(self, request: Request) -> None:
        """Return when the turn of a request has come. Raises Unavailable for one that is to come later.

        To be asked before a request is looked at: those that come all at once are refused for little."""
        if request.path == peer.HELLO:
            await self._hellos.turn(request.remote)

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
            raise method_not_allowed(request)
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
        self._untold.discard(child)
        marks = []
        for origin, path in hello.streams:
            if not self._family.may_write(child, origin):
                # No mark: the child keeps it and says so; and nobody learns of streams that are not its own.
                continue
            marks.append(self._mark(StreamName(origin, path)))
        marks += self._unnamed(child, hello)
        spread_s = self._hellos.spread_s(self._family.child_count)
        elsewhere = [each.node for each in hello.members if self._family.is_elsewhere(child, each.node)]
        unproved = [each.node for each in hello.members if self._family.is_unproved(child, each.node)]
        return peer.answer(
            peer.Welcome(
                peer.PROTOCOL_VERSION,
                self._store.node,
                marks,
                spread_s,
                elsewhere,
                unproved,
                self._store.lineage,
                self.relay_port,
            )
        )

    def _unnamed(self, child: str, hello: peer.Hello) -> list[peer.Mark]:
        """What is here of the child's own streams that it does not have: it deleted them, or was restored."""
        named = {StreamName(*each) for each in hello.streams}
        return [
            self._mark(name)
            for name in self._origins.streams_of(child)
            if name not in named and not name.path.startswith(FORMER_STREAMS)
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

        if "ahead" in request.query:
            await self._in_order(frame)
        had = {stored.batch.name: self._tail(stored.batch.name) for stored in frame}
        outcomes = await self._store.submit(partial(take_over, frame, child))
        self._store.counters.judged(outcomes)
        for stored, outcome in zip(frame, outcomes, strict=True):
            if outcome.verdict in (Verdict.APPEND, Verdict.TRIM, Verdict.SKIP):
                self.received_records += outcome.next - max(stored.batch.first, had[stored.batch.name])
            self.lost_records += outcome.lost
        return peer.answer(outcomes)

    async def _in_order(self, frame: Sequence[StoredBatch]) -> None:
        """Return when what comes before a frame is here: the child has sent it while another was on its way, which it may
        have overtaken, also one that would have made a stream. One that does not come is a gap, and answered as that."""
        first = {stored.batch.name: stored for stored in reversed(frame)}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IN_ORDER_S):
                for name, stored in first.items():
                    if stored.batch.first > stored.earliest:
                        await self._store.wait(name, stored.batch.first - 1, expected=True)

    def _tail(self, name: StreamName) -> int:
        info = self._store.stream(name)
        return info.next if info else 0

    def _mark(self, name: StreamName) -> peer.Mark:
        info = self._store.stream(name)
        if info is None:
            return peer.Mark(*name, 0)
        chain = info.chain if self._snapshots.covers(name) else b""
        return peer.Mark(*name, info.next, info.lineage, chain)

    def _notify(self, child: str) -> StreamingResponse:
        headers = [("content-type", "text/event-stream"), NO_STORE]
        return StreamingResponse(200, headers, self._tails(child))

    async def _tails(self, child: str) -> AsyncIterator[bytes]:
        """The tails of what the child follows: all at first, then each as it moves.

        A child has one channel: a newer one ends the older, which the child may have lost without our knowing.
        """
        if child in self._untold:
            return
        channel = self._channels.open(child)
        try:
            while not channel.ended:
                tails = [self._mark(name) for name in channel.take()]
                yield b"data: " + msgspec.json.encode(tails) + b"\n\n" if tails else NOTHING_NEW
                await channel.wait(HEARTBEAT_S)
        finally:
            self._channels.close(channel)

    def _read(self, child: str, request: Request) -> Response:
        info = self._followed(child, request)
        offset = required_number(request.query, "offset", "read stream", str(info.name))
        most_bytes = self._most_bytes(request, info)
        if self._snapshots.covers(info.name) and info.name.origin != child:
            return peer.answer(self._store.read_stored(info.name, offset, most_bytes))
        try:
            # Nothing can bring back what retention took; the child goes on with what there is, and counts the loss.
            return peer.answer(self._store.read_stored(info.name, max(offset, info.first), most_bytes))
        except Gone:
            return peer.answer([])  # Retention is about to be published, and the child is told of the stream again.

    def _snapshot(self, child: str, request: Request) -> Response:
        info = self._followed(child, request)
        if not self._snapshots.covers(info.name):
            raise NotFound("snapshot stream", str(info.name), "nothing is folded from it that could be given away")
        if (lineage := request.query.get("lineage")) is not None:
            check_held(info, lineage, required_number(request.query, "offset", "read stream", str(info.name)))
        cursor, chunked = request.query.get("cursor"), "chunked" in request.query
        most_bytes = self._most_bytes(request, info)
        return peer.answer(snapshot_page(self._store, self._snapshots, info, cursor, most_bytes, chunked=chunked))

    def _most_bytes(self, request: Request, info: StreamInfo) -> int:
        """As much as the child asks for at once, and no more than we give."""
        most = self._limits[READ_BYTES]
        return min(most, whole_number(request.query, "most", "read stream", str(info.name), most))

    def _followed(self, child: str, request: Request) -> StreamInfo:
        name = parse_stream_name(request.query.get("stream", ""))
        info = self._store.stream(name)
        # Its own it may always have back.
        if info is None or not (name.origin == child or self._family.follows(child, info)):
            raise NotFound("read stream", str(name), f"{child} does not follow such a stream of {self._store.node}")
        return info
