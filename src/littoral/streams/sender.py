"""What goes up: take a frame, post it, set the marks from the answer; a few frames on their way at once for the urgent
lanes, and a few for the others.

    frames       as large as the link carries in time, once packed; more than one on their way where it is quick
    in order     each follows the one before; one that overtakes it waits for it at the parent (littoral.streams.peer_server)
    not taken    nothing more is posted until all that is on its way is answered; then what follows the parent's marks
    no room      a stream that the parent has no room for is held back, and tried again ever more rarely; the others go on
    a gap        a stream of which the parent wants just what was sent as all there is: held back likewise
    diverged     a stream is not sent any further; where the parent may have records of it that a restored store lacks, the
                 session ends, and the next one compares it (littoral.streams.reclaim)
    busy         a parent that answers that it cannot now (429, 503, 507) is asked again, ever more rarely; the session and
                 the other lanes go on

Where the link has a bandwidth budget, whatever is sent waits for it first (littoral.streams.link_budget), one frame at a
time.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, LimitReached, LittoralError, PeerUnreachable, StorageError, Unavailable
from littoral.core.http import Response
from littoral.core.lanes import SHARED, URGENT, Lane
from littoral.core.limits import RETRY_DELAY_MS, UPLINK_BATCH_BYTES, Limits
from littoral.core.names import StreamName
from littoral.core.random import Random
from littoral.store.batch import StoredBatch
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.blob_sender import BlobSender
from littoral.streams.blocked import NOT_TAKEN
from littoral.streams.flow import Flow
from littoral.streams.holds import Holds
from littoral.streams.kv_again import KvAgain
from littoral.streams.link_budget import BudgetSpent
from littoral.streams.outbox import UPLINK_FOLD, Outbox
from littoral.streams.parent_link import ParentLink
from littoral.streams.uplink_state import UplinkState
from littoral.wire import peer

OUTCOME_BYTES = 16
"""Of a batch's outcome, besides its stream's name."""
MARKS_EVERY_S = 1.0
"""How often the parent's marks are kept on disk; they serve the queue depth shown after a
restart, and what is said of writes that may not have been sent."""
PAYLOAD_MOST_BYTES = UPLINK_BATCH_BYTES.most
"""Of a frame before it is packed: every parent can unpack so much, whatever its limits."""
LEAST_RATIO = 0.05
"""Of packed to unpacked: what is smaller may not stay so."""
RATIO_PART = 0.3
"""Weight of the last frame in the ratio that is expected of the next."""
DENSE_RATIO = 0.9
"""Frames of large batches, which were compressed when they were stored, become hardly smaller."""


class Posted(NamedTuple):
    """A frame on its way."""

    frame: list[StoredBatch]
    size: int
    """Of the body, in bytes."""
    ids: dict[StreamName, int | None]
    """Which stream had each name when it was sent."""
    marks: dict[StreamName, int]
    """Up to where the parent had each, as was known when it was sent; without those of which more was on its way before it."""
    answer: "asyncio.Task[Response | LittoralError]"


class Flight:
    """What one sender has on its way, the oldest first."""

    def __init__(self, backoff: Backoff) -> None:
        self.posted: deque[Posted] = deque()
        self.short = False
        """Something was not taken as far as it was sent: nothing more goes until all is answered."""
        self.busy = False
        """The parent could not take anything, when it was asked last."""
        self.backoff = backoff
        """Of such a parent."""


class Sender:
    """Ships the outbox, session by session."""

    def __init__(
        self,
        store: Store,
        link: ParentLink,
        outbox: Outbox,
        kv_again: KvAgain,
        flow: Flow,
        state: UplinkState,
        clock: Clock,
        random: Random,
        limits: Limits,
        holds: Holds,
        is_behind: Callable[[StreamName, int], bool],
        blobs: BlobSender | None = None,
    ) -> None:
        """is_behind: whether a new session is to compare a stream that diverges where the parent's copy ends."""
        self._store = store
        self._link = link
        self._outbox = outbox
        self._kv_again = kv_again
        self._flow = flow
        self._state = state
        self._clock = clock
        self._random = random
        self._limits = limits
        self._holds = holds
        self._is_behind = is_behind
        self._ratio: dict[tuple[Lane, ...], float] = {URGENT: 1.0, SHARED: 1.0}
        """Of packed to unpacked bytes, as it was lately."""
        self._work = {URGENT: asyncio.Event(), SHARED: asyncio.Event()}
        self._marks_kept_s = 0.0
        self._blobs = blobs
        if blobs is not None:
            blobs.attach(self._work[SHARED].set)

    def wake(self, info: StreamInfo | None = None) -> None:
        """There may be something to send that was not before: of a stream, or of any."""
        for lanes, event in self._work.items():
            if info is None or info.lane in lanes:
                event.set()

    async def run(self, lanes: tuple[Lane, ...]) -> None:
        """Send what these lanes have until cancelled, or the session fails. Raises LittoralError."""
        work = self._work[lanes]
        flight = Flight(Backoff(self._random, self._limits[RETRY_DELAY_MS]))
        self._outbox.recall(lanes)
        async with asyncio.TaskGroup() as posts:
            while True:
                work.clear()
                looked_s = self._clock.monotonic_s()
                while await self._step(lanes, flight, posts):
                    looked_s = self._clock.monotonic_s()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._holds.next_s(looked_s)):
                        await work.wait()

    async def _step(self, lanes: tuple[Lane, ...], flight: "Flight", posts: asyncio.TaskGroup) -> bool:
        """Post a frame, take an answer, or send a piece of a blob where one is due; whether there was anything to do."""
        if not flight.short and len(flight.posted) < self._frames() and await self._post(lanes, flight, posts):
            return True
        if flight.posted:
            await self._take_answer(lanes, flight)
            return True
        if flight.short:
            flight.short = False
            self._outbox.recall(lanes)
            return True
        return False

    def _frames(self) -> int:
        return 1 if self._link.budget is not None else self._link.up.frames

    async def _post(self, lanes: tuple[Lane, ...], flight: "Flight", posts: asyncio.TaskGroup) -> bool:
        """Send the next frame on its way, if there is one."""
        most = self._link.most(self._link.up)
        frame = self._outbox.take(lanes, min(int(most / self._ratio[lanes]), PAYLOAD_MOST_BYTES))
        if not frame and self._outbox.looking:
            await asyncio.sleep(0)  # others first
            return True
        if not frame:
            return await self._blob_turn(lanes, 0)
        body = peer.pack(frame, self._level(lanes))
        if self._link.budget is not None:
            frame, body = self._within_budget(lanes, frame, body)
        self._note_ratio(lanes, frame, body)
        # Before anything is awaited: a stream that is deleted and made anew meanwhile is not what was taken.
        names = dict.fromkeys(stored.batch.name for stored in frame)
        ids = {name: self._outbox.stream_id(name) for name in names}
        marks = {name: self._outbox.mark(name) for name in names if not self._outbox.is_ahead(name)}
        self._outbox.posted(frame)
        await self._kv_again.note(frame)
        call = self._call(frame, body, ahead=bool(flight.posted), urgent=lanes is URGENT)
        flight.posted.append(Posted(frame, len(body), ids, marks, posts.create_task(call)))
        await self._blob_turn(lanes, len(body))
        return True

    async def _blob_turn(self, lanes: tuple[Lane, ...], sent_bytes: int) -> bool:
        """A piece of a blob, where one is due after so much of what is shared was sent."""
        if self._blobs is None or lanes is not SHARED:
            return False
        try:
            return await self._blobs.turn(sent_bytes)
        except BudgetSpent:
            assert self._link.budget is not None
            await self._link.budget.unspent()
            return True

    def _level(self, lanes: tuple[Lane, ...]) -> int:
        """How hard to compress: what a metered link carries is dear, and what does not become smaller is not worth it."""
        if self._link.budget is not None:
            return peer.METERED_LEVEL
        return peer.FAST_LEVEL if self._ratio[lanes] > DENSE_RATIO else peer.PACK_LEVEL

    def _note_ratio(self, lanes: tuple[Lane, ...], frame: list[StoredBatch], body: bytes) -> None:
        payload = sum(len(stored.batch.payload) for stored in frame)
        ratio = min(max(len(body) / max(1, payload), LEAST_RATIO), 1.0)
        self._ratio[lanes] += (ratio - self._ratio[lanes]) * RATIO_PART

    def _within_budget(
        self, lanes: tuple[Lane, ...], frame: list[StoredBatch], body: bytes
    ) -> tuple[list[StoredBatch], bytes]:
        """The frame, or one so small that it fits: what it takes besides its records is known only once it is packed."""
        most = self._link.most(self._link.up)
        room = sum(len(stored.batch.payload) for stored in frame)
        while len(frame) > 1 and (size := len(body) + _answer_bytes(frame)) > most:
            room = max(1, min(room * most // size, room * 3 // 4))
            frame = self._outbox.take(lanes, room)
            body = peer.pack(frame, self._level(lanes))
        return frame, body

    async def _call(
        self, frame: list[StoredBatch], body: bytes, *, ahead: bool, urgent: bool
    ) -> "Response | LittoralError":
        """Post a frame; ahead: while the one before is on its way. Returns what the parent answered, also where it cannot
        take it now. Raises LittoralError for what ends the session."""
        link = self._link
        expected = _answer_bytes(frame) if link.budget is not None else 0
        query = {"ahead": "1"} if ahead else None
        try:
            return await link.call(
                "POST", peer.BATCHES, body, query, pace=link.up, urgent=urgent, expected_bytes=expected
            )
        except PeerUnreachable:
            raise
        except BudgetSpent as error:
            return error
        except (LimitReached, Unavailable, StorageError) as error:
            if link.budget is not None and link.budget.spent:
                raise  # not even what is urgent may go
            return error

    async def _take_answer(self, lanes: tuple[Lane, ...], flight: "Flight") -> None:
        """Wait for the answer to the oldest frame that is on its way, and act on it."""
        answer = await flight.posted[0].answer
        posted = flight.posted.popleft()
        if isinstance(answer, Response):
            if flight.busy:
                flight.busy, self._state.last_error = False, ""
                flight.backoff.reset()
            if self._take_outcomes(posted, answer):
                flight.short = True
            return
        flight.short = True
        if flight.posted:
            return  # the others are answered first
        if isinstance(answer, BudgetSpent):
            assert self._link.budget is not None
            await self._link.budget.unspent()
        else:
            flight.busy, self._state.last_error = True, str(answer)
            least_s = answer.retry_after_s if isinstance(answer, Unavailable) else 0.0
            await asyncio.sleep(flight.backoff.next_delay_s(least_s=least_s))

    def _take_outcomes(self, posted: "Posted", answer: Response) -> bool:
        """Set the marks from an answer; whether anything was not taken as far as it was sent."""
        outbox, frame = self._outbox, posted.frame
        outcomes = peer.decode(answer.body, list[ReplicaOutcome], "outcomes")
        if len(outcomes) != len(frame):
            raise InvalidInput("read answer of", self._link.url, f"{len(outcomes)} outcomes for {len(frame)} batches")
        short = False
        behind: StreamName | None = None
        shipped: dict[Lane, tuple[int, int]] = {}
        for stored, outcome in zip(frame, outcomes, strict=True):
            name = stored.batch.name
            if posted.ids[name] is None or outbox.stream_id(name) != posted.ids[name]:
                continue  # deleted meanwhile: the answer says nothing of another stream by its name
            short = short or outcome.next < stored.batch.next
            if outcome.verdict is Verdict.DIVERGED and self._is_behind(name, outcome.next):
                behind = name
            if not self._is_mark(posted, name, outcome):
                continue
            records, size = shipped.get(stored.lane, (0, 0))
            taken = max(0, outcome.next - max(stored.batch.first, outbox.mark(name)))
            shipped[stored.lane] = records + taken, size + len(stored.batch.payload)
            outbox.set_mark(name, outcome.next)
            if outcome.next >= stored.batch.next:
                self._holds.release(name)
        for lane, (records, size) in shipped.items():
            self._state.shipped_records += records
            self._flow.shipped(lane, records, size)
        self._kv_again.moved.set()
        self._state.shipped_bytes += posted.size
        self.keep_marks()
        if behind is not None:
            raise Unavailable("send", str(behind), "the parent has other records of it, which are fetched back first")
        return short

    def _is_mark(self, posted: "Posted", name: StreamName, outcome: ReplicaOutcome) -> bool:
        """Whether an outcome says how far the parent is; where it cannot go on, the stream is blocked or held back."""
        if (kind := NOT_TAKEN.get(outcome.verdict)) is not None:
            self._outbox.block(name, kind, f"{kind} at offset {outcome.next} of the parent's copy")
            return False
        if outcome.verdict is Verdict.FULL:
            self._holds.hold(name, "the parent has no room for it")
            return False
        if outcome.verdict is Verdict.GAP:
            if name not in posted.marks:
                return False  # It has overtaken what was sent before: the answer to that says it.
            if outcome.next == posted.marks[name]:
                self._holds.hold(name, f"the parent wants it from offset {outcome.next} on, which is not here")
        return True

    def keep_marks(self) -> None:
        """Keep on disk up to where the parent has what has changed, if that was not done just now."""
        outbox, now_s = self._outbox, self._clock.monotonic_s()
        if not outbox.moved or now_s - self._marks_kept_s < MARKS_EVERY_S:
            return
        self._marks_kept_s = now_s
        marks = [(name, outbox.stream_id(name), outbox.mark(name)) for name in outbox.moved]

        def keep(tx: Transaction) -> None:
            for name, number, offset in marks:
                if (info := tx.stream(name)) is not None and info.id == number:
                    tx.set_fold(UPLINK_FOLD, name, offset)

        # Marks are a convenience: the parent's answer to the next hello replaces them. Those that cannot be kept now are
        # tried again with what moves next.
        with contextlib.suppress(LittoralError):
            self._store.submit(keep).add_done_callback(partial(self._marks_kept, [name for name, _, _ in marks]))
            outbox.moved.clear()

    def _marks_kept(self, names: list[StreamName], future: "asyncio.Future[None]") -> None:
        if future.cancelled() or future.exception() is not None:
            self._outbox.moved.update((name, None) for name in names if self._outbox.stream_id(name) is not None)


def _answer_bytes(frame: list[StoredBatch]) -> int:
    """About as much as the outcomes of a frame take: a name and a few numbers each."""
    return sum(len(stored.batch.origin) + len(stored.batch.path) + OUTCOME_BYTES for stored in frame)
