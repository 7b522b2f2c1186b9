"""What a node knows of its blobs: the rows of the table, as committed, and what of them is not kept on disk yet."""

import bisect
from collections.abc import Callable, Iterable

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import NotFound
from littoral.store.blob_rows import BlobRow, blob_name
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.transaction import Transaction


class BlobTable:
    """See `littoral.store.blobs.Blobs`."""

    def __init__(self, store: Store, clock: Clock, parent: str) -> None:
        """parent: its name, or empty at the root."""
        self.parent = parent
        self._store = store
        self._clock = clock
        self._rows: dict[str, BlobRow] = {}
        self._digests: list[str] = []
        """Of the rows, in order."""
        self._waiting: dict[str, None] = {}
        """Whole blobs that are to go to the parent, the oldest first."""
        self.held_bytes = 0
        """Of all blobs here, those included that are on their way with all that is still to come."""
        self._used: dict[str, int] = {}
        """When blobs were used, where that is not kept on disk yet."""
        self._watchers: list[Callable[[str], None]] = []

    # Looking

    def row(self, digest: str) -> BlobRow | None:
        """What is known of a blob; None of one that is not here, nor any part of it."""
        row = self._rows.get(digest)
        if row is None or digest not in self._used:
            return row
        return msgspec.structs.replace(row, used_ms=self._used[digest])

    def rows(self, after: str = "", most: int | None = None) -> list[BlobRow]:
        """Those with digests greater than `after`, by digest, at most so many; also those of which only a part is here."""
        start = bisect.bisect_right(self._digests, after)
        digests = self._digests[start : None if most is None else start + most]
        return [row for digest in digests if (row := self.row(digest)) is not None]

    @property
    def count(self) -> int:
        """How many there are, also of which only a part is here."""
        return len(self._rows)

    def waiting(self) -> list[BlobRow]:
        """Whole blobs that are to go to the parent, the oldest first."""
        return [self._rows[digest] for digest in self._waiting]

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed` with the digest of every blob that has got further, or is gone; returns what ends it."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def note_above(self, digest: str) -> None:
        """The parent has it. Nothing is noted of what is not here as a whole any more, and may be another's by now."""
        row = self._rows.get(digest)
        if row is not None and row.complete:
            await self._change(digest, above=self.parent, refused="")

    async def refuse(self, digest: str, reason: str) -> None:
        """The parent does not take it: it is not sent again unless somebody asks, and put into the dead letters."""
        now_ms = self._clock.wall_ms()

        def give_up(tx: Transaction) -> BlobRow | None:
            append_dead_letters(tx, dead_letters(f"blob {blob_name(digest)}", reason, b"", now_ms))
            return tx.change_blob(digest, refused=reason)

        self._take_over(digest, await self._store.submit(give_up))

    async def _change(self, digest: str, **changes: object) -> None:
        self._take_over(digest, await self._store.submit(lambda tx: tx.change_blob(digest, **changes)))

    def _take_over(self, digest: str, row: BlobRow | None) -> None:
        """A row as it was committed."""
        if row is not None and digest in self._rows:
            self._set(row)
            self._tell(digest)

    def _set(self, row: BlobRow) -> None:
        """The blob is now this."""
        digest, held = row.digest, self._rows.get(row.digest)
        if held is None:
            bisect.insort(self._digests, digest)
        self.held_bytes += row.size - (held.size if held is not None else 0)
        self._rows[digest] = row
        if self.parent and row.complete and row.send and row.above != self.parent and not row.refused:
            self._waiting.setdefault(digest)
        else:
            self._waiting.pop(digest, None)

    def _forget(self, digest: str) -> None:
        """The blob is gone."""
        if (row := self._rows.pop(digest, None)) is not None:
            self.held_bytes -= row.size
            del self._digests[bisect.bisect_left(self._digests, digest)]
        self._used.pop(digest, None)
        self._waiting.pop(digest, None)

    def _load(self, rows: Iterable[BlobRow]) -> None:
        """At the start: these are there."""
        for row in sorted(rows, key=lambda row: (row.created_ms, row.digest)):
            self._set(row)

    def _touch(self, digest: str) -> None:
        if digest in self._rows:
            self._used[digest] = self._clock.wall_ms()

    def _tell(self, digest: str) -> None:
        for changed in tuple(self._watchers):
            changed(digest)

    async def _keep_uses(self) -> None:
        used = {digest: at_ms for digest, at_ms in self._used.items() if at_ms != self._rows[digest].used_ms}
        if not used:
            return

        def keep(tx: Transaction) -> list[BlobRow | None]:
            return [tx.change_blob(digest, used_ms=at_ms) for digest, at_ms in used.items()]

        for row in await self._store.submit(keep):
            if row is not None and row.digest in self._rows:
                self._set(row)


def missing(operation: str, digest: str) -> NotFound:
    """The error for a blob of which nothing is here."""
    return NotFound(f"{operation} blob", blob_name(digest), "there is no such blob on this node")
