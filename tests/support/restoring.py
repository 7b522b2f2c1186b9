"""Backups of simulated nodes' stores, and going back to them."""

import contextlib

from littoral.store.database import DATABASE, open_database
from littoral.store.lineage import begin_lineage
from littoral.testing.tree import SimNode


async def backed_up(node: SimNode) -> bytes:
    """What the store of a node is, which is switched off for it and on again."""
    await node.switch_off()
    data = node.disk.read(DATABASE)
    assert data is not None
    await node.start()
    return data


async def restored(node: SimNode, data: bytes) -> None:
    """Let the store be what it was; the node is switched off then. As `littoral.node.backup` does on a real disk."""
    await node.switch_off()
    node.disk.remove(f"{DATABASE}-wal")
    node.disk.write(DATABASE, data)
    with contextlib.closing(open_database(node.disk)) as connection:
        begin_lineage(connection, node.random.token_bytes(8).hex(), node.clock.wall_ms())
