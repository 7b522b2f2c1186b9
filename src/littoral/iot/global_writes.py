"""What the broker's disk has to do with other nodes, in the transaction that writes its sessions."""

from collections.abc import Sequence
from itertools import groupby

from littoral.iot.global_records import DELIVERY, append_published, tree_stream
from littoral.iot.session_store import Forward, Passed
from littoral.store.transaction import Transaction


def write_travelling(tx: Transaction, changes: Sequence[Forward | Passed]) -> None:
    """Append what goes to other nodes, and note how far this one is with what came from them. Raises as `tx.append`, and NotFound
    where the stream of what came is gone."""
    for way, group in groupby(changes, key=lambda each: each.way if isinstance(each, Forward) else None):
        if way is not None:
            append_published(tx, way, [each.message for each in group if isinstance(each, Forward)])
    for each in changes:
        if isinstance(each, Passed):
            tx.set_fold(DELIVERY, tree_stream(tx.node, each.name), each.next)
