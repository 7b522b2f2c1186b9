"""The child's side of the tree: ship what goes up, follow what comes down, come back after every failure.

    session   = hello, then two senders (urgent lanes, other lanes) and one follower, until one of them fails
    failure   = close the session, wait (capped exponential backoff with jitter), begin a new one

Nothing here decides what is stored twice or lost: the receiver's high-water mark does (littoral.store.replica).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, Unauthenticated, Unavailable
from littoral.core.http import Response
from littoral.core.lanes import SHARED, URGENT
from littoral.core.limits import RETRY_DELAY_MS, Limits
from littoral.core.names import StreamName
from littoral.core.random import Random
from littoral.core.tasks import run_apart
from littoral.store.blobs import Blobs
from littoral.store.replica import begins_anew
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.blob_sender import BlobSender
from littoral.streams.bootstrap import Snapshots
from littoral.streams.flow import Flow
from littoral.streams.follower import Follower
from littoral.streams.holds import Holds
from littoral.streams.kv_again import KvAgain
from littoral.streams.link_budget import LinkBudget
from littoral.streams.outbox import Outbox
from littoral.streams.parent_link import ParentLink
from littoral.streams.reclaim import Reclaim
from littoral.streams.sender import Sender
from littoral.streams.ttl import SendTtl
from littoral.streams.uplink_state import UplinkState
from littoral.wire import peer

STEADY_S = 15.0
"""A session that held for so long was a good one: the wait after it is the first again. One that always fails right
after its hello is waited for ever longer."""


class Subtree(Protocol):
    """What the node is to its parent, with those below it; wired in `littoral.node`."""

    def members(self) -> list[peer.Member]:
        """This node and all it knows below it."""
        ...

    def is_away(self, node: str) -> bool:
        """Whether a node that was below is elsewhere in the tree now."""
        ...

    def refused(self) -> None:
        """The parent does not know this node: it was set back to a backup, perhaps."""
        ...

    async def welcomed(self, welcome: peer.Welcome) -> None:
        """Heed what the parent has answered to a hello. Raises LittoralError."""
        ...


class Uplink:
    """Keeps one node in step with its parent."""

    def __init__(
        self,
        store: Store,
        link: ParentLink,
        subtree: Subtree,
        snapshots: Snapshots,
        clock: Clock,
        random: Random,
        limits: Limits,
        blobs: Blobs | None = None,
        ttl: SendTtl | None = None,
        first: Callable[[StreamName], bool] | None = None,
    ) -> None:
        """snapshots: what is folded here from streams of the parent's; blobs: of this node; ttl: how old what is sent may be;
        first: which of the parent's streams are followed before the others."""
        self._store = store
        self.link = link
        self._subtree = subtree
        self._clock = clock
        self._backoff = Backoff(random, limits[RETRY_DELAY_MS])
        self.holds = Holds(clock, random, limits[RETRY_DELAY_MS])
        self.outbox = Outbox(store, link.parent, self.holds, ttl)
        self.flow = Flow(clock)
        self.state = UplinkState(since_ms=clock.wall_ms())
        self._kv_again = KvAgain(store, self.outbox, limits, self._said_again)
        self.blobs = BlobSender(blobs, link, limits, clock) if blobs is not None else None
        cap_ms = limits[RETRY_DELAY_MS]
        held = Holds(clock, random, cap_ms)
        self._follower = Follower(store, link, self.outbox, snapshots, self.state, held, first or (lambda name: False))
        back = Backoff(random, cap_ms)
        self._reclaim = Reclaim(store, self.outbox, self._follower.read, self._wake, self.state, back)
        self._sender = Sender(
            store,
            link,
            self.outbox,
            self._kv_again,
            self.flow,
            self.state,
            clock,
            random,
            limits,
            self.holds,
            self._reclaim.is_behind,
            self.blobs,
        )
        self._again = asyncio.Event()
        self._greeted_s: float | None = None
        """When the parent answered this session's hello."""
        self.spread_s = 0.0
        """Over how long the parent asked its children to spread."""
        store.watch(self._noted, self.outbox.forget)

    @property
    def budget(self) -> LinkBudget | None:
        """What the link may carry, if not all it can."""
        return self.link.budget

    async def run(self) -> None:
        """Hold sessions until cancelled."""
        while True:
            retry_after_s = 0.0
            try:
                await run_apart(self._session(), "uplink session")
            except* LittoralError as errors:
                error = _first(errors)
                self._ended(str(error))
                retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else 0.0
            if self._greeted_s is not None and self._clock.monotonic_s() - self._greeted_s >= STEADY_S:
                self._backoff.reset()
            if self._again.is_set():
                continue
            # Whatever ended this session, a restart of the parent perhaps, may have ended those of all its children.
            spread_s = max(self.spread_s, retry_after_s)
            await asyncio.sleep(self._backoff.next_delay_s(least_s=retry_after_s, spread_s=spread_s))

    def greet_again(self) -> None:
        """What `Subtree.members` answers has changed: tell the parent, by a new session."""
        self._again.set()

    async def call(self, method: str, path: str, body: bytes) -> Response:
        """One authenticated request to the parent. Raises PeerUnreachable, or the error the parent answered."""
        return await self.link.call(method, path, body)

    def _wake(self) -> None:
        """There may be something to send that was not before."""
        self._kv_again.moved.set()
        self._sender.wake()

    def _said_again(self) -> None:
        self.state.said_again += 1

    def _noted(self, info: StreamInfo) -> None:
        self.outbox.note(info)
        if grown := self.outbox.grown(info):
            self.flow.arrived(info.lane, grown)
        self._kv_again.changed(info)
        self._sender.wake(info)

    def _ended(self, reason: str) -> None:
        if self.state.connected:
            self.state.connected = False
            self.state.since_ms = self._clock.wall_ms()
        self.state.last_error = reason

    # Session

    async def _session(self) -> None:
        self._again.clear()
        self._greeted_s = None
        self._follower.begin_session()
        if self.blobs is not None:
            self.blobs.begin_session()
        try:
            await self._hello()
            async with asyncio.TaskGroup() as session:
                session.create_task(self._sender.run(URGENT), name="uplink urgent")
                session.create_task(self._sender.run(SHARED), name="uplink")
                session.create_task(self._follower.listen(), name="uplink listen")
                session.create_task(self._follower.fetch(), name="uplink follow")
                session.create_task(self._await_news(), name="uplink members")
                session.create_task(self._kv_again.run(), name="uplink kv")
                session.create_task(self._reclaim.run(), name="uplink reclaim")
        except asyncio.CancelledError:
            self._ended("stopped")
            raise

    async def _hello(self) -> None:
        self.outbox.begin_session()
        names = self.outbox.names()
        members = self._subtree.members()
        streams = [(name.origin, name.path) for name in names]
        hello = peer.Hello(peer.PROTOCOL_VERSION, self._store.node, members, streams)
        await self.link.connect()
        try:
            response = await self.link.call("POST", peer.HELLO, peer.encode(hello))
        except Unauthenticated:
            self._subtree.refused()
            raise
        welcome = peer.decode(response.body, peer.Welcome, "welcome")
        await self._subtree.welcomed(welcome)
        self.outbox.blocked.clear()
        marks = {StreamName(mark.origin, mark.path): mark for mark in welcome.marks}
        for name in names:
            mark, info = marks.get(name), self._store.stream(name)
            if info is None:
                continue  # deleted meanwhile
            if mark is None:
                self._keep(name)
                continue
            # What the parent has may be of a stream that was deleted here: this one it does not have at all.
            offset = 0 if begins_anew(info.lineage, mark.lineage) else mark.next
            self.outbox.set_mark(name, offset)
        # Only synced records are shipped: what the parent has of our own and we have not was lost here.
        self._reclaim.begin(welcome.marks)
        self.state.connected = True
        self.state.since_ms = self._clock.wall_ms()
        self.state.last_error = ""
        self.state.sessions += 1
        self._sender.keep_marks()
        self._greeted_s = self._clock.monotonic_s()
        self.spread_s = welcome.spread_s

    def _keep(self, name: StreamName) -> None:
        """The parent takes nothing of a stream's origin."""
        if self._subtree.is_away(name.origin):
            self.outbox.leave(name)
        else:
            self.outbox.block(
                name,
                "unproved",
                f"the parent takes nothing of {name.origin} before that shows its key, which it does by itself once it is"
                " connected here; where it was expelled, enrol it below this node again; where it is elsewhere in the tree"
                " now, it sends this from there",
            )

    async def _await_news(self) -> None:
        await self._again.wait()
        raise Unavailable("go on with session at", self.link.url, "there are new members to tell the parent of")


def _first(errors: BaseExceptionGroup[LittoralError]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
