"""Key-value writes that retention took before they were sent.

There is no snapshot on the way up: the parent's table would lack those writes for ever. So what this node's table holds
now is appended to the stream once more, part by part; last writer wins makes that harmless.

    about to send a stream whose next records are gone   note it on disk, then send
    noted                                                append a part, wait until the parent has it, go on after it
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from littoral.core.limits import KV_LIST_KEYS, READ_BYTES, Limits
from littoral.store.batch import StoredBatch
from littoral.store.kv import KV_STREAMS, kv_namespace, kv_stream
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.outbox import Outbox

UNSENT = "kv-unsent"
"""Scope of the state: namespace -> the last key that was appended again."""


class KvAgain:
    """Says again what the parent can no longer be sent."""

    def __init__(self, store: Store, outbox: Outbox, limits: Limits) -> None:
        self._store = store
        self._outbox = outbox
        self._limits = limits
        self._sent_at: dict[str, int] = {}
        """Of each namespace, the offset the parent must have before the next part is due."""
        self.moved = asyncio.Event()
        """Set it when the parent has answered a frame."""

    async def note(self, frame: Sequence[StoredBatch]) -> None:
        """Before `frame` is sent: once the parent has it, nothing tells any more that records before it were lost."""
        lost = [
            stored.batch.name
            for stored in frame
            if stored.batch.name.origin == self._store.node
            and stored.batch.name.path.startswith(KV_STREAMS)
            and stored.batch.first == stored.earliest > self._outbox.mark(stored.batch.name)
        ]

        def put(tx: Transaction) -> None:
            for name in lost:
                tx.put_state(UNSENT, str(kv_namespace(name.path)), b"")

        if lost:
            await self._store.submit(put)

    async def run(self) -> None:
        """Append again what has to be, until cancelled. Raises LittoralError."""
        while True:
            self.moved.clear()
            for namespace in self._store.state(UNSENT):
                name = kv_stream(self._store.node, namespace)
                if self._outbox.stream_id(name) is None or self._outbox.mark(name) >= self._sent_at.get(namespace, 0):
                    self._sent_at[namespace] = await self._store.submit(partial(self._append, namespace))
            await self.moved.wait()

    def _append(self, namespace: str, tx: Transaction) -> int:
        """Append the next part; returns where it ends."""
        after = tx.get_state(UNSENT, namespace) or b""
        most_entries, most_bytes = self._limits[KV_LIST_KEYS], self._limits[READ_BYTES]
        last = tx.kv_publish_again(namespace, after.decode(), most_entries, most_bytes)
        tx.put_state(UNSENT, namespace, None if last is None else last.encode())
        info = tx.stream(kv_stream(tx.node, namespace))
        return info.next if info is not None else 0
