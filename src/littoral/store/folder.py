"""Folds: a consumer that turns streams into state, storing effect and offset in one transaction.

A fold follows every stream that matches it, each from where it had got to. A record that it cannot apply goes to
the dead-letter stream with the reason, in the same transaction that steps over it.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from littoral.core.errors import InvalidInput, StorageCorrupt
from littoral.core.limits import READ_BYTES, Limits
from littoral.core.names import StreamName
from littoral.store.batch import Batch
from littoral.store.dead_letters import DeadLetter, append_dead_letters, head_text
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction


class Fold(Protocol):
    """What is folded, and how."""

    name: str

    def wants(self, info: StreamInfo) -> bool:
        """Whether this stream is folded."""
        ...

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        """Apply `records` [first, first+n) of `source`. Runs on the writer: it touches nothing but the transaction.

        Raises: InvalidInput for a record that can never be applied; what it did until then is undone.
        """
        ...


class Folder:
    """Runs one fold over a store."""

    def __init__(
        self,
        store: Store,
        fold: Fold,
        limits: Limits,
        now_ms: Callable[[], int],
        applied: Callable[[], None] = lambda: None,
    ) -> None:
        """now_ms: wall clock, for dead letters. applied: called on the event loop when a stream
        has been folded up to its tail."""
        self._store = store
        self._fold = fold
        self._limits = limits
        self._now_ms = now_ms
        self._applied = applied
        self._wake = asyncio.Event()
        self._behind: dict[StreamName, int] = {}
        self.applied_records = 0
        self.failed = ""
        """Why the fold is waiting to try again; empty while it is well."""

    async def run(self) -> None:
        """Fold until cancelled."""
        stop = self._store.watch(self._note)
        try:
            for info in self._store.streams():
                self._note(info)
            while True:
                self._wake.clear()
                while self._behind:
                    await self._step()
                await self._wake.wait()
        finally:
            stop()

    def _note(self, info: StreamInfo) -> None:
        if self._fold.wants(info):
            self._behind[info.name] = info.next
            self._wake.set()

    def _note_failure(self, reason: str) -> None:
        self.failed = reason

    async def _step(self) -> None:
        """Bring the stream that has waited longest up to its tail."""
        name = next(iter(self._behind))
        tail = self._behind.pop(name)
        offset = self._store.fold_offset(self._fold.name, name)
        while offset < tail:
            info = self._store.stream(name)
            if info is None:
                return
            batches = self._store.read(name, max(offset, info.first), self._limits[READ_BYTES])
            if not batches:
                return
            start = max(offset, batches[0].first)
            records, end, damage = _records(batches)
            records = records[start - batches[0].first :]
            effect = partial(self._apply, name, start, records, end)
            if damage is not None and not records:
                end = batches[0].next
                effect = partial(self._step_over, name, str(damage), end)
            await commit_stubbornly(self._store, effect, self._note_failure)
            self.applied_records += len(records)
            offset = end
        # Also where there was nothing to read: a snapshot may have moved the fold.
        self._applied()

    def _apply(self, name: StreamName, first: int, records: Sequence[bytes], end: int, tx: Transaction) -> None:
        try:
            with tx.attempt():
                self._fold.apply(tx, name, first, records)
        except InvalidInput:
            self._one_by_one(tx, name, first, records)
        tx.set_fold(self._fold.name, name, end)

    def _step_over(self, name: StreamName, reason: str, end: int, tx: Transaction) -> None:
        """A batch cannot be read, now or ever: say so, and go on after it."""
        append_dead_letters(tx, [DeadLetter(str(name), reason, "", self._now_ms())])
        tx.set_fold(self._fold.name, name, end)

    def _one_by_one(self, tx: Transaction, name: StreamName, first: int, records: Sequence[bytes]) -> None:
        """One of `records` is poison: apply the others, and put it aside."""
        for index, record in enumerate(records):
            try:
                with tx.attempt():
                    self._fold.apply(tx, name, first + index, [record])
            except InvalidInput as error:
                source = f"{name}@{first + index}"
                append_dead_letters(tx, [DeadLetter(source, str(error), head_text(record), self._now_ms())])


def _records(batches: Sequence[Batch]) -> tuple[list[bytes], int, StorageCorrupt | None]:
    """The records of the batches before the first that is damaged, where they end, and what is wrong with that one."""
    records: list[bytes] = []
    end = batches[0].first
    for batch in batches:
        try:
            records += batch.records()
        except StorageCorrupt as damage:
            return records, end, damage
        end = batch.next
    return records, end, None
