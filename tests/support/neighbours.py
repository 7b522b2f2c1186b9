"""A parent and a child, each reduced to its store and its half of the peer protocol, on a simulated link."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from littoral.core.errors import InvalidInput
from littoral.core.http import AnyResponse, Request
from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.core.resources.model import Storage, Ttl
from littoral.core.tasks import Tasks
from littoral.store.batch import StoredBatch
from littoral.store.store import Store
from littoral.store.stream import Reach, StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import SnapshotPart, Snapshots
from littoral.streams.parent_link import ParentLink
from littoral.streams.peer_server import PeerServer
from littoral.streams.ttl import SendTtl
from littoral.streams.uplink import Uplink
from littoral.testing.net import Link, SimNetwork
from littoral.testing.random import SeededRandom
from littoral.testing.tree import SimNode
from littoral.wire import peer
from tests.support.stores import SimStore, append, records_of

URL = "https://cloud.peer"
CHILD = "plant-a"
UNTIL_S = 300.0


class OpenFamily:
    """What the parent knows: may be changed by a test."""

    def __init__(self, origins: Iterable[str] = (CHILD,)) -> None:
        self.origins = set(origins)
        self.followed: set[StreamName] = set()
        self.greeted: list[Sequence[peer.Member]] = []
        self.children = 1

    def may_write(self, child: str, origin: str) -> bool:
        return child == CHILD and origin in self.origins

    @property
    def child_count(self) -> int:
        return self.children

    def is_shared(self, info: StreamInfo) -> bool:
        return info.name in self.followed

    def addressee(self, name: StreamName) -> str | None:
        return None

    def follows(self, child: str, info: StreamInfo) -> bool:
        return info.name in self.followed

    async def greet(self, child: str, members: Sequence[peer.Member]) -> None:
        self.greeted.append(members)

    def is_elsewhere(self, child: str, node: str) -> bool:
        return False

    def is_unproved(self, child: str, node: str) -> bool:
        return False


class NoSnapshots:
    """Every stream is read from its beginning."""

    def covers(self, name: StreamName) -> bool:
        return False

    def position(self, info: StreamInfo) -> int:
        raise AssertionError

    def part(self, name: StreamName, cursor: str | None, most_bytes: int) -> SnapshotPart:
        raise AssertionError

    def siblings(self, name: StreamName) -> list[StreamName]:
        return []

    def begin(self, tx: Transaction, name: StreamName) -> None:
        raise AssertionError

    def take(
        self, tx: Transaction, name: StreamName, part: SnapshotPart, after: str | None, at: str | None = None
    ) -> str | None:
        raise InvalidInput("take", "snapshot", "none is expected")

    def finish(self, tx: Transaction, name: StreamName, offset: int, horizon: int) -> None:
        raise AssertionError


class OpenSubtree:
    """What the child says of itself and those below it: may be changed by a test."""

    def __init__(self, both: "Neighbours") -> None:
        self._both = both

    def members(self) -> list[peer.Member]:
        return self._both.members

    def is_away(self, node: str) -> bool:
        return node in self._both.away

    def refused(self) -> None:
        pass

    async def welcomed(self, welcome: peer.Welcome) -> None:
        pass


class Neighbours:
    """Inside `littoral.testing.loop.run` only."""

    storage: ClassVar[Storage | None] = None
    """Of the parent."""
    ttl: ClassVar[Ttl] = Ttl()
    """Of the child's link."""

    def __init__(self, seed: int = 1, **limits: int) -> None:
        self.network = SimNetwork(SeededRandom(seed).fork("network"))
        self.above, self.below = SimStore("cloud", self.storage, seed=seed), SimStore(CHILD, seed=seed, **limits)
        self.parent, self.child = self.above.open(), self.below.open()
        self.family = OpenFamily()
        self.server = PeerServer(self.parent, self.above.limits, self.family, self.snapshots_of(self.parent))
        self.members = [peer.Member(CHILD, "site", {})]
        self.away: set[str] = set()
        self.frames: list[list[str]] = []
        """The streams of each frame that reached the parent."""
        self.open_frames = 0
        self.most_open_frames = 0
        self.hellos_s: list[float] = []
        self.failures: list[BaseException] = []
        self.tasks = Tasks(self.failures.append)
        self.network.serve(URL, self._handle)
        self.uplink = self.make_uplink()

    def snapshots_of(self, store: Store) -> Snapshots:
        """What can be begun from a snapshot."""
        return NoSnapshots()

    def make_uplink(self) -> Uplink:
        clock, limits = self.below.clock, self.below.limits
        link = ParentLink(self.network.transport(CHILD), "cloud", URL, lambda method, path: {}, clock, limits)
        random = self.below.random.fork("uplink")
        return Uplink(
            self.child,
            link,
            OpenSubtree(self),
            self.snapshots_of(self.child),
            clock,
            random,
            limits,
            ttl=SendTtl(self.ttl, clock.wall_ms),
        )

    @property
    def link(self) -> Link:
        return self.network.link(CHILD, URL)

    def start(self) -> None:
        self.tasks.start(self.uplink.run(), "uplink")

    async def stop(self) -> None:
        await self.tasks.stop()
        assert self.failures == []
        assert self.network.failures == []

    async def append(
        self, store: Store, name: StreamName, *records: bytes, lane: Lane = "telemetry", reach: Reach = "root"
    ) -> None:
        await store.submit(append(name, *records, lane=lane, reach=reach))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(UNTIL_S):
            while not condition():
                await asyncio.sleep(0.01)
                assert self.failures == []

    def at_parent(self, name: StreamName) -> list[bytes]:
        return records_of(self.parent, name)

    async def _handle(self, request: Request) -> AnyResponse:
        if request.path == peer.HELLO:
            self.hellos_s.append(asyncio.get_running_loop().time())
        if request.path != peer.BATCHES:
            return await self.server.handle(CHILD, request)
        frame = peer.unpack(request.body, list[StoredBatch], "batches")
        self.frames.append([str(each.batch.name) for each in frame])
        self.open_frames += 1
        self.most_open_frames = max(self.most_open_frames, self.open_frames)
        try:
            return await self.server.handle(CHILD, request)
        finally:
            self.open_frames -= 1


def uplink_of(node: SimNode) -> Uplink:
    """Of a node that has a parent, and is up."""
    uplink = node.running.uplink
    assert uplink is not None
    return uplink
