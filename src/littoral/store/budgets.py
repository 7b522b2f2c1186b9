"""What streams may hold at this node, and what happens at the end of it, decided without I/O.

    drop-oldest   the oldest batches are deleted, whoever has not read them (littoral.store.retention)
    reject        an append beyond it is refused, here and to neighbours; nothing that was acknowledged is lost
    spill         the oldest batches are moved to a second place (littoral.store.spill)

A stream's budget is what the node's document says of it, and else what it was made with. The budget of the node (limit
store-bytes) is over all streams, and met from those of the lanes in MAKING_ROOM. A stream that may neither be shortened
nor spilled is refused once the node is full.
"""

from collections.abc import Sequence

import msgspec

from littoral.core.errors import StorageFull
from littoral.core.lanes import Lane
from littoral.core.limits import STORE_BYTES, Limits
from littoral.core.names import SYSTEM_STREAMS, StreamName
from littoral.core.patterns import matches
from littoral.core.resources.model import BudgetPolicy, Storage, StreamBudget
from littoral.core.resources.units import parse_bytes, parse_duration_ms
from littoral.store.batch import HEADER_BYTES
from littoral.store.stream import StreamInfo

MAKING_ROOM: tuple[Lane, ...] = ("bulk", "telemetry")
"""Lanes whose streams are shortened, spilled or refused where all streams together are too large. What is folded into
state, and alerts, are not."""
SPILL_FROM = 0.875
"""Part of store-bytes from which on streams are spilled where that is the node's policy: before appends are refused."""
_FOLDED = frozenset(SYSTEM_STREAMS) - {"readings", "former", "quarantine"}
"""First parts of the paths of streams that are folded into the node's own state: a fold that meets a gap, or a place that
is not mounted, would lose what the node is."""


class Budget(msgspec.Struct, frozen=True):
    """Of one stream."""

    bytes: int
    age_ms: int | None
    policy: BudgetPolicy


class _Entry(msgspec.Struct, frozen=True):
    """Of the document, in numbers."""

    streams: Sequence[str]
    bytes: int | None
    age_ms: int | None
    policy: BudgetPolicy | None


class Budgets:
    """Of one node. Asked by the store's writer and by the event loop alike: it keeps nothing but what it was made with."""

    def __init__(self, limits: Limits, storage: Storage | None = None) -> None:
        """storage: of the node's document, which was checked before."""
        storage = storage or Storage()
        self._limits = limits
        self._entries = [_entry(each) for each in storage.streams]
        self._policy = storage.policy

    @property
    def over_from(self) -> int:
        """The bytes of all streams from which on some of them have to go."""
        most = self._limits[STORE_BYTES]
        return int(most * SPILL_FROM) if self._policy == "spill" else most

    def of(self, info: StreamInfo) -> Budget:
        """What a stream may hold."""
        entry = self._entry_of(info.name)
        if entry is None:
            return Budget(info.retention_bytes, info.retention_ms, info.policy)
        return Budget(
            info.retention_bytes if entry.bytes is None else entry.bytes,
            info.retention_ms if entry.age_ms is None else entry.age_ms,
            entry.policy or info.policy,
        )

    def relief(self, info: StreamInfo) -> BudgetPolicy:
        """What is done with the oldest of a stream where all streams together are too large; "reject": nothing."""
        if info.lane not in MAKING_ROOM:
            return "reject"
        own = self.of(info).policy
        return self._policy if own == "drop-oldest" else own

    def check(self, info: StreamInfo, adding_bytes: int, total_bytes: int) -> None:
        """Raise StorageFull where so much may not be added to a stream.

        total_bytes: that all streams hold.
        """
        budget = self.of(info)
        if budget.policy == "reject" and info.bytes + adding_bytes > budget.bytes:
            raise StorageFull(
                "append to stream",
                str(info.name),
                f"it holds {info.bytes} of the {budget.bytes} bytes of its budget, and its policy is reject",
                "Raise its bytes in spec.storage.streams, give it an age or another policy there, or delete the stream",
            )
        if total_bytes + adding_bytes <= self._limits[STORE_BYTES] or info.lane not in MAKING_ROOM:
            return
        if self.relief(info) != "drop-oldest":
            self._limits.hit(STORE_BYTES)
            raise StorageFull(
                "append to stream",
                str(info.name),
                f"the node's streams hold {total_bytes} bytes, limit store-bytes is {self._limits[STORE_BYTES]}, and"
                f" nothing of this stream may be dropped for it (policy {self.relief(info)})",
                "Raise limit store-bytes, make room in the spill directory, or let some streams drop their oldest",
            )

    def _entry_of(self, name: StreamName) -> _Entry | None:
        if not self._entries or name.path.partition("/")[0] in _FOLDED:
            return None
        return next((entry for entry in self._entries if matches(entry.streams, name)), None)


def stored_bytes_most(records_bytes: int, count: int) -> int:
    """The most that so many records can take in the store: they are compressed only where that makes them smaller."""
    return records_bytes + HEADER_BYTES * (count + 1)


def _entry(document: StreamBudget) -> _Entry:
    return _Entry(
        document.streams,
        None if document.bytes is None else parse_bytes(document.bytes),
        None if document.age is None else parse_duration_ms(document.age),
        document.policy,
    )
