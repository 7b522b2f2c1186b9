"""The desk for dead letters: which are open, what each says, and retrying and dropping them, one or many.

What is done about a letter is noted (`littoral.store.letter_marks`) in the transaction that holds the retry's effect. So
after a crash a letter is open and not applied, or applied and done with. Of one letter only one retry is under way at a
time: a rule's takes more than a transaction.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import msgspec

from littoral.core.errors import Conflict, InvalidInput, LittoralError
from littoral.core.limits import DEAD_LETTERS_AT_ONCE, Limits
from littoral.core.names import StreamName
from littoral.fleet.kv_fold import ANEW
from littoral.node.letter_groups import LetterGroups, grouped
from littoral.node.letter_messages import Act, Failure, LetterEntry, LetterPage, LetterShown, Step
from littoral.node.retriers import Retriers
from littoral.store.letter_marks import CHUNK, SCOPE, TALLY, Mark, mark, marks_in, prune
from littoral.store.letter_reader import Letter, LetterReader
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.stubborn import RETRY_S
from littoral.store.transaction import Transaction

RETRIED_AT_ONCE = 32
"""Their records are in memory together."""


class Filter(msgspec.Struct, frozen=True):
    """Which letters are meant: those whose source and reason contain these texts."""

    source: str = ""
    reason: str = ""

    def takes(self, letter: Letter) -> bool:
        """Whether `letter` is one of them."""
        return self.source in letter.said.source and self.reason in letter.said.reason


class LetterDesk:
    """A node's own letters."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        retriers: Retriers,
        wall_ms: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        """warn: told in words when the disk refuses."""
        self._store = store
        self._limits = limits
        self._retriers = retriers
        self._wall_ms = wall_ms
        self._warn = warn
        self._reader = LetterReader(store, limits)
        self._busy: set[int] = set()
        """Letters of which a retry is under way."""
        self._first = -1
        self._moved = asyncio.Event()
        """Retention has taken letters, or the stream was deleted."""

    # Looking

    def open_count(self) -> int:
        """How many are open. Raises StorageError."""
        return self._reader.open_count()

    def page(self, after: int, limit: int, wanted: Filter) -> LetterPage:
        """Open letters from offset `after` on, at most `limit` of them, or fewer. Raises StorageError."""
        tail = self._tail()
        page = self._reader.page(after, tail, max(1, min(limit, self._limits[DEAD_LETTERS_AT_ONCE])))
        entries = [_entry(letter) for letter in page.letters if wanted.takes(letter)]
        return LetterPage(entries, page.next if page.next < tail else None, self._wall_ms())

    def show(self, offset: int) -> LetterShown:
        """One letter, open or done with. Raises NotFound, Gone, StorageError."""
        letter = self._reader.whole(offset)
        record = self._retriers.record(letter)
        found = self._mark(letter)
        fields = msgspec.structs.asdict(_entry(letter))
        if record is not None:
            fields["size"] = len(record)
        state: Literal["open", "retried", "dropped"] = "open"
        if found is not None:
            state = "retried" if found.is_applied else "dropped"
        return LetterShown(**fields, record=record, state=state, until_ms=found.by_ms if found else None)

    async def groups(self) -> LetterGroups:
        """What the open letters have in common. Raises StorageError."""
        return await grouped(self._reader, self._wall_ms())

    # Doing

    async def retry(self, offset: int) -> str:
        """Apply one letter again; returns what came of it. Raises LittoralError: then it stays open."""
        return await asyncio.shield(self._begin(self._open("retry", offset)))

    async def drop(self, offset: int) -> None:
        """Be done with one letter without applying it. Raises LittoralError."""
        letter = self._open("drop", offset)
        self._check_idle("drop", letter)
        if not await self._store.submit(partial(_settle, letter, self._info(), applied=False)):
            raise Conflict("drop", f"dead letter {offset}", "it was just done with")

    async def step(self, act: Act, wanted: Filter, after: int, until: int | None) -> Step:
        """Retry or drop the open letters in [after, until) that are `wanted`: as many as one page has. until: the tail
        if not given. Raises StorageError."""
        until = self._tail() if until is None else min(until, self._tail())
        page = self._reader.page(after, until, self._limits[DEAD_LETTERS_AT_ONCE])
        letters = [letter for letter in page.letters if wanted.takes(letter)]
        failed: list[Failure] = []
        if act == "drop":
            done = await self._drop_all(letters, [part for part in page.parts if wanted.takes(part)], failed)
        else:
            done = await self._retry_all(letters, failed)
        failed.sort(key=lambda failure: failure.offset)
        return Step(done, failed, page.next if page.next < until else None, until)

    async def _drop_all(self, letters: Sequence[Letter], parts: Sequence[Letter], failed: list[Failure]) -> int:
        idle = []
        for letter in letters:
            try:
                self._check_idle("drop", letter)
            except Conflict as error:
                failed.append(Failure(letter.offset, str(error)))
            else:
                idle.append(letter.offset)
        if not idle and not parts:
            return 0
        info = self._info()

        def job(tx: Transaction) -> int:
            for part in parts:
                mark(tx, info, part.offset, part.offset + 1, applied=False)
            count = sum(mark(tx, info, offset, offset + 1, applied=False) for offset in idle)
            _tidy(tx, info)
            return count

        return await self._store.submit(job)

    async def _retry_all(self, letters: Sequence[Letter], failed: list[Failure]) -> int:
        done = 0
        for start in range(0, len(letters), RETRIED_AT_ONCE):
            begun: list[tuple[int, asyncio.Future[str]]] = []
            for letter in letters[start : start + RETRIED_AT_ONCE]:
                try:
                    begun.append((letter.offset, self._begin(self._open("retry", letter.offset))))
                except LittoralError as error:
                    failed.append(Failure(letter.offset, str(error)))
            for offset, future in begun:
                try:
                    await asyncio.shield(future)
                    done += 1
                except LittoralError as error:
                    failed.append(Failure(offset, str(error)))
        return done

    def _begin(self, letter: Letter) -> "asyncio.Future[str]":
        offset = letter.offset
        self._check_idle("retry", letter)
        if not letter.is_readable:
            raise InvalidInput("retry", f"dead letter {offset}", letter.said.reason, "Drop it")
        future = self._retriers.retry(letter, partial(_settle, letter, self._info(), applied=True))
        self._busy.add(offset)

        def ended(future: "asyncio.Future[str]") -> None:
            self._busy.discard(offset)
            if not future.cancelled():
                future.exception()  # Whoever asked may have gone.

        future.add_done_callback(ended)
        return future

    def _open(self, operation: str, offset: int) -> Letter:
        """The letter, if it is open. Raises NotFound, Gone, Conflict, StorageError."""
        letter = self._reader.whole(offset)
        found = self._mark(letter)
        if found is not None:
            what = "retried with success" if found.is_applied else "dropped"
            raise Conflict(
                operation,
                f"dead letter {offset}",
                f"it was {what}, at {_when(found.by_ms)} or before",
                "`littoral dlq list` names those that are open",
            )
        return letter

    def _check_idle(self, operation: str, letter: Letter) -> None:
        if letter.offset in self._busy:
            raise Conflict(operation, f"dead letter {letter.offset}", "a retry of it is under way", "Wait for its end")

    def _mark(self, letter: Letter) -> Mark | None:
        return self._reader.marks(self._info()).find(letter.offset)

    def _info(self) -> StreamInfo:
        info = self._reader.info()
        assert info is not None, "a letter was just read"
        return info

    def _tail(self) -> int:
        info = self._reader.info()
        return info.next if info is not None else 0

    # Keeping the marks within the stream

    async def run(self) -> None:
        """Remove marks of letters that are gone, until cancelled."""
        stop = self._store.watch(self._note, self._note_deleted)
        try:
            while True:
                try:
                    while self._is_behind():
                        await self._store.submit(lambda tx: prune(tx, self._reader.name))
                except LittoralError as error:
                    self._warn(str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                await self._moved.wait()
                self._moved.clear()
        finally:
            stop()

    def _note(self, info: StreamInfo) -> None:
        if info.name == self._reader.name and info.first != self._first:
            self._first = info.first
            self._moved.set()

    def _note_deleted(self, name: StreamName) -> None:
        if name == self._reader.name:
            self._moved.set()

    def _is_behind(self) -> bool:
        """Whether marks are kept of letters that are gone."""
        info = self._reader.info()
        if info is None:
            return self._store.state_value(SCOPE, TALLY) is not None
        marks = self._reader.marks(info)
        return marks.is_begun and marks.tally.lowest < info.first // CHUNK


def _settle(letter: Letter, info: StreamInfo, tx: Transaction, *, applied: bool) -> bool:
    """Note that a letter is done with; False if it was before, or is gone."""
    is_settled = mark(tx, info, letter.offset, letter.next, applied=applied)
    _tidy(tx, info)
    return is_settled


def _tidy(tx: Transaction, info: StreamInfo) -> None:
    """Forget what is remembered for the sake of letters that may be retried yet, if there are none."""
    latest = tx.stream(info.name)
    if latest is not None and not marks_in(tx, latest).open_count():
        tx.clear_state(ANEW)


def _entry(letter: Letter) -> LetterEntry:
    said = letter.said
    size = said.size
    if size is None and said.parts == 1 and said.record:
        size = len(said.record) // 4 * 3 - said.record.count("=")
    return LetterEntry(letter.offset, said.at_ms, said.source, said.reason, said.by, size, said.head)


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).isoformat()
