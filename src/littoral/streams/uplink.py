"""The child's side of the tree: ship what goes up, follow what comes down, come back after every failure.

    session   = hello, then two senders (urgent lanes, other lanes) and one follower, until one of them fails
    sender    = take a frame, post it, set the marks from the answer; one frame in flight each
    follower  = hold the notification channel; read every stream whose tail moved, append it here
    failure   = close the session, wait (capped exponential backoff with jitter), begin a new one

Where the link has a bandwidth budget, whatever is sent waits for it first (littoral.streams.link_budget).

Nothing here decides what is stored twice or lost: the receiver's high-water mark does (littoral.store.replica).
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

import msgspec

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.errors import Gone, InvalidInput, LittoralError, NotFound, PeerUnreachable, Unavailable
from littoral.core.http import Request, Response
from littoral.core.lanes import SHARED, URGENT, Lane
from littoral.core.limits import READ_BYTES, RETRY_DELAY_MS, UPLINK_BATCH_BYTES, Limits
from littoral.core.names import StreamName
from littoral.core.random import Random
from littoral.core.transport import Transport
from littoral.store.batch import StoredBatch
from littoral.store.replica import ReplicaOutcome, Verdict, begins_anew, lineage_parts
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.bandwidth import CONNECTION_BYTES, EVENT_BYTES, REQUEST_BYTES
from littoral.streams.bootstrap import SnapshotPart, Snapshots
from littoral.streams.flow import Flow
from littoral.streams.kv_again import KvAgain
from littoral.streams.link_budget import BudgetSpent, LinkBudget
from littoral.streams.outbox import UPLINK_FOLD, Outbox
from littoral.streams.pace import REQUEST_TIMEOUT_S, Pace
from littoral.streams.reclaim import Reclaim
from littoral.streams.take_over import take_over
from littoral.wire import peer
from littoral.wire.problem import error_of

SILENCE_S = 15.0
"""Three heartbeats of the parent's. A link that is silent for longer is taken for half-open."""
STEADY_S = 15.0
"""A session that held for so long was a good one: the wait after it is the first again. One that always fails right
after its hello is waited for ever longer."""
EVENT_BYTES_MOST = 4 << 20
"""Of one event on the notification channel: the tails of as many streams as a node may hold."""
NOT_TAKEN = (Verdict.DIVERGED, Verdict.CORRUPT, Verdict.REFUSED)
OUTCOME_BYTES = 16
"""Of a batch's outcome, besides its stream's name."""
MARKS_EVERY_S = 1.0
"""How often the parent's marks are kept on disk; they serve the queue depth shown after a
restart, and what is said of writes that may not have been sent."""

Headers = Callable[[str, str], dict[str, str]]
"""Authentication headers for a request: (method, path) -> headers with a fresh node token."""


class UplinkState(msgspec.Struct):
    """What the uplink says of itself."""

    connected: bool = False
    since_ms: int = 0
    """When `connected` last changed, ms since the epoch."""
    last_error: str = ""
    sessions: int = 0
    shipped_records: int = 0
    shipped_bytes: int = 0
    """Bytes of frames that the parent has answered."""
    followed_records: int = 0
    bootstraps: int = 0
    """Streams begun from a snapshot."""
    said_again: int = 0
    """Times that key-value writes were appended again because retention had taken them unsent."""


