"""Applying the neighbours' key-value writes.

Rules:

- What the parent sends is applied: the desired state comes from there, too.
- A child writes the replicated namespaces that are placed on it or on a node below it. Its writes to any other are for
  the dead letters.
- A child's write that is doubtful (`littoral.store.kv`) is refused, everywhere, and put aside at the node that refused
  it. The parent's is applied.
- A child may know of a namespace a moment before its parent has folded the same record. So nothing is refused while
  the desired state that is stored here is not folded here to its end: the fold waits.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from littoral.core.errors import Conflict, InvalidInput, Unavailable
from littoral.core.hlc import hlc_ms
from littoral.core.kv import KvEntry
from littoral.core.names import StreamName
from littoral.core.resources import Namespace
from littoral.fleet.desired import DesiredFold, desired_in, is_desired
from littoral.fleet.registry import MEMBERS, is_placed_among
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.kv import kv_namespace
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.wire.peer import Member

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KvEntry).decode
_decode_members = msgspec.msgpack.Decoder(list[Member]).decode


def put_write_aside(tx: Transaction, source: str, namespace: str, entry: KvEntry, horizon: int) -> None:
    """Say in the dead letters that a write is refused because its key may have been deleted since; horizon: up to where
    deletions were forgotten."""
    refused = Conflict(
        "apply write of",
        f"key {entry.key[:80]!r} in namespace {namespace}",
        f"{entry.node} made it at {_when(entry.hlc)}, and this node knows no longer which keys were deleted since: it has"
        f" forgotten deletions up to {_when(horizon)}",
        "Write it again if it is still wanted",
    )
    append_dead_letters(tx, dead_letters(source, str(refused), _encode(entry), tx.now_ms))


def _when(hlc: int) -> str:
    try:
        return datetime.fromtimestamp(hlc_ms(hlc) // 1000, tz=UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{hlc_ms(hlc)} ms since the epoch"  # a clock so wrong that a calendar does not go so far


class KvFold:
    """Merges the neighbours' writes into this node's table, where what wins is published in turn."""

    name = "kv"

    def __init__(self, node: str, parent: str) -> None:
        """parent: the parent's name; empty at the root."""
        self._node = node
        self._parent = parent
        self._desired: StreamName | None = None
        """The tree's desired state, once its stream was seen."""
        self.merged_entries = 0
        """Entries that won. Counted on the writer."""
        self.refused_entries = 0
        """Children's entries that were doubtful. Counted on the writer."""

    def wants(self, info: StreamInfo) -> bool:
        if is_desired(info, self._node, self._parent):
            self._desired = info.name
        return info.name.origin != self._node and kv_namespace(info.name.path) is not None

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        """See Fold.apply. Raises also Unavailable while it is not known here whether the child may write this."""
        namespace = kv_namespace(source.path)
        assert namespace is not None, source
        try:
            entries = [_decode(record) for record in records]
        except msgspec.DecodeError as error:
            raise InvalidInput("apply write of", str(source), f"it is no key-value entry ({error})") from error
        if source.origin == self._parent:
            self.merged_entries += len(tx.kv_merge_from_above(namespace, entries).won)
            return
        self._check_placed(tx, source, namespace)
        merged = tx.kv_merge_from_below(namespace, entries)
        self.merged_entries += len(merged.won) - len(merged.doubtful)
        self.refused_entries += len(merged.doubtful)
        for entry in merged.doubtful:
            put_write_aside(tx, str(source), namespace, entry, merged.horizon)

    def _check_placed(self, tx: Transaction, source: StreamName, namespace: str) -> None:
        info = tx.stream(source)
        child = info.via if info is not None else source.origin
        wanted = desired_in(tx, Namespace, namespace)
        if wanted is not None and wanted.spec.mode == "replicated":
            members = tx.get_state(MEMBERS, child)
            if members is not None and is_placed_among(wanted, _decode_members(members)):
                return
        if not self._knows_all(tx):
            raise Unavailable("apply write of", str(source), "the desired state is not folded to its end yet")
        cause = "there is no such Namespace" if wanted is None else "it is replicated to none of the nodes there"
        raise InvalidInput(
            "apply write of",
            str(source),
            f"{child} may not write the namespace {namespace[:80]}: {cause}",
            "Place the namespace on the node that writes it",
        )

    def _knows_all(self, tx: Transaction) -> bool:
        """Whether this node has folded all of the desired state that it holds, and that its children can have."""
        info = tx.stream(self._desired) if self._desired is not None else None
        if info is None:
            # Nothing was ever desired at the root; elsewhere it did not arrive yet.
            return not self._parent
        return tx.fold_offset(DesiredFold.name, info.name) >= info.next
