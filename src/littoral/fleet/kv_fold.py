"""Applying the neighbours' key-value writes.

Rules:

- What the parent sends is applied: the desired state comes from there, too.
- A child writes the replicated namespaces that are placed on it or on a node below it. Its writes to any other are for
  the dead letters.
- A child may know of a namespace a moment before its parent has folded the same record. So nothing is refused while
  the desired state that is stored here is not folded here to its end: the fold waits.
"""

from collections.abc import Sequence

import msgspec

from littoral.core.errors import InvalidInput, Unavailable
from littoral.core.kv import KvEntry
from littoral.core.names import StreamName
from littoral.core.resources import Namespace
from littoral.fleet.desired import DesiredFold, desired_in, is_desired
from littoral.fleet.registry import MEMBERS, is_placed_among
from littoral.store.kv import kv_down_stream, kv_namespace, kv_stream
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.wire.peer import Member

_decode = msgspec.msgpack.Decoder(KvEntry).decode
_decode_members = msgspec.msgpack.Decoder(list[Member]).decode


class KvFold:
    """Merges the neighbours' writes into this node's table; what wins is published here in turn."""

    name = "kv"

    def __init__(self, node: str, parent: str) -> None:
        """parent: the parent's name; empty at the root."""
        self._node = node
        self._parent = parent
        self._desired: StreamName | None = None
        """The tree's desired state, once its stream was seen."""
        self.merged_entries = 0
        """Entries that won. Counted on the writer."""

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
        from_above = source.origin == self._parent
        if not from_above:
            self._check_placed(tx, source, namespace)
        publish = (kv_down_stream if from_above else kv_stream)(self._node, namespace)
        self.merged_entries += len(tx.kv_merge(namespace, entries, publish))

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
