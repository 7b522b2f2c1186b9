"""Opening a node's store."""

import contextlib

import apsw

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.errors import IncompatibleStore, StartupError
from littoral.core.hlc import HybridClock
from littoral.core.limits import Limits
from littoral.core.names import check_node_name
from littoral.core.random import Random
from littoral.core.resources.model import Storage
from littoral.security.store_key import StoreKey
from littoral.store import kv
from littoral.store.atomic import atomic
from littoral.store.bounds import Bounds
from littoral.store.budgets import Budgets
from littoral.store.checkpointer import Checkpointer
from littoral.store.committer import Committer
from littoral.store.database import DATABASE, open_database, open_reader, translated
from littoral.store.lineage import LINEAGE, LINEAGE_BYTES, read_former
from littoral.store.meta import put_meta, read_meta
from littoral.store.room import Room
from littoral.store.spill import spill_place
from littoral.store.store import Store
from littoral.store.writer import Writer

VERSION_FILE = "VERSION"
DIRECTORY_VERSION = 1
"""Version of the data directory as a whole; a greater one was written by a newer Littoral."""


def open_store(
    node: str,
    disk: Disk,
    clock: Clock,
    random: Random,
    limits: Limits,
    writer: Writer,
    key: StoreKey | None = None,
    storage: Storage | None = None,
    spill_disk: Disk | None = None,
) -> Store:
    """Open or create the store of `node` on `disk`, encrypted with `key` if one is given. Call with the event loop
    running. storage: what bounds it besides its limits; spill_disk: the directory that it names, if it does.

    Raises: IncompatibleStore, StorageError, StartupError if the directory is another node's, or the key is not the
    store's.
    """
    check_node_name(node)
    _check_directory(disk)
    # Who tries again after a failure finds no lock left behind.
    with contextlib.ExitStack() as opened, translated("open", disk.database_path(DATABASE)):

        def kept(connection: apsw.Connection) -> apsw.Connection:
            opened.callback(_close, connection)
            return connection

        connection = kept(open_database(disk, key))
        lineage = _identify(connection, disk, node, random)
        former = read_former(connection)
        hlc = HybridClock(clock, kv.greatest_hlc(connection))
        place = spill_place(node, storage, spill_disk, random)
        bounds = Bounds(Room(disk, clock, limits), Budgets(limits, storage), place)
        checkpointer = Checkpointer(connection, kept(open_reader(disk, key))) if disk.shared_memory else None
        committer = Committer(connection, node, lineage, clock, limits, hlc, bounds, checkpointer)
        reader = kept(open_reader(disk, key)) if disk.shared_memory else connection
        opened.pop_all()
    store = Store(node, lineage, connection, reader, writer, committer, bounds, former, checkpointer)
    writer.start(committer, store.published)
    return store


def _close(connection: apsw.Connection) -> None:
    with contextlib.suppress(apsw.Error):
        connection.close()


def _check_directory(disk: Disk) -> None:
    found = disk.read(VERSION_FILE)
    if found is None:
        disk.write(VERSION_FILE, f"{DIRECTORY_VERSION}\n".encode())
        return
    text = found.decode("ascii", "replace").strip()
    if not text.isdigit() or int(text) > DIRECTORY_VERSION:
        raise IncompatibleStore(
            "open",
            disk.database_path("."),
            f"{VERSION_FILE} says {text[:20]!r}, this Littoral knows up to {DIRECTORY_VERSION}",
            "Run the version of Littoral that wrote it, or a newer one",
        )


def _identify(connection: apsw.Connection, disk: Disk, node: str, random: Random) -> str:
    """The store's lineage; a new store is given one, and the node's name."""
    meta = read_meta(connection)
    if not meta:
        meta = {"node": node, LINEAGE: random.token_bytes(LINEAGE_BYTES).hex()}
        with atomic(connection):
            for key, value in meta.items():
                put_meta(connection, key, value)
    if meta["node"] != node:
        raise StartupError(
            "open",
            disk.database_path("."),
            f"it is the data directory of node {meta['node']!r}, not of {node!r}",
            "Give each node a directory of its own",
        )
    return meta[LINEAGE]
