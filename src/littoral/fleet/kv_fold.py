"""Applying the neighbours' key-value writes.

Rules:

- What the parent sends is applied: the desired state comes from there, too.
- A child writes the replicated namespaces that are placed on it or on a node below it. Its writes to any other are for
  the dead letters.
- What was followed from a former parent, and was not applied before the move, is applied as if it came from below: it is
  said to the present parent, too, as all of the table is then (`littoral.fleet.kv_parent`). The former parent may be lost
  before it has passed them on, and what is applied here and said to nobody would not win again when it comes from elsewhere.
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
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.desired import DesiredFold, desired_in, is_desired
from littoral.fleet.following import is_placed_among
from littoral.fleet.registry import MEMBERS, SUBTREE
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.kv import encode_entry, kv_namespace, stand_in
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.wire.peer import Member

APPLIED = "applied"
OUTDONE = "a later write or deletion of the key has won: nothing was changed"
ANEW = "written-anew"
"""Scope of the WrittenAnew by NAMESPACE/KEY; of use as long as any dead letter is open."""
WRITE = "write"
"""Who puts aside a doubtful write, with its namespace behind it: see DeadLetter.by."""


class WrittenAnew(msgspec.Struct, frozen=True, array_like=True):
    """A refused write, by its timestamp and node, and the timestamp it has since it was retried."""

    hlc: int
    node: str
    became: int


_encode = msgspec.msgpack.Encoder().encode
_decode_anew = msgspec.msgpack.Decoder(WrittenAnew).decode
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
    append_dead_letters(tx, dead_letters(source, str(refused), encode_entry(entry), tx.now_ms, f"{WRITE}/{namespace}"))


def _outdoes(tx: Transaction, namespace: str, entry: KvEntry) -> bool:
    """Whether the key holds what an earlier write than `entry` became when it was written anew: of several refused
    writes of a key the last one wins, in whatever order they are retried."""
    value = tx.get_state(ANEW, f"{namespace}/{entry.key}")
    held = tx.kv_get(namespace, entry.key)
    if value is None or held is None:
        return False
    anew = _decode_anew(value)
    return (held.hlc, held.node) == (anew.became, tx.node) and (entry.hlc, entry.node) > (anew.hlc, anew.node)


def _entry(source: object, record: bytes) -> KvEntry:
    try:
        return _decode(record)
    except UNDECODABLE as error:
        raise InvalidInput("apply write of", str(source), f"it is no key-value entry ({error})") from error


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
        entries = [_entry(source, record) for record in records]
        if source.origin == self._parent:
            self.merged_entries += len(tx.kv_merge_from_above(namespace, entries).won)
            return
        self._check_placed(tx, source, namespace)
        merged = tx.kv_merge_from_below(namespace, entries)
        self.merged_entries += len(merged.won) - len(merged.doubtful)
        self.refused_entries += len(merged.doubtful)
        for entry in merged.doubtful:
            put_write_aside(tx, str(source), namespace, entry, merged.horizon)

    def retry(self, tx: Transaction, source: StreamName, record: bytes) -> str:
        """Apply a record that was put aside once more; returns what came of it. Raises as `apply`."""
        namespace = kv_namespace(source.path)
        if namespace is None:
            raise InvalidInput("apply write of", str(source), "it is no stream of key-value writes")
        entry = _entry(source, record)
        if source.origin != self._parent:
            self._check_placed(tx, source, namespace)
            return self._write_again(tx, namespace, entry)
        won = tx.kv_merge_from_above(namespace, [entry]).won
        self.merged_entries += len(won)
        return APPLIED if won else OUTDONE

    def retry_write(self, tx: Transaction, namespace: str, record: bytes) -> str:
        """As `retry`, of a write that was put aside as doubtful."""
        subject = f"dead letter in namespace {namespace[:80]}"
        if desired_in(tx, Namespace, namespace) is None:
            raise InvalidInput("apply", subject, "there is no such Namespace", "Apply one with `littoral apply -f`")
        return self._write_again(tx, namespace, _entry(subject, record))

    def _write_again(self, tx: Transaction, namespace: str, entry: KvEntry) -> str:
        """Apply a write from below by last writer wins. Where nothing but doubt is against it, whoever retries it has
        taken that away: it is written anew, so that it wins wherever it was refused."""
        outdoes = _outdoes(tx, namespace, entry)
        merged = tx.kv_merge_from_below(namespace, [entry])
        if outdoes or merged.doubtful or stand_in(entry) in merged.buried:
            fresh = tx.kv_put(namespace, entry.key, entry.value, entry.expires_s, entry.metadata)
            anew = WrittenAnew(entry.hlc, entry.node, fresh.hlc)
            tx.put_state(ANEW, f"{namespace}/{entry.key}", _encode(anew))
            return f"written anew by {tx.node}"
        self.merged_entries += len(merged.won)
        return APPLIED if merged.won else OUTDONE

    def _check_placed(self, tx: Transaction, source: StreamName, namespace: str) -> None:
        if tx.get_state(SUBTREE, source.origin) is None:
            return  # It never was below: it was the parent.
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