class Uplink:
    """Keeps one node in step with its parent."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        parent: str,
        parent_url: str,
        headers: Headers,
        members: Callable[[], list[peer.Member]],
        snapshots: Snapshots,
        clock: Clock,
        random: Random,
        limits: Limits,
        budget: LinkBudget | None = None,
    ) -> None:
        """parent: the parent's name; parent_url: "https://host:port" of its peer listener;
        members: this node and all it knows below it; snapshots:
        what is folded here from streams of the parent's; budget: what the link may carry, if not all it can."""
        self._store = store
        self._transport = transport
        self._url = parent_url
        self._headers = headers
        self._members = members
        self._snapshots = snapshots
        self._clock = clock
        self._limits = limits
        self._backoff = Backoff(random, limits[RETRY_DELAY_MS])
        self.outbox = Outbox(store, parent)
        self.flow = Flow(clock)
        self.budget = budget
        self._put_off: dict[StreamName, peer.Mark] = {}
        """Streams of the parent's that are not read any further until there is a budget for it again."""
        self._up = Pace(limits[UPLINK_BATCH_BYTES])
        self._down = Pace(limits[READ_BYTES])
        self._kv_again = KvAgain(store, self.outbox, limits, self._said_again)
        self._reclaim = Reclaim(store, self.outbox, self._read, self._wake)
        self.state = UplinkState(since_ms=clock.wall_ms())
        self._work = {URGENT: asyncio.Event(), SHARED: asyncio.Event()}
        self._again = asyncio.Event()
        self._greeted_s: float | None = None
        """When the parent answered this session's hello."""
        self._begun: set[StreamName] = set()
        """Streams that were begun from a snapshot in this session."""
        self._marks_kept_s = 0.0
        store.watch(self._noted, self.outbox.forget)

    async def run(self) -> None:
        """Hold sessions until cancelled."""
        while True:
            try:
                await self._session()
            except* LittoralError as errors:
                self._ended(str(_first(errors)))
            if self._greeted_s is not None and self._clock.monotonic_s() - self._greeted_s >= STEADY_S:
                self._backoff.reset()
            if self._again.is_set():
                continue
            await asyncio.sleep(self._backoff.next_delay_s())

    def greet_again(self) -> None:
        """What `members` answers has changed: tell the parent, by a new session."""
        self._again.set()

    def _wake(self) -> None:
        """There may be something to send that was not before."""
        self._kv_again.moved.set()
        for event in self._work.values():
            event.set()

    def _said_again(self) -> None:
        self.state.said_again += 1

    def _noted(self, info: StreamInfo) -> None:
        self.outbox.note(info)
        if grown := self.outbox.grown(info):
            self.flow.arrived(info.lane, grown)
        self._kv_again.changed(info)
        for lanes, event in self._work.items():
            if info.lane in lanes:
                event.set()

    def _ended(self, reason: str) -> None:
        if self.state.connected:
            self.state.connected = False
            self.state.since_ms = self._clock.wall_ms()
        self.state.last_error = reason

    # Session

    async def _session(self) -> None:
        self._again.clear()
        self._greeted_s = None
        self._begun.clear()
        self._put_off.clear()
        try:
            await self._hello()
            async with asyncio.TaskGroup() as session:
                session.create_task(self._send(URGENT), name="uplink urgent")
                session.create_task(self._send(SHARED), name="uplink")
                session.create_task(self._follow(), name="uplink follow")
                session.create_task(self._await_news(), name="uplink members")
                session.create_task(self._kv_again.run(), name="uplink kv")
                session.create_task(self._reclaim.run(), name="uplink reclaim")
        except asyncio.CancelledError:
            self._ended("stopped")
            raise

    async def _hello(self) -> None:
        names = self.outbox.names()
        hello = peer.Hello(
            peer.PROTOCOL_VERSION, self._store.node, self._members(), [(name.origin, name.path) for name in names]
        )
        if self.budget is not None:
            await self.budget.enter(CONNECTION_BYTES, urgent=True)
        response = await self._call("POST", peer.HELLO, peer.encode(hello))
        welcome = peer.decode(response.body, peer.Welcome, "welcome")
        self.outbox.blocked.clear()
        marks = {StreamName(mark.origin, mark.path): mark for mark in welcome.marks}
        for name in names:
            mark, info = marks.get(name), self._store.stream(name)
            if info is None:
                continue  # deleted meanwhile
            if mark is None:
                self.outbox.block(name, f"the parent takes nothing of {name.origin}: enrol it below this node again")
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
        self._keep_marks()
        self._greeted_s = self._clock.monotonic_s()

    async def _await_news(self) -> None:
        await self._again.wait()
        raise Unavailable("go on with session at", self._url, "there are new members to tell the parent of")

    async def _send(self, lanes: tuple[Lane, ...]) -> None:
        work = self._work[lanes]
        while True:
            work.clear()
            while frame := self.outbox.take(lanes, self._most(self._up)):
                body = peer.pack(frame)
                if self.budget is not None:
                    frame, body = self._within_budget(lanes, frame, body)
                await self._kv_again.note(frame)
                try:
                    await self._ship(frame, body, urgent=lanes is URGENT)
                except BudgetSpent:
                    assert self.budget is not None
                    await self.budget.unspent()
            await work.wait()

    def _most(self, pace: Pace) -> int:
        """How much to ask of the link at once."""
        return pace.bytes if self.budget is None else self.budget.piece_bytes(pace.bytes)

    def _within_budget(
        self, lanes: tuple[Lane, ...], frame: list[StoredBatch], body: bytes
    ) -> tuple[list[StoredBatch], bytes]:
        """The frame, or one so small that it fits: what it takes besides its records is known only once it is packed."""
        most = room = self._most(self._up)
        while len(frame) > 1 and (size := len(body) + _answer_bytes(frame)) > most:
            room = max(1, min(room * most // size, room * 3 // 4))
            frame = self.outbox.take(lanes, room)
            body = peer.pack(frame)
        return frame, body

    async def _ship(self, frame: list[StoredBatch], body: bytes, *, urgent: bool) -> None:
        sent = {stored.batch.name: self.outbox.stream_id(stored.batch.name) for stored in frame}
        expected = _answer_bytes(frame) if self.budget is not None else 0
        response = await self._call("POST", peer.BATCHES, body, pace=self._up, urgent=urgent, expected_bytes=expected)
        outcomes = peer.decode(response.body, list[ReplicaOutcome], "outcomes")
        if len(outcomes) != len(frame):
            raise InvalidInput("read answer of", self._url, f"{len(outcomes)} outcomes for {len(frame)} batches")
        shipped: dict[Lane, tuple[int, int]] = {}
        for stored, outcome in zip(frame, outcomes, strict=True):
            name = stored.batch.name
            if sent[name] is None or self.outbox.stream_id(name) != sent[name]:
                continue  # deleted meanwhile: the answer says nothing of another stream by its name
            if outcome.verdict in NOT_TAKEN:
                self.outbox.block(name, f"{outcome.verdict.value} at offset {outcome.next} of the parent's copy")
                continue
            records, size = shipped.get(stored.lane, (0, 0))
            taken = max(0, outcome.next - max(stored.batch.first, self.outbox.mark(name)))
            shipped[stored.lane] = records + taken, size + len(stored.batch.payload)
            self.outbox.set_mark(name, outcome.next)
        for lane, (records, size) in shipped.items():
            self.state.shipped_records += records
            self.flow.shipped(lane, records, size)
        self._kv_again.moved.set()
        self.state.shipped_bytes += len(body)
        self._keep_marks()

    def _keep_marks(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._marks_kept_s < MARKS_EVERY_S:
            return
        self._marks_kept_s = now_s
        marks = {name: self.outbox.mark(name) for name in self.outbox.names()}

        def keep(tx: Transaction) -> None:
            for name, offset in marks.items():
                if tx.stream(name) is not None:
                    tx.set_fold(UPLINK_FOLD, name, offset)

        self._store.submit(keep).add_done_callback(_noted_failure)

    async def _follow(self) -> None:
        if self.budget is not None:
            await self.budget.enter(CONNECTION_BYTES + REQUEST_BYTES, urgent=True)
        request = Request("GET", peer.NOTIFY, headers=self._headers("GET", peer.NOTIFY))
        async with self._transport.stream(self._url, request, SILENCE_S) as channel:
            if channel.status != 200:
                raise PeerUnreachable("follow", self._url, f"it answered {channel.status}")
            buffer = b""
            async for chunk in channel.chunks:
                if self.budget is not None:
                    self.budget.carried(EVENT_BYTES + len(chunk))
                    self.budget.check(urgent=True)
                    await self._fetch_all(self._due(self.budget))
                *events, buffer = (buffer + chunk).split(b"\n\n")
                if len(buffer) > EVENT_BYTES_MOST:
                    raise InvalidInput("follow", self._url, f"it sent an event of more than {EVENT_BYTES_MOST} bytes")
                for event in events:
                    await self._fetch_all(self._marks_in(event))
        raise PeerUnreachable("follow", self._url, "the notification channel ended")

    async def _fetch_all(self, marks: Iterable[peer.Mark]) -> None:
        for mark in marks:
            try:
                await self._fetch(mark)
            except InvalidInput as error:
                self.outbox.block(StreamName(mark.origin, mark.path), str(error))
            except BudgetSpent:
                self._put_off[StreamName(mark.origin, mark.path)] = mark

    def _due(self, budget: LinkBudget) -> list[peer.Mark]:
        """What was put off, once there is a budget for it again; the parent's heartbeats see to it that this is asked."""
        if not self._put_off or budget.spent:
            return []
        due = list(self._put_off.values())
        self._put_off.clear()
        return due

    def _marks_in(self, event: bytes) -> list[peer.Mark]:
        try:
            return msgspec.json.decode(event.removeprefix(b"data: "), type=list[peer.Mark])
        except msgspec.DecodeError as error:
            raise InvalidInput("follow", self._url, f"it sent an event that is none ({error})") from error

    async def _fetch(self, mark: peer.Mark) -> None:
        """Bring our copy of a stream up to where the parent's is."""
        name = StreamName(mark.origin, mark.path)
        if name in self.outbox.blocked:
            return
        if self._snapshots.covers(name) and self._is_another(name, mark):
            await self._begin(name)
        while (have := self._have(mark)) < mark.next:
            try:
                frame = await self._read(name, have)
            except Gone:
                await self._begin(name)
                continue
            if not frame:
                return
            outcomes = await self._store.submit(partial(take_over, frame, self.outbox.parent))
            self._store.counters.judged(outcomes)
            self.state.followed_records += outcomes[-1].next - have
            if self._have(mark) <= have:
                self.outbox.block(name, f"{outcomes[-1].verdict.value} at offset {have} of our copy of the parent's")
                return

    async def _read(self, name: StreamName, offset: int) -> list[StoredBatch]:
        """The parent's batches from `offset` on. Raises Gone."""
        most = self._most(self._down)
        query = {"stream": str(name), "offset": str(offset), "most": str(most)}
        response = await self._call(
            "GET", peer.READ, query=query, pace=self._down, urgent=self._is_urgent(name), expected_bytes=most
        )
        return peer.decode(response.body, list[StoredBatch], "stream")

    def _is_another(self, name: StreamName, mark: peer.Mark) -> bool:
        """Whether there is no copy of the stream here, or one of before its origin was restored: how much of that is
        still so, nobody can tell."""
        info = self._store.stream(name)
        if info is None:
            return True
        held, at_parent = lineage_parts(info.lineage), lineage_parts(mark.lineage)
        return name not in self._begun and held is not None and at_parent is not None and held[0] != at_parent[0]

    async def _begin(self, name: StreamName) -> None:
        """Begin a stream from a snapshot, and with it those that the same state is folded from: what is held here of
        them may end before the snapshot was taken, and what follows there be older than it."""
        await self._bootstrap(name)
        for sibling in self._snapshots.siblings(name):
            if self._store.stream(sibling) is not None and sibling not in self._begun:
                with suppress(NotFound):  # the parent has it no more
                    await self._bootstrap(sibling)

    async def _bootstrap(self, name: StreamName) -> None:
        """Take over what the parent has folded from a stream, and follow the stream from there."""
        head: peer.SnapshotPage | None = None
        cursor: str | None = None
        horizon = 0
        while True:
            most = self._most(self._down)
            query = {"stream": str(name), "most": str(most)}
            query |= {"cursor": cursor} if cursor is not None else {}
            response = await self._call(
                "GET", peer.SNAPSHOT, query=query, pace=self._down, urgent=self._is_urgent(name), expected_bytes=most
            )
            page = peer.decode(response.body, peer.SnapshotPage, "snapshot")
            # The offset of the first page counts: what changed while the others were read comes again by the stream.
            if head is None:
                head = page
                await self._store.submit(partial(self._snapshots.begin, name=name))
            part = SnapshotPart(page.items, page.cursor, page.horizon)
            await self._store.submit(partial(self._snapshots.take, name=name, part=part, after=cursor))
            horizon = max(horizon, page.horizon)
            cursor = page.cursor
            if cursor is None:
                break
        await self._store.submit(partial(self._begin_copy, name, head, horizon))
        self._begun.add(name)
        self.state.bootstraps += 1

    def _begin_copy(self, name: StreamName, head: peer.SnapshotPage, horizon: int, tx: Transaction) -> None:
        tx.reset_replica(
            name,
            lineage=head.lineage,
            offset=head.offset,
            chain=head.chain,
            content_type=head.content_type,
            lane=head.lane,
            reach=head.reach,
            via=self.outbox.parent,
        )
        self._snapshots.finish(tx, name, head.offset, horizon)

    def _is_urgent(self, name: StreamName) -> bool:
        """Of a stream at the parent: whether it is read before what is not urgent goes up, budget or none. So is what was
        lost of our own: until it is back, nothing of its stream goes up, urgent or not."""
        return name.origin == self._store.node or (self.budget is not None and self.budget.essential(name))

    def _have(self, mark: peer.Mark) -> int:
        """Up to where we have what the mark is of."""
        info = self._store.stream(StreamName(mark.origin, mark.path))
        return 0 if info is None or begins_anew(mark.lineage, info.lineage) else info.next

    async def call(self, method: str, path: str, body: bytes) -> Response:
        """One authenticated request to the parent. Raises PeerUnreachable, or the error the parent answered."""
        return await self._call(method, path, body)

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: dict[str, str] | None = None,
        pace: Pace | None = None,
        *,
        urgent: bool = True,
        expected_bytes: int = 0,
    ) -> Response:
        """expected_bytes: of the answer; what it really was is settled with the budget afterwards."""
        if self.budget is not None:
            await self.budget.enter(REQUEST_BYTES + len(body) + expected_bytes, urgent=urgent)
        request = Request(method, path, query or {}, self._headers(method, path), body)
        began_s = self._clock.monotonic_s()
        try:
            timeout_s = pace.timeout_s if pace is not None else REQUEST_TIMEOUT_S
            response = await self._transport.request(self._url, request, timeout_s)
        except PeerUnreachable:
            if pace is not None:
                pace.failed()
            raise
        if self.budget is not None:
            self.budget.carried(len(response.body) - expected_bytes)
        if pace is not None:
            pace.answered(self._clock.monotonic_s() - began_s)
        if response.status != 200:
            raise error_of(response.status, response.body, "call", f"{self._url}{path}")
        return response


def _answer_bytes(frame: list[StoredBatch]) -> int:
    """About as much as the outcomes of a frame take: a name and a few numbers each."""
    return sum(len(stored.batch.origin) + len(stored.batch.path) + OUTCOME_BYTES for stored in frame)


def _first(errors: BaseExceptionGroup[LittoralError]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _noted_failure(future: "asyncio.Future[None]") -> None:
    # Marks are a convenience: the parent's answer to the next hello replaces them.
    if not future.cancelled():
        future.exception()
