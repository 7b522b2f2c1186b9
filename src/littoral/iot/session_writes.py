"""The sessions' disk, as the broker's parts use it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from littoral.core.clock import Clock
from littoral.core.order import Order
from littoral.iot.broker_counters import BrokerCounters
from littoral.iot.session_store import Change, Complete, EndWill, KeepSession, KeepWill, Retain, SessionStore

if TYPE_CHECKING:
    from littoral.iot.acks import Acks

log = logging.getLogger(__name__)

Written = Callable[[BaseException | None], None]
"""Told once a write is on disk, or why it is not."""


class SessionWrites:
    """What is written of sessions, and what becomes of it."""

    def __init__(self, store: SessionStore, clock: Clock, counters: BrokerCounters, *, keeps: bool) -> None:
        """keeps: whether the store keeps anything, so that it is worth telling it."""
        self.store = store
        self.clock = clock
        self.keeps = keeps
        self.collecting: Acks | None = None
        """The connection whose read is being collected. What it has is written before anything else: messages are written
        in the order of their numbers, and none is completed before it is written."""
        self._counters = counters

    def write(self, changes: Sequence[Change], order: Order, records: Sequence[bytes], written: Written) -> None:
        """Do all of it in one transaction, and tell `written`; never before this returns, unless it cannot be begun."""
        self._flush()
        try:
            future = self.store.write(changes, order, records)
        except Exception as error:  # noqa: BLE001 - whatever it is, what waits for it must not go on, and is told
            written(error)
            return
        future.add_done_callback(lambda done: written(_failure(done)))

    def write_aside(self, what: str, changes: Sequence[Change], records: Sequence[bytes] = ()) -> None:
        """Write what nobody waits for: a failure is counted and logged."""

        def written(error: BaseException | None) -> None:
            if error is not None:
                self._counters.store_failures += 1
                log.error("cannot store %s: %s", what, error)

        if changes or records:
            self.write(changes, Order(), records, written)

    def later(self, changes: Sequence[Complete | Retain | KeepSession | KeepWill | EndWill]) -> None:
        """Write them with what is written next."""
        if self.keeps:
            self._flush()
            self.store.later(changes)

    def _flush(self) -> None:
        if self.collecting is not None:
            self.collecting.submit()


def _failure(future: "asyncio.Future[object]") -> BaseException | None:
    return asyncio.CancelledError("cancelled") if future.cancelled() else future.exception()
