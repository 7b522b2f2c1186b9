"""Answers of one connection that must not be sent before what they stand for is on disk."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Struct

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_UNSTORED, MQTT_UNSTORED_BYTES
from littoral.core.order import Order
from littoral.iot.session_store import Change
from littoral.iot.session_writes import SessionWrites, Written


class _Batch(Struct, eq=False):
    """What one read brought."""

    answers: list[bytes]
    publishes: int
    size: int
    waiting: list[Written]
    written: bool = False
    error: BaseException | None = None


class Acks:
    """Collects what one read brought, writes it in one transaction, and sends the answers after it is synced.

    Answers go out in the order of what they answer [MQTT-4.6.0-2, MQTT-4.6.0-3, MQTT-4.6.0-4], so a batch waits for those
    before it; one that has nothing to write, and none before it, goes at once. If a batch cannot be stored, nothing from it
    on is acknowledged, nor stored: the connection is closed, the client sends it again, and its order is kept.
    """

    __slots__ = (
        "_answers",
        "_batches",
        "_changes",
        "_failed",
        "_limits",
        "_order",
        "_publishes",
        "_records",
        "_send",
        "_size",
        "_unstored",
        "_unstored_bytes",
        "_waiting",
        "_writes",
    )

    def __init__(
        self,
        writes: SessionWrites,
        limits: Limits,
        send: Callable[[bytes, int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """send: gets frames, and how many publishes they acknowledge; failed: gets the store's error, once."""
        self._writes = writes
        self._limits = limits
        self._order = Order()
        self._send = send
        self._failed = failed
        self._answers: list[bytes] = []
        self._records: list[bytes] = []
        self._changes: list[Change] = []
        self._waiting: list[Written] = []
        self._publishes = 0
        self._size = 0
        self._batches: deque[_Batch] | None = None
        """None while there never was one: most clients never wait for a disk, and a deque has room for 64."""
        self._unstored = 0
        self._unstored_bytes = 0

    # --- Collecting

    def add(self, answer: bytes, record: bytes) -> None:
        """A publish of the current read, and how it is acknowledged once `record` is stored."""
        self._answers.append(answer)
        self._records.append(record)
        self._publishes += 1
        self._size += len(record)

    def change(self, changes: Iterable[Change], written: Written | None = None) -> None:
        """Write these too; `written` is told what came of the whole batch."""
        self._changes += changes
        if written is not None:
            self._waiting.append(written)
        if self._changes:
            self._writes.collecting = self

    def answer(self, frame: bytes) -> None:
        """Another answer, after all before it."""
        self._answers.append(frame)

    @property
    def collecting(self) -> bool:
        """Whether `submit` has anything to do."""
        return bool(self._answers)  # Whatever is written stands behind an answer.

    @property
    def unacknowledged(self) -> int:
        """Publishes that were not answered."""
        return self._publishes + self._unstored

    def submit(self) -> None:
        """The read is over: store what it brought."""
        if self._writes.collecting is self:
            self._writes.collecting = None
        if not self.collecting:
            return
        records, changes = self._records, self._changes
        batch = _Batch(self._answers, self._publishes, self._size, self._waiting)
        self._answers, self._records, self._changes, self._waiting = [], [], [], []
        self._publishes = self._size = 0
        if not records and not changes and not self._batches:
            self._answered(batch)
            return
        self._unstored += batch.publishes
        self._unstored_bytes += batch.size
        if self._batches is None:
            self._batches = deque()
        self._batches.append(batch)
        if records or changes:
            self._writes.write(changes, self._order, records, partial(self._done, batch))
        else:
            self._done(batch, None)

    # --- What waits

    @property
    def waiting(self) -> bool:
        """Whether answers wait for the disk."""
        return bool(self._batches)

    @property
    def full(self) -> bool:
        """Whether reading must pause."""
        if self._unstored >= self._limits[MQTT_UNSTORED]:
            self._limits.hit(MQTT_UNSTORED)
            return True
        if self._unstored_bytes >= self._limits[MQTT_UNSTORED_BYTES]:
            self._limits.hit(MQTT_UNSTORED_BYTES)
            return True
        return False

    @property
    def relaxed(self) -> bool:
        """Whether reading may go on after a pause: at half the bound, so that it does not flap."""
        return (
            self._unstored <= self._limits[MQTT_UNSTORED] // 2
            and self._unstored_bytes <= self._limits[MQTT_UNSTORED_BYTES] // 2
        )

    def _answered(self, batch: _Batch) -> None:
        if batch.answers:
            self._send(b"".join(batch.answers), batch.publishes)
        for written in batch.waiting:
            written(None)

    def _done(self, finished: _Batch, error: BaseException | None) -> None:
        finished.written, finished.error = True, error
        batches = self._batches
        while batches and batches[0].written:
            batch = batches.popleft()
            self._unstored -= batch.publishes
            self._unstored_bytes -= batch.size
            if batch.error is None:
                self._answered(batch)
                continue
            for written in batch.waiting:
                written(batch.error)
            self._failed(batch.error)
