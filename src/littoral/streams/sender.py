"""What goes up: take a frame, post it, set the marks from the answer; one frame in flight for the urgent lanes, and one
for the others.

Where the link has a bandwidth budget, whatever is sent waits for it first (littoral.streams.link_budget).
"""

import asyncio

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput
from littoral.core.lanes import SHARED, URGENT, Lane
from littoral.store.batch import StoredBatch
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.flow import Flow
from littoral.streams.kv_again import KvAgain
from littoral.streams.link_budget import BudgetSpent
from littoral.streams.outbox import UPLINK_FOLD, Outbox
from littoral.streams.parent_link import ParentLink
from littoral.streams.uplink_state import UplinkState
from littoral.wire import peer

NOT_TAKEN = (Verdict.DIVERGED, Verdict.CORRUPT, Verdict.REFUSED)
OUTCOME_BYTES = 16
"""Of a batch's outcome, besides its stream's name."""
MARKS_EVERY_S = 1.0
"""How often the parent's marks are kept on disk; they serve the queue depth shown after a
restart, and what is said of writes that may not have been sent."""


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
    ) -> None:
        self._store = store
        self._link = link
        self._outbox = outbox
        self._kv_again = kv_again
        self._flow = flow
        self._state = state
        self._clock = clock
        self._work = {URGENT: asyncio.Event(), SHARED: asyncio.Event()}
        self._marks_kept_s = 0.0

    def wake(self, info: StreamInfo | None = None) -> None:
        """There may be something to send that was not before: of a stream, or of any."""
        for lanes, event in self._work.items():
            if info is None or info.lane in lanes:
                event.set()

    async def run(self, lanes: tuple[Lane, ...]) -> None:
        """Send what these lanes have until cancelled, or the session fails. Raises LittoralError."""
        work = self._work[lanes]
        budget = self._link.budget
        while True:
            work.clear()
            while frame := self._outbox.take(lanes, self._link.most(self._link.up)):
                body = peer.pack(frame)
                if budget is not None:
                    frame, body = self._within_budget(lanes, frame, body)
                await self._kv_again.note(frame)
                try:
                    await self._ship(frame, body, urgent=lanes is URGENT)
                except BudgetSpent:
                    assert budget is not None
                    await budget.unspent()
            await work.wait()

    def _within_budget(
        self, lanes: tuple[Lane, ...], frame: list[StoredBatch], body: bytes
    ) -> tuple[list[StoredBatch], bytes]:
        """The frame, or one so small that it fits: what it takes besides its records is known only once it is packed."""
        most = room = self._link.most(self._link.up)
        while len(frame) > 1 and (size := len(body) + _answer_bytes(frame)) > most:
            room = max(1, min(room * most // size, room * 3 // 4))
            frame = self._outbox.take(lanes, room)
            body = peer.pack(frame)
        return frame, body

    async def _ship(self, frame: list[StoredBatch], body: bytes, *, urgent: bool) -> None:
        outbox, link = self._outbox, self._link
        sent = {stored.batch.name: outbox.stream_id(stored.batch.name) for stored in frame}
        expected = _answer_bytes(frame) if link.budget is not None else 0
        response = await link.call("POST", peer.BATCHES, body, pace=link.up, urgent=urgent, expected_bytes=expected)
        outcomes = peer.decode(response.body, list[ReplicaOutcome], "outcomes")
        if len(outcomes) != len(frame):
            raise InvalidInput("read answer of", link.url, f"{len(outcomes)} outcomes for {len(frame)} batches")
        shipped: dict[Lane, tuple[int, int]] = {}
        for stored, outcome in zip(frame, outcomes, strict=True):
            name = stored.batch.name
            if sent[name] is None or outbox.stream_id(name) != sent[name]:
                continue  # deleted meanwhile: the answer says nothing of another stream by its name
            if outcome.verdict in NOT_TAKEN:
                outbox.block(name, f"{outcome.verdict.value} at offset {outcome.next} of the parent's copy")
                continue
            records, size = shipped.get(stored.lane, (0, 0))
            taken = max(0, outcome.next - max(stored.batch.first, outbox.mark(name)))
            shipped[stored.lane] = records + taken, size + len(stored.batch.payload)
            outbox.set_mark(name, outcome.next)
        for lane, (records, size) in shipped.items():
            self._state.shipped_records += records
            self._flow.shipped(lane, records, size)
        self._kv_again.moved.set()
        self._state.shipped_bytes += len(body)
        self.keep_marks()

    def keep_marks(self) -> None:
        """Keep on disk up to where the parent has what, if that was not done just now."""
        now_s = self._clock.monotonic_s()
        if now_s - self._marks_kept_s < MARKS_EVERY_S:
            return
        self._marks_kept_s = now_s
        marks = {name: self._outbox.mark(name) for name in self._outbox.names()}

        def keep(tx: Transaction) -> None:
            for name, offset in marks.items():
                if tx.stream(name) is not None:
                    tx.set_fold(UPLINK_FOLD, name, offset)

        self._store.submit(keep).add_done_callback(_noted_failure)


def _answer_bytes(frame: list[StoredBatch]) -> int:
    """About as much as the outcomes of a frame take: a name and a few numbers each."""
    return sum(len(stored.batch.origin) + len(stored.batch.path) + OUTCOME_BYTES for stored in frame)


def _noted_failure(future: "asyncio.Future[None]") -> None:
    # Marks are a convenience: the parent's answer to the next hello replaces them.
    if not future.cancelled():
        future.exception()
