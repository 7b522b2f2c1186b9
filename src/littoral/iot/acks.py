"""QoS 1 publishes of one connection on their way to disk."""

import asyncio
from collections import deque
from collections.abc import Callable

from littoral.core.intake import Intake
from littoral.core.limits import MQTT_UNSTORED, MQTT_UNSTORED_BYTES, Limits
from littoral.core.order import Order

_PUBACK = b"\x40\x02"


class Acks:
    """Collects the QoS 1 publishes of one read, stores them in one call, and acknowledges each after it is synced.

    PUBACKs go out in the order of the publishes [MQTT-4.6.0-2], so a batch waits for those before it. If a batch
    cannot be stored, nothing from it on is acknowledged, nor stored: the client sends it again, and its order is kept.
    """

    __slots__ = (
        "_acknowledge",
        "_batches",
        "_bytes",
        "_failed",
        "_ids",
        "_intake",
        "_limits",
        "_order",
        "_records",
        "_unstored",
        "_unstored_bytes",
    )

    def __init__(
        self,
        intake: Intake,
        limits: Limits,
        acknowledge: Callable[[bytes, int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """acknowledge: gets PUBACK frames and their number; failed: gets the store's error, once."""
        self._intake = intake
        self._limits = limits
        self._order = Order()
        self._acknowledge = acknowledge
        self._failed = failed
        self._records: list[bytes] = []
        self._ids: list[bytes] = []
        self._bytes = 0
        self._batches: deque[tuple[asyncio.Future[object], list[bytes], int]] = deque()
        self._unstored = 0
        self._unstored_bytes = 0

    def add(self, packet_id: bytes, record: bytes) -> None:
        """A publish of the current read; `packet_id` as on the wire."""
        self._ids.append(packet_id)
        self._records.append(record)
        self._bytes += len(record)

    def submit(self) -> None:
        """The read is over: store what it brought."""
        if not self._ids:
            return
        records, ids, size = self._records, self._ids, self._bytes
        self._records, self._ids, self._bytes = [], [], 0
        self._unstored += len(ids)
        self._unstored_bytes += size
        try:
            future = self._intake.store(records, self._order)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must not be acknowledged, and is told
            self._failed(error)
            return
        self._batches.append((future, ids, size))
        future.add_done_callback(self._done)

    @property
    def collecting(self) -> bool:
        """Whether `submit` has anything to do."""
        return bool(self._ids)

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

    def _done(self, stored: "asyncio.Future[object]") -> None:
        if not stored.cancelled():
            stored.exception()  # looked at here: what follows a batch that failed is in nobody's hands any more
        while self._batches and self._batches[0][0].done():
            future, ids, size = self._batches.popleft()
            self._unstored -= len(ids)
            self._unstored_bytes -= size
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if error is not None:
                self._batches.clear()
                self._failed(error)
                return
            self._acknowledge(_PUBACK + _PUBACK.join(ids), len(ids))
