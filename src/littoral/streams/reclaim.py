"""Getting back what a restored store lacks of this node's own streams, from the parent, which has it.

    at hello       the parent says how far it has each stream: further than we, or another history's -> look closer
    look closer    what was appended here since the store was restored, if the parent has other records in its place,
                   goes into the stream `quarantine/<path>`, which goes up like any other
    fetch          the parent's records from there on, as long as chains agree
    cannot now     what the parent cannot give, or this disk not take, is tried again ever more rarely; all else goes on
    too late       what was on its way when the store was lost may come to the parent after the hello: what follows then
                   diverges there, and a new session looks at it
    at the end     the stream goes on from the parent's history, and is sent again

So the parent never has to give up anything, and what both have written is there in the end. Only a restored store knows
which of its records are of after the backup (their lineage says so): where any other has gone another way than the parent,
the stream is blocked, and nothing is moved.

Key-value writes are not put aside: the last one wins wherever they meet, so what the table holds is appended again. The
table gets what it lacks as ever, by the parent's own stream of the namespace.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from littoral.core.backoff import Backoff
from littoral.core.errors import (
    Conflict,
    Diverged,
    InvalidInput,
    LimitReached,
    LittoralError,
    NotFound,
    PeerUnreachable,
    StorageCorrupt,
    StorageError,
    Unavailable,
)
from littoral.core.names import StreamName, check_stream_path
from littoral.store.batch import StoredBatch
from littoral.store.kv import KV_STREAMS, kv_namespace
from littoral.store.lineage import is_lost
from littoral.store.replica import Verdict, begins_anew, lineage_parts
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.blocked import Blocked, BlockedKind
from littoral.streams.kv_again import UNSENT
from littoral.streams.outbox import Outbox
from littoral.streams.uplink_state import UplinkState
from littoral.wire.peer import Mark

QUARANTINE = "quarantine/"
"""Below this path a node keeps what it wrote in place of what it had lost."""
FLEETING = ("status",)
"""Streams of reports that the next one replaces: what of them was written in place of others is not kept."""
_log = logging.getLogger("littoral.hub")

Read = Callable[[StreamName, int], Awaitable[Sequence[StoredBatch]]]
"""The parent's batches of a stream from an offset on."""


