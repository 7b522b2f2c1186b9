"""Forgetting tombstones: a key that was deleted longer ago than the limit leaves nothing behind but its namespace's
horizon (`littoral.store.kv`)."""

import asyncio
from collections.abc import Callable
from functools import partial

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.hlc import hlc_at
from littoral.core.limits import KV_TOMBSTONE_S, Limits
from littoral.store.kv import kv_stream
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.kv_again import all_shipped
from littoral.streams.outbox import Outbox

EVERY_MOST_S = 600.0
TIMES_PER_LIMIT = 4
TOMBSTONES_AT_ONCE = 256
"""Forgotten in one transaction: well below a sync's time."""


class Tombstones:
    """Forgets those of one store."""

    def __init__(
        self, store: Store, outbox: Outbox | None, clock: Clock, limits: Limits, warn: Callable[[str], None]
    ) -> None:
        """outbox: what the parent has of this node's streams; None at the root.
        warn: told in words when the disk refuses; it is tried again."""
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._limit_s = limits[KV_TOMBSTONE_S]
        self._warn = warn
        self.forgotten = 0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(min(EVERY_MOST_S, self._limit_s / TIMES_PER_LIMIT))
            try:
                await self._forget_old()
            except LittoralError as error:
                self._warn(str(error))

    async def _forget_old(self) -> None:
        before = hlc_at(max(0, self._clock.wall_ms() - self._limit_s * 1000))
        for namespace in self._store.kv_with_tombstones(before):
            count = TOMBSTONES_AT_ONCE
            while count == TOMBSTONES_AT_ONCE:
                # The mark before the transaction looks at the stream: what is appended in between counts as not shipped.
                mark = self._mark(namespace)
                count = await self._store.submit(partial(self._forget, namespace, before, mark))
                self.forgotten += count

    def _mark(self, namespace: str) -> int:
        name = kv_stream(self._store.node, namespace)
        if self._outbox is None or self._outbox.stream_id(name) is None:
            return 0
        return self._outbox.mark(name)

    def _forget(self, namespace: str, before: int, mark: int, tx: Transaction) -> int:
        # A deletion that the parent has not stored may never get there once it is forgotten here: when retention takes
        # its record, what is sent in its place is this table. And this node heeds what its parent says over its own
        # horizon, which it may because its parent has heard of every deletion that it has forgotten.
        if self._outbox is not None and not all_shipped(tx, namespace, mark):
            return 0
        return tx.kv_forget(namespace, before, TOMBSTONES_AT_ONCE)
