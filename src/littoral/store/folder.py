"""Folds: a consumer that turns streams into state, storing effect and offset in one transaction.

A fold follows every stream that matches it, each from where it had got to. A record that it cannot apply goes to
the dead-letter stream with the reason, in the same transaction that steps over it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from littoral.core.errors import Gone, InvalidInput, NotFound, StorageCorrupt, StorageError, Unavailable
from littoral.core.limits import READ_BYTES, Limits
from littoral.core.names import StreamName
from littoral.store.batch import Batch
from littoral.store.database import STORAGE_ERRORS
from littoral.store.dead_letters import DeadLetter, append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction

_log = logging.getLogger("littoral.hub")

REASON_CHARACTERS = 400
"""Of an error that is not ours: whoever wrote the record may have a say in how long it is."""
_NOT_OF_THE_RECORD = (StorageError, Unavailable, *STORAGE_ERRORS)
"""The disk refuses, or it is too early: the same record may be applied later."""


class Fold(Protocol):
    """What is folded, and how."""

    name: str

    def wants(self, info: StreamInfo) -> bool:
        """Whether this stream is folded."""
        ...

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        """Apply `records` [first, first+n) of `source`. Runs on the writer: it touches nothing but the transaction.

        Raises: InvalidInput for a record that can never be applied; what it did until then is undone. Unavailable for
        one that cannot be applied yet: the fold waits. Whatever else it raises is a fault of ours, and the record is put
        aside for it as well: nothing that somebody may write is to stop a fold for good.
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
        lost: Callable[[Transaction], None] = lambda tx: None,
    ) -> None:
        """now_ms: wall clock, for dead letters. applied: called on the event loop when a stream
        has been folded up to its tail. lost: called in the transaction that steps over what cannot be read."""
        self._store = store
        self._fold = fold
        self._limits = limits
        self._now_ms = now_ms
        self._applied = applied
        self._lost = lost
        self._wake = asyncio.Event()
        self._behind: dict[StreamName, int] = {}
        self.applied_records = 0
        self.lost_records = 0
        """Taken by retention before they were folded."""
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
        try:
            while offset < tail and (info := self._store.stream(name)) is not None:
                offset = await self._advance(info, offset)
        except (Gone, NotFound):
            # Retention or deletion is on disk and is about to be published, which notes the stream again.
            return
        # Also where there was nothing to read: a snapshot may have moved the fold.
        self._applied()

    async def _advance(self, info: StreamInfo, offset: int) -> int:
        """Fold what one read gives from `offset` on; returns up to where. Raises Gone, NotFound."""
        name = info.name
        try:
            batches = self._store.read(name, max(offset, info.first), self._limits[READ_BYTES])
        except StorageCorrupt as missing:
            end = self._store.next_batch(info, max(offset, info.first))
            await self._commit(partial(self._step_over, info, str(missing), offset, end))
            self.lost_records += end - offset
            return end
        start = max(offset, batches[0].first) if batches else info.next
        if start > offset:
            await self._commit(partial(self._step_over, info, f"{start - offset} records are gone", offset, start))
            self.lost_records += start - offset
            return start
        records, end, damage = _records(batches)
        records = records[start - batches[0].first :]
        if damage is not None and not records:
            end = batches[0].next
            await self._commit(partial(self._step_over, info, str(damage), offset, end))
        else:
            await self._commit(partial(self._apply, info, start, records, end))
        self.applied_records += len(records)
        return end

    async def _commit(self, effect: Callable[[Transaction], None]) -> None:
        await commit_stubbornly(self._store, effect, self._note_failure)

    def _apply(self, info: StreamInfo, first: int, records: Sequence[bytes], end: int, tx: Transaction) -> None:
        apply_or_put_aside(tx, self._fold, info.name, first, records)
        self._set_fold(tx, info, end)

    def _step_over(self, info: StreamInfo, reason: str, offset: int, end: int, tx: Transaction) -> None:
        """There is nothing to be read up to `end`, now or ever: say so, and go on after it."""
        text = f"fold {self._fold.name} steps over offsets {offset} to {end}: {reason}"
        append_dead_letters(tx, [DeadLetter(str(info.name), text, "", self._now_ms())])
        self._lost(tx)
        self._set_fold(tx, info, end)

    def _set_fold(self, tx: Transaction, info: StreamInfo, end: int) -> None:
        latest = tx.stream(info.name)
        if latest is not None and latest.id == info.id:  # not deleted meanwhile
            tx.set_fold(self._fold.name, info.name, end)


def apply_or_put_aside(tx: Transaction, fold: Fold, name: StreamName, first: int, records: Sequence[bytes]) -> None:
    """Apply `records`; if one of them is poison, apply the others, and put it aside."""
    try:
        with tx.attempt():
            fold.apply(tx, name, first, records)
    except _NOT_OF_THE_RECORD:
        raise
    except Exception:  # noqa: BLE001 -- a boundary: it is told of the record that raises it when it is alone
        for place, record in enumerate(records, first):
            reason = _refusal(tx, fold, name, place, record)
            if reason:
                append_dead_letters(tx, dead_letters(f"{name}@{place}", reason, record, tx.now_ms, f"fold/{fold.name}"))


def _refusal(tx: Transaction, fold: Fold, name: StreamName, place: int, record: bytes) -> str:
    """Apply one record; returns why it could not be, which undid it, or nothing."""
    try:
        with tx.attempt():
            fold.apply(tx, name, place, [record])
    except _NOT_OF_THE_RECORD:
        raise
    except InvalidInput as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 -- a boundary: whatever it is, the records behind it are applied
        _log.exception("fold %s puts aside %s@%d, at which it failed", fold.name, name, place)
        return f"fold {fold.name} failed at it with {type(error).__name__}: {str(error)[:REASON_CHARACTERS]}"
    return ""


def _records(batches: Sequence[Batch]) -> tuple[list[bytes], int, StorageCorrupt | None]:
    """The records of the batches before the first that is damaged or does not follow, where they end, and what is wrong
    with the damaged one."""
    records: list[bytes] = []
    end = batches[0].first
    for batch in batches:
        if batch.first != end:
            break
        try:
            records += batch.records()
        except StorageCorrupt as damage:
            return records, end, damage
        end = batch.next
    return records, end, None