class Reclaim:
    """What one session has to fetch back."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        read: Read,
        ready: Callable[[], None],
        state: UplinkState,
        backoff: Backoff,
    ) -> None:
        """ready: called when a stream can be sent again; backoff: of what cannot be had just now."""
        self._store = store
        self._outbox = outbox
        self._read = read
        self._ready = ready
        self._state = state
        self._backoff = backoff
        self._marks: list[Mark] = []
        self._compared: dict[StreamName, int] = {}
        """Where the parent had each stream when it was compared last, or was to be because it had diverged."""

    def begin(self, marks: Iterable[Mark]) -> None:
        """At hello: of which streams the parent has how much. Streams that have to be looked at are not sent for now."""
        self._marks = []
        # What was put aside before has to be back before more is put there.
        for mark in sorted(marks, key=lambda mark: not mark.path.startswith(QUARANTINE)):
            name = StreamName(mark.origin, mark.path)
            info = self._store.stream(name)
            if name.origin != self._store.node or not mark.next:
                continue
            if info is not None and self._has_another(info, mark):
                reason = "the parent has another of its name, which was deleted here before the restore"
                self._outbox.block(name, "another", reason)
            elif self._lacks(info, mark):
                self._outbox.block(name, "compared", "it is compared with what the parent has of it")
                self._outbox.set_mark(name, 0)  # what it has may be none of ours
                self._marks.append(mark)
                self._compared[name] = mark.next

    def is_behind(self, name: StreamName, at_parent: int) -> bool:
        """Whether a stream whose records diverge at the parent is to be compared, by a new session: where the store was
        restored, and once for each place up to which the parent has it."""
        if name.origin != self._store.node or not self._store.former or self._compared.get(name) == at_parent:
            return False
        self._compared[name] = at_parent
        return True

    def _has_another(self, info: StreamInfo, mark: Mark) -> bool:
        """Whether the parent's is a stream that had been deleted here when the backup was made."""
        parts = lineage_parts(mark.lineage)
        if not self._store.former or parts is None or parts[0] == self._store.lineage or parts[1] == info.id:
            return False
        return not self._is_lost(mark)

    def _lacks(self, info: StreamInfo | None, mark: Mark) -> bool:
        """Whether the parent may have what is missing here."""
        if info is None:
            return self._is_lost(mark)
        if info.reach == "node" or begins_anew(info.lineage, mark.lineage):
            return False
        return mark.next > info.next or (bool(self._store.former) and mark.lineage != info.lineage)

    def _is_lost(self, mark: Mark) -> bool:
        return is_lost(mark.lineage, self._store.lineage, self._store.former)

    async def run(self) -> None:
        """Fetch what is missing, and what cannot be had just now, again and again. Raises PeerUnreachable, and what else
        ends a session."""
        self._backoff.reset()
        while self._marks:
            waiting: list[Mark] = []
            least_s = 0.0
            for mark in self._marks:
                name = StreamName(mark.origin, mark.path)
                try:
                    if _waits_for(name, waiting):
                        waiting.append(mark)
                        continue
                    blocked = await self._take_back(name, mark)
                except PeerUnreachable:
                    raise
                except (InvalidInput, StorageCorrupt, Conflict, NotFound) as error:
                    blocked = Blocked(_kind(error), str(error))
                except (LimitReached, Unavailable, StorageError) as error:
                    waiting.append(mark)
                    blocked = Blocked("compared", f"it is tried again later: {error}")
                    least_s = max(least_s, error.retry_after_s if isinstance(error, Unavailable) else 0.0)
                self._settle(name, blocked)
            self._marks = waiting
            self._ready()
            if waiting:
                await asyncio.sleep(self._backoff.next_delay_s(least_s=least_s))

    def _settle(self, name: StreamName, blocked: Blocked | None) -> None:
        """Let a stream be sent again, or say why it is not."""
        if blocked is None:
            self._outbox.blocked.pop(name, None)
        elif self._outbox.blocked.get(name) != blocked:
            self._outbox.blocked[name] = blocked
            _log.warning("%s: not sent: %s", name, blocked.reason)

    async def _take_back(self, name: StreamName, mark: Mark) -> Blocked | None:
        """Bring one stream to where the parent has it; returns why it cannot be, if so."""
        offset = await self._begin_at(name)
        while offset < mark.next:
            frame = await self._read(name, offset)
            if not frame:
                return Blocked("unreadable", f"the parent has it up to {mark.next}, and does not give it back")
            taken = await self._store.submit(partial(self._take, name, frame))
            if taken.put_aside and (aside := _aside(name)) is not None:
                _log.warning("%s: %d records of since the restore are in %s now", name, taken.put_aside, aside)
            _log.warning("%s: records [%d, %d) are back from the parent", name, offset, taken.next)
            self._state.put_aside_records += taken.put_aside
            self._state.fetched_back_records += taken.next - offset
            offset = taken.next
        self._outbox.set_mark(name, mark.next)
        return None

    async def _begin_at(self, name: StreamName) -> int:
        """From where on the parent's records are wanted, if it has any there."""
        info = self._store.stream(name)
        if info is None:
            return 0
        return await self._store.submit(lambda tx: tx.went_on_at(name)) if self._store.former else info.next

    def _take(self, name: StreamName, frame: Sequence[StoredBatch], tx: Transaction) -> "_Taken":
        """Append the parent's batches in place of what was appended since the restore: in one transaction, for more may be
        appended at any time."""
        put_aside = _make_room(tx, name) if self._store.former else 0
        before = tx.stream(name)
        at = before.next if before is not None else 0
        for stored in frame:
            outcome = tx.take_back(stored)
            if outcome.verdict not in (Verdict.APPEND, Verdict.TRIM, Verdict.SKIP):
                raise Diverged(
                    "take back",
                    str(name),
                    f"this store is older than its own history, and went on in another way ({outcome.verdict.value} at"
                    f" offset {at})",
                )
            at = outcome.next
        return _Taken(at, put_aside)


def _kind(error: LittoralError) -> BlockedKind:
    """What an error of bringing a stream back says of it."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, Conflict):
        return "forked"
    return "damaged" if isinstance(error, StorageCorrupt) else "unreadable"


class _Taken(NamedTuple):
    """What became of a frame."""

    next: int
    put_aside: int
    """Records of since the restore."""


def _make_room(tx: Transaction, name: StreamName) -> int:
    """Put aside what was appended since the restore; returns how many records that were. Raises Conflict where a fork needs
    them."""
    head, at = tx.stream(name), tx.went_on_at(name)
    if head is None or at == head.next:
        return 0
    if not tx.cut_back(name, at, _aside(name)):
        raise Conflict("take back", str(name), f"it was forked beyond {at}, and the parent has other records there")
    if (namespace := _namespace(name)) is not None:
        tx.put_state(UNSENT, namespace, b"")
    return head.next - at


def _aside(name: StreamName) -> StreamName | None:
    """Where records of the stream are put; None where they are not. Raises InvalidInput for a path that is too long."""
    if _namespace(name) is not None or name.path in FLEETING:
        return None
    return StreamName(name.origin, check_stream_path(QUARANTINE + name.path))


def _waits_for(name: StreamName, waiting: Iterable[Mark]) -> bool:
    """Whether what would be put aside of a stream goes where something is still to be brought back. Raises InvalidInput."""
    aside = _aside(name)
    return any(StreamName(mark.origin, mark.path) == aside for mark in waiting)


def _namespace(name: StreamName) -> str | None:
    """Whose writes are in the stream."""
    return kv_namespace(name.path) if name.path.startswith(KV_STREAMS) else None
