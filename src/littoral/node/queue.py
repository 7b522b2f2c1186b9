"""One queue of a node: messages come in, and are given to the consumer until they are done.

    sent            acknowledged when it is in the stream, synced
    batch           its attempts are counted on disk; then the consumer's app is called
    handler ended   done, or to be given again, as it said; else all of the batch is done
    handler raised  what it said; all else is given again
    app died, or
    took too long   all of the batch is given again: what became of it is not known
    too often       moved to the dead letter queue, or to the node's dead letters, in the transaction that settles it

So a message is given at least once, also when hub or worker are killed at any moment, and it has one id each time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, NotFound, Unavailable
from littoral.core.event_limits import QUEUE_BATCH_BYTES, QUEUE_MESSAGES
from littoral.core.limits import READ_BYTES, Limits
from littoral.core.random import Random
from littoral.core.tasks import Tasks
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.event_caller import EventCaller
from littoral.functions.event_messages import Given, Settled, batch_body
from littoral.functions.messages import Answer
from littoral.node.queue_consumer import Consumer
from littoral.node.queue_keys import QueueKeys
from littoral.node.queue_log import (
    LETTER,
    Stored,
    append_messages,
    decode_stored,
    encode_stored,
    queue_stream,
    read_rows,
    scope_of,
    write_rows,
)
from littoral.node.queue_state import QueueState, Rows, Seen
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction

LOOK_AGAIN_S = 30.0
"""A clock that is set forward is noticed after this."""
READY_MOST = 1000
"""No more messages are looked at while so many can be given away: what is in the stream need not be in memory."""
NO_ROOM_MS = 60_000
"""Before a dead letter is moved again for which there was no room."""
NOTHING_GOT = (Unavailable, NotFound)
"""Errors of a call that its app heard nothing of: it does not run, or was taken away in that moment."""
ID_BYTES = 16
_log = logging.getLogger("littoral.queues")
_decode_settled = msgspec.msgpack.Decoder(Settled).decode


class NewMessage(Struct, frozen=True):
    """A message that is being sent."""

    content_type: str
    body: bytes
    delay_s: int = 0
    key: str = ""
    """By which it is recognised if it is sent again; empty for one that is not."""


class QueueCounters(Struct):
    """Since the hub started."""

    sent: int = 0
    repeated: int = 0
    """Not sent, because a message with the same key was."""
    delivered: int = 0
    """Messages given to a consumer, each attempt counted."""
    done: int = 0
    retried: int = 0
    dead: int = 0


class Delivery(Struct, frozen=True):
    """A batch that is with the consumer."""

    consumer: Consumer
    messages: list[tuple[int, int, Stored]]
    """With their offsets, and the attempts that this one is."""
    gone: list[int]
    """Offsets of messages that are not there any more."""


class NodeQueue:
    """One queue."""

    def __init__(
        self,
        name: str,
        store: Store,
        clock: Clock,
        random: Random,
        limits: Limits,
        call: EventCaller,
        failed: Callable[[BaseException], None],
    ) -> None:
        """failed: receives errors that are faults of ours."""
        self.name = name
        self.consumer: Consumer | None = None
        self.counters = QueueCounters()
        self.problem = ""
        """Why the last batch was not handled; empty after one that was."""
        self.state = QueueState(0, {})
        self._stream = queue_stream(store.node, name)
        self._store = store
        self._clock = clock
        self._random = random
        self._limits = limits
        self._call = call
        self._keys = QueueKeys(name, limits)
        self._tasks = Tasks(failed)
        self._deliveries = 0
        self._ready_since_s: float | None = None
        self._row: tuple[int, list[bytes]] = (0, [])
        """The records that were read last, from this offset on: the next message is among them, most of the time."""
        self._wake = asyncio.Event()
        self._loaded = asyncio.Event()

    @property
    def messages(self) -> int:
        """That are not settled."""
        info = self._store.stream(self._stream)
        return 0 if info is None else self.state.below + max(0, info.next - self.state.read)

    @property
    def bytes(self) -> int:
        """Of its stream."""
        info = self._store.stream(self._stream)
        return 0 if info is None else info.bytes

    def start(self) -> None:
        """Begin to give messages away."""
        self._tasks.start(self._run(), f"queue {self.name}")

    def serve(self, consumer: Consumer | None) -> None:
        """Give messages to this consumer from now on."""
        if consumer != self.consumer:
            self.consumer = consumer
            self._wake.set()

    async def stop(self) -> None:
        """Begin nothing more; batches that are with the consumer are cut off, and given again after a restart."""
        await self._tasks.stop()

    # In

    async def send(self, messages: Sequence[NewMessage]) -> None:
        """Put messages into the queue; on disk when this returns. Raises LimitReached, StorageError."""
        await self._loaded.wait()
        now_ms = self._clock.wall_ms()
        keys = [message.key for message in messages if message.key]
        forgotten = self._keys.outdated(now_ms, len(keys))
        stored = [(message.key, self._stored(message, now_ms)) for message in messages]
        settled = self.state.read - self.state.below

        def append(tx: Transaction) -> int:
            self._keys.forget(tx, forgotten)
            new = [each for key, each in stored if not key or self._keys.note(tx, key, now_ms)]
            if new:
                append_messages(tx, self.name, new, self._limits, settled)
            return len(new)

        sent = await self._store.submit(append)
        self._keys.noted(keys, forgotten, now_ms)
        self.counters.sent += sent
        self.counters.repeated += len(stored) - sent

    def _stored(self, message: NewMessage, now_ms: int) -> Stored:
        due_ms = now_ms + message.delay_s * 1000 if message.delay_s else 0
        identifier = self._random.token_bytes(ID_BYTES).hex()
        return Stored(identifier, message.content_type, message.body, now_ms, due_ms)

    # What there is

    async def peek(self, most: int) -> list[tuple[Stored, int, int]]:
        """The oldest messages that are not settled: each with its attempts, and before when it is not given."""
        await self._loaded.wait()
        self._see()
        return [
            (stored, attempts, due_ms)
            for offset, attempts, due_ms in self.state.unsettled(most)
            if (stored := self._read(offset)) is not None
        ]

    async def purge(self) -> int:
        """Remove all messages; returns how many there were. Raises LittoralError."""
        await self._loaded.wait()
        count = self.messages
        info = self._store.stream(self._stream)
        if info is not None:
            await self._write(self.state.purge(info.next))
        return count

    # Out

    async def _run(self) -> None:
        stop = self._store.watch(self._note)
        try:
            await self._load()
            while True:
                self._wake.clear()
                try:
                    more = self._see()
                except LittoralError as error:
                    self.problem = str(error)
                    more = False
                wait_s = self._begin_batches()
                wait_s = 0.0 if more else LOOK_AGAIN_S if wait_s is None else wait_s
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
        finally:
            stop()

    def _note(self, info: StreamInfo) -> None:
        if info.name == self._stream:
            self._wake.set()

    def _note_problem(self, reason: str) -> None:
        if reason:
            self.problem = reason

    async def _load(self) -> None:
        found: list[QueueState] = []
        keys: dict[str, bytes] = {}

        def load(tx: Transaction) -> None:
            keys.clear()
            keys.update(self._keys.load(tx))
            info = tx.stream(self._stream)
            found[:] = [QueueState(*read_rows(tx.state(scope_of(self.name)), info))] if info is not None else []

        await commit_stubbornly(self._store, load, self._note_problem)
        self._keys.take_over(keys)
        if found:
            self.state = found[0]
        for offset in self.state.unseen_rows:
            if (stored := self._read(offset)) is not None:
                self.state.see([Seen(offset, stored.due_ms, len(stored.body))])
        self._loaded.set()

    def _see(self) -> bool:
        """Look at messages that came; whether there are more to look at."""
        info = self._store.stream(self._stream)
        if info is None:
            return False
        self.state.skip(info.first)
        if self.state.seen >= info.next or self.state.known >= self._limits[QUEUE_MESSAGES]:
            return False
        if self.state.ready(self._clock.wall_ms()) >= READY_MOST:
            return False
        for batch in self._store.read(self._stream, self.state.seen, self._limits[READ_BYTES]):
            stored = [decode_stored(record) for record in batch.records()]
            self.state.see(Seen(offset, each.due_ms, len(each.body)) for offset, each in enumerate(stored, batch.first))
        return self.state.seen < info.next

    def _begin_batches(self) -> float | None:
        """Begin what can be given away now; returns when to look again, in seconds."""
        while (consumer := self.consumer) is not None and self._deliveries < consumer.concurrency:
            now_ms = self._clock.wall_ms()
            ready = self.state.ready(now_ms)
            due_ms = self.state.next_due_ms()
            due_s = LOOK_AGAIN_S if due_ms is None else min(LOOK_AGAIN_S, (due_ms - now_ms) / 1000)
            if not ready:
                self._ready_since_s = None
                return None if due_ms is None else due_s
            if self._ready_since_s is None:
                self._ready_since_s = self._clock.monotonic_s()
            left_s = self._ready_since_s + consumer.batch_timeout_s - self._clock.monotonic_s()
            if ready < consumer.batch_size and left_s > 0:
                return min(left_s, due_s)
            batch, rows = self.state.take(now_ms, consumer.batch_size, self._limits[QUEUE_BATCH_BYTES])
            self._ready_since_s = None
            self._deliveries += 1
            self._tasks.start(self._deliver(consumer, batch, rows), f"batch of queue {self.name}")
        return None

    async def _deliver(self, consumer: Consumer, batch: list[tuple[int, int]], rows: Rows) -> None:
        try:
            await self._write(rows)
            try:
                delivery = self._delivery(consumer, batch)
                said, ended_well = await self._attempt(delivery)
            except NOTHING_GOT as error:
                self.problem = str(error)
                await self._write(self.state.give_back(offset for offset, _ in batch))
            except LittoralError as error:
                # A disk that cannot be read: nobody got anything, and it must not go round in circles.
                self.problem = str(error)
                again_ms = self._clock.wall_ms() + NO_ROOM_MS
                await self._write(self.state.settle([], {offset: again_ms for offset, _ in batch}))
            else:
                await self._settle(delivery, said, ended_well=ended_well)
        finally:
            self._deliveries -= 1
            self._wake.set()

    def _delivery(self, consumer: Consumer, batch: list[tuple[int, int]]) -> Delivery:
        """Raises StorageError."""
        found = [(offset, attempts, self._read(offset)) for offset, attempts in batch]
        messages = [(offset, attempts, stored) for offset, attempts, stored in found if stored is not None]
        return Delivery(consumer, messages, [offset for offset, _, stored in found if stored is None])

    async def _attempt(self, delivery: Delivery) -> tuple[Settled, bool]:
        """Give a batch to its consumer: what that said of it, and whether it ended well. Raises NOTHING_GOT where the
        consumer got nothing of it."""
        if not delivery.messages:
            return Settled(), True
        given = [
            Given(each.id, each.content_type, each.body, each.sent_ms, attempts)
            for _, attempts, each in delivery.messages
        ]
        try:
            answer = await self._call(delivery.consumer.app, "queue", self.name, batch_body(self.name, given))
        except NOTHING_GOT:
            raise
        except LittoralError as error:
            self.problem = str(error)
            answer = None
        self.counters.delivered += len(given)
        if answer is None:
            return Settled(), False
        self.problem = "its consumer raised an exception; the node's log has it" if answer.error else ""
        return _settled(answer), not answer.error

    async def _settle(self, delivery: Delivery, said: Settled, *, ended_well: bool) -> None:
        now_ms = self._clock.wall_ms()
        done, again, dead = list(delivery.gone), dict[int, int](), dict[int, Stored]()
        for place, (offset, attempts, stored) in enumerate(delivery.messages):
            if place in said.done or (ended_well and place not in said.again):
                done.append(offset)
            elif attempts > delivery.consumer.max_retries:
                dead[offset] = stored
            else:
                delay_s = said.again.get(place)
                again[offset] = now_ms + (delivery.consumer.delay_ms(attempts) if delay_s is None else delay_s * 1000)
        if dead and not await self._bury(delivery.consumer, dead, now_ms):
            again.update(dict.fromkeys(dead, now_ms + NO_ROOM_MS))
            dead.clear()
        self.counters.done += len(done)
        self.counters.retried += len(again)
        self.counters.dead += len(dead)
        await self._write(self.state.settle([*done, *dead], again))

    async def _bury(self, consumer: Consumer, dead: dict[int, Stored], now_ms: int) -> bool:
        """Move dead letters to where they belong; False, and nothing has happened, where that has no room."""
        rows = Rows(self.state.read, remove=list(dead))

        def move(tx: Transaction) -> None:
            if consumer.dead_letter_queue is not None:
                letters = [msgspec.structs.replace(each, due_ms=0, from_queue=self.name) for each in dead.values()]
                append_messages(tx, consumer.dead_letter_queue, letters, self._limits)
            else:
                reason = f"app {consumer.app} did not handle it in {consumer.max_retries + 1} attempts"
                for each in dead.values():
                    source = f"queue {self.name}, message {each.id}"
                    record = encode_stored(each)
                    append_dead_letters(tx, dead_letters(source, reason, record, now_ms, f"{LETTER}/{self.name}"))
            write_rows(tx, self.name, rows)

        try:
            await self._store.submit(move)
        except LittoralError as error:
            _log.warning("queue %s: dead letters stay in it: %s", self.name, error)
            self.problem = str(error)
            return False
        return True

    async def _write(self, rows: Rows) -> None:
        more = [True]

        def write(tx: Transaction) -> None:
            more[0] = write_rows(tx, self.name, rows)

        while more[0]:
            await commit_stubbornly(self._store, write, self._note_problem)
            rows = Rows(rows.read, keep_from=rows.keep_from)

    def _read(self, offset: int) -> Stored | None:
        """A message of the stream; None where somebody took it away."""
        info = self._store.stream(self._stream)
        if info is None or not info.first <= offset < info.next:
            return None
        first, records = self._row
        if not first <= offset < first + len(records):
            batch = self._store.read(self._stream, offset, 1)[0]  # The one that holds it, however large.
            first, records = self._row = batch.first, batch.records()
        return decode_stored(records[offset - first])


def _settled(answer: Answer) -> Settled:
    try:
        return _decode_settled(answer.body)
    except UNDECODABLE:
        # Written by the worker's process, which is the app's: it may say anything.
        return Settled()
