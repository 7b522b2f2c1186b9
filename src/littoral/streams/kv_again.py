"""Key-value writes that retention took before they were sent, or that the parent may lack though they need not be sent
(`littoral.fleet.kv_parent`).

There is no snapshot on the way up: the parent's table would lack those writes for ever. So what this node's table holds
now is appended to the stream once more, part by part; last writer wins makes that harmless.

    the next records to send are gone   note it on disk, before what follows them is sent
    noted                               append a part, wait until the parent has it (or it is gone too), go on after it
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from littoral.core.limits import KV_LIST_KEYS, READ_BYTES, Limits
from littoral.core.names import StreamName
from littoral.store.batch import StoredBatch
from littoral.store.kv import KV_STREAMS, kv_namespace, kv_stream
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.outbox import UPLINK_FOLD, Outbox

UNSENT = "kv-unsent"
"""Scope of the state: namespace -> the last key that was appended again."""


def all_shipped(tx: Transaction, namespace: str, mark: int | None = None) -> bool:
    """Whether the parent has every write of the namespace that was made or passed on here.

    mark: up to where the parent is known to have this node's stream; without it, what was kept of that on disk, which
    may be behind.
    """
    name = kv_stream(tx.node, namespace)
    info = tx.stream(name)
    if tx.get_state(UNSENT, namespace) is not None:
        return False
    if info is None:
        return True
    return info.next <= (tx.fold_offset(UPLINK_FOLD, name) if mark is None else mark)


class KvAgain:
    """Says again what the parent can no longer be sent."""

    def __init__(self, store: Store, outbox: Outbox, limits: Limits, said: Callable[[], None]) -> None:
        """said: called for each part that is appended again."""
        self.moved = asyncio.Event()
        """Set it when the parent has answered a frame."""
        self._said = said
        self._store = store
        self._outbox = outbox
        self._limits = limits
        self._sent_at: dict[str, int] = {}
        """Of each namespace, the offset the parent must have before the next part is due."""
        self._noted: dict[StreamName, int] = {}
        """The first record that a stream still had when it was noted last that some were gone."""
        self._shortened: dict[StreamName, None] = {}
        """This node's key-value streams that no longer begin where they began."""
        for info in store.heads():
            self.changed(info)

    def changed(self, info: StreamInfo) -> None:
        """A stream changed: retention may have taken some of it."""
        if info.first < self._noted.get(info.name, 0):
            del self._noted[info.name]  # it was cut back (littoral.streams.reclaim)
        if self._is_ours(info) and info.first > self._noted.get(info.name, 0):
            self._shortened[info.name] = None
            self.moved.set()

    async def note(self, frame: Sequence[StoredBatch]) -> None:
        """Before `frame` is sent: once the parent has it, nothing tells any more that records before it were lost."""
        await self._note(dict.fromkeys(stored.batch.name for stored in frame))

    async def run(self) -> None:
        """Append again what has to be, until cancelled. Raises LittoralError."""
        while True:
            self.moved.clear()
            # Also where nothing follows that could be sent.
            await self._note(self._shortened)
            for namespace in self._store.state(UNSENT):
                if self._is_due(namespace):
                    self._sent_at[namespace] = await self._store.submit(partial(self._append, namespace))
                    self._said()
            await self.moved.wait()

    def _is_ours(self, info: StreamInfo) -> bool:
        return info.name.origin == self._store.node and info.name.path.startswith(KV_STREAMS)

    async def _note(self, names: Iterable[StreamName]) -> None:
        lost = [
            info
            for info in map(self._store.stream, names)
            if info is not None
            and self._is_ours(info)
            and self._outbox.stream_id(info.name) is not None
            and info.name not in self._outbox.blocked  # perhaps no history that goes up
            and info.first > max(self._outbox.mark(info.name), self._noted.get(info.name, 0))
        ]

        def put(tx: Transaction) -> None:
            for info in lost:
                tx.put_state(UNSENT, str(kv_namespace(info.name.path)), b"")

        if lost:
            await self._store.submit(put)
            self._noted.update((info.name, info.first) for info in lost)

    def _is_due(self, namespace: str) -> bool:
        name, sent_at = kv_stream(self._store.node, namespace), self._sent_at.get(namespace, 0)
        info = self._store.stream(name)
        if info is None or self._outbox.stream_id(name) is None:
            return True
        if name in self._outbox.blocked:
            return False
        # One that ends before what was said was cut back (littoral.streams.reclaim).
        return max(self._outbox.mark(name), info.first) >= sent_at or info.next < sent_at

    def _append(self, namespace: str, tx: Transaction) -> int:
        """Append the next part; returns where it ends."""
        after = tx.get_state(UNSENT, namespace) or b""
        most_entries, most_bytes = self._limits[KV_LIST_KEYS], self._limits[READ_BYTES]
        last = tx.kv_publish_again(namespace, after.decode(), most_entries, most_bytes)
        tx.put_state(UNSENT, namespace, None if last is None else last.encode())
        info = tx.stream(kv_stream(tx.node, namespace))
        return info.next if info is not None else 0
