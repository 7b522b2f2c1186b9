"""Applying the neighbours' key-value writes."""

from collections.abc import Sequence

import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.kv import KvEntry
from littoral.core.names import StreamName
from littoral.store.kv import kv_down_stream, kv_namespace, kv_stream
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction

_decode = msgspec.msgpack.Decoder(KvEntry).decode


class KvFold:
    """Merges the neighbours' writes into this node's table; what wins is published here in turn."""

    name = "kv"

    def __init__(self, node: str, parent: str) -> None:
        """parent: the parent's name; empty at the root."""
        self._node = node
        self._parent = parent
        self.merged_entries = 0
        """Entries that won. Counted on the writer."""

    def wants(self, info: StreamInfo) -> bool:
        return info.name.origin != self._node and kv_namespace(info.name.path) is not None

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        namespace = kv_namespace(source.path)
        assert namespace is not None, source
        try:
            entries = [_decode(record) for record in records]
        except msgspec.DecodeError as error:
            raise InvalidInput("apply write of", str(source), f"it is no key-value entry ({error})") from error
        from_above = source.origin == self._parent
        publish = (kv_down_stream if from_above else kv_stream)(self._node, namespace)
        self.merged_entries += len(tx.kv_merge(namespace, entries, publish))
