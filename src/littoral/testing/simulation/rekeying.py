"""An operator encrypts a node's store, gives it another key, or decrypts it: the node is off for that."""

import asyncio
import contextlib

import apsw

from littoral.core.errors import LittoralError, StorageCorrupt, Unavailable
from littoral.node.blob_encryption import decrypt_blobs
from littoral.security.store_key import KEY_BYTES, StoreKey
from littoral.store.check import CheckReport, check_store
from littoral.store.database import DATABASE, copy_database, open_database
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import AGAIN_S, Violation, World
from littoral.testing.tree import SimNode

ASIDE = "rekeyed.db"
DECRYPTS = 0.3
"""Of the events that meet an encrypted store."""


async def rekey(world: World, event: Event) -> None:
    """Write the store anew with another key, as `littoral store encrypt` does on a real disk."""
    node, random = world.node(event.target), world.chance(event)
    async with world.in_hand(node, dies=random.chance(0.5)):
        old, new = node.store_key, StoreKey(random.token_bytes(KEY_BYTES))
        key = None if old is not None and random.chance(DECRYPTS) else new
        world.note(node.name, "work", f"an operator {'decrypts' if key is None else 'encrypts'} its store", event)
        data: bytes | None = None
        while data is None or node.disk.read(DATABASE) != data:
            node.disk.power_on()
            try:
                if old is not None and key is None:
                    decrypt_blobs(node.disk, old)
                data = _rewritten(node, old, key)
                node.disk.write(DATABASE, data)
            except (StorageCorrupt, apsw.CorruptError):
                node.store_key = old  # its disk has rotted: another kind of work finds that
                return
            except (LittoralError, apsw.Error):
                # Where the power went the file may be in its place nevertheless.
                world.recoveries["rekey refused"] += 1
                await asyncio.sleep(AGAIN_S)
        node.store_key = key
    world.recoveries["store given another key"] += 1


def _rewritten(node: SimNode, old: StoreKey | None, new: StoreKey | None) -> bytes:
    """The new file, which was checked."""
    disk = node.disk
    node.store_key = new or old  # so that either file can be an encrypted one
    for path in (ASIDE, f"{ASIDE}-wal"):
        disk.remove(path)
    with contextlib.closing(open_database(disk, old)) as source:
        copy_database(source, ASIDE, new, new_key=True)
    if disk.read(f"{DATABASE}-wal"):
        raise Unavailable("encrypt", node.name, "its log could not be folded in")
    if not (report := _checked(node, new, ASIDE)).sound:
        if _checked(node, old, DATABASE).sound:
            raise Violation("encryption", f"the store of {node.name} is damaged by it: {report.problems[0]}")
        raise StorageCorrupt("encrypt", node.name, str(report.problems[0]))
    data = disk.read(ASIDE)
    disk.remove(ASIDE)
    assert data is not None
    return data


def _checked(node: SimNode, key: StoreKey | None, file: str) -> CheckReport:
    with contextlib.closing(open_database(node.disk, key, file)) as connection:
        return check_store(connection)
