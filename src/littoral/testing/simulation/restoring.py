"""A site's or a region's machine is lost, or its disk rots, and its store is restored from a backup that was made before.

What clients were promised by the node, and what is neither in the backup nor at the node's parent at that moment, is lost:
that much, and no more. `_lose` takes exactly that out of the ledger, so that the checks ask for all the rest. Clients that
kept a state of their own at the node (producers, devices) begin anew, under other names: what they are promised from then
on is in their streams, or, where it was written before the node met its parent, in `quarantine/`.

One node is restored in a run: with two on one way up, what only the other had would be lost as well.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import apsw
import msgspec

from littoral.core.errors import LittoralError
from littoral.core.kv import KvEntry
from littoral.iot.readings import READINGS, RawReading
from littoral.node.hub import Hub
from littoral.security.store_key import StoreKey
from littoral.store.check import check_store
from littoral.store.database import DATABASE, copy_database, open_database
from littoral.store.lineage import LINEAGE_BYTES, begin_lineage
from littoral.testing.disk import PowerCut, SimDisk
from littoral.testing.random import SeededRandom
from littoral.testing.simulation.forking import LOG
from littoral.testing.simulation.ledger import Remains, stamp
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.resources import SHARED
from littoral.testing.simulation.world import AGAIN_S, Violation, World
from littoral.testing.tree import SimNode

BACKUP = "backup.db"
QUARANTINE = "quarantine/"
"""Where the node puts what it wrote in place of what its parent has (littoral.streams.reclaim)."""
LATER_S = 900.0
"""What an event's `amount` is a part of: how long after the backup the machine is lost."""
RESTORING_S = 60.0
"""How long an operator takes to restore a store. What the node sent last has arrived by then: of a request that arrives only
after the node has met its parent again, the parent takes records that the node does not know of in this session."""
ROTTEN_S = 60.0
"""For so long a store that rots is used, at most, before it is looked at."""
ENTRIES_MOST = 10_000
ROOM_BYTES = 1 << 20
"""A disk with less is taken to be full."""

_decode_reading = msgspec.msgpack.Decoder(RawReading).decode


class Backup(msgspec.Struct, frozen=True):
    """A copy of a node's store, and what of the node's own is in it."""

    data: bytes
    key: StoreKey | None
    """What it is encrypted with."""
    parent: str
    """Of the node when it was made."""
    appended: list[bytes]
    windows: list[bytes]
    alerts: list[bytes]
    keys: dict[str, KvEntry]
    readings: dict[str, int]
    """By topic, how many numbered readings."""


async def restore(world: World, event: Event) -> None:
    """A backup of a node's store is made; later the machine is lost, with its identity or without, and another takes its
    place."""
    node, random = world.node(event.target), world.chance(event)
    backup = await _back_up(world, node, event)
    await _later(world, event)
    async with world.in_hand(node, dies=random.chance(0.7)):
        if world.lost or world.parents[node.name] != backup.parent:
            return
        world.lost = node.name
        world.note(node.name, "fault", "the machine is lost, and the store restored from the backup", event)
        await _restore(world, node, backup, with_identity=random.chance(0.5))


async def rot(world: World, event: Event) -> None:
    """A bit of a node's store flips while its power is off. It runs with that for a while, until the store is checked: where
    it is damaged, it is restored from a backup that was made before."""
    node, random = world.node(event.target), world.chance(event)
    backup = await _back_up(world, node, event)
    await _later(world, event)
    async with world.in_hand(node, dies=random.chance(0.5)):
        if world.lost or world.parents[node.name] != backup.parent or not _flip(world, node, random):
            return
        world.lost = node.name
        world.note(node.name, "fault", "a bit of the store flips", event)
    await asyncio.sleep(random.uniform(0.0, ROTTEN_S))
    async with world.in_hand(node, dies=random.chance(0.5)):
        found = await _damage(world, node)
        world.recoveries["rot found" if found else "rot where nothing was"] += 1
        if not found:
            return
        world.note(node.name, "fault", f"the store is restored, for it is damaged: {found}", event)
        await _restore(world, node, backup, with_identity=True)


async def _later(world: World, event: Event) -> None:
    await asyncio.sleep(min(event.amount * LATER_S, max(0.0, world.plan.quiet_s - world.now_s)))


# Backing up


async def _back_up(world: World, node: SimNode, event: Event) -> Backup:
    while True:
        if node.hub is not None:
            try:
                backup = _copy(world, node, node.hub)
            except (LittoralError, apsw.Error):
                world.recoveries["backup refused"] += 1
            else:
                world.note(node.name, "work", "an operator makes a backup", event)
                return backup
        await asyncio.sleep(AGAIN_S)


def _copy(world: World, node: SimNode, hub: Hub) -> Backup:
    """While it runs, as `littoral store backup` does."""
    disk, name = node.disk, node.name
    disk.remove(BACKUP)  # of one that was interrupted
    connection = hub.store.committer._connection  # noqa: SLF001 -- without shared memory there is no other
    copy_database(connection, BACKUP, node.store_key, new_key=False)
    data = disk.read(BACKUP)
    disk.remove(BACKUP)
    assert data is not None
    readings = [_decode_reading(record) for record in node.records(f"{name}/{READINGS}")]
    return Backup(
        data,
        node.store_key,
        world.parents[name],
        node.records(f"{name}/{LOG}"),
        node.records(f"{name}/windows"),
        node.records(f"{name}/alerts"),
        {entry.key: entry for entry in hub.store.kv_entries(SHARED, "", ENTRIES_MOST)},
        {
            topic: len({msgspec.json.decode(each.payload)["n"] for each in readings if each.topic == topic})
            for topic in {each.topic for each in readings}
        },
    )


# Damage


def _flip(world: World, node: SimNode, random: SeededRandom) -> bool:
    """Whether there was a bit to flip. Of an encrypted store it is any: each page has a tag. Of another it is one of a batch:
    what else the store holds has no checksums of ours, and SQLite has none."""
    part = None if node.store_key is not None else _payload(node, random)
    if part == b"":
        return False
    node.disk.cut_power("kept")
    node.disk.rot(DATABASE, random, part)
    world.hits["rot"] += 1
    node.disk.power_on()
    return True


def _payload(node: SimNode, random: SeededRandom) -> bytes:
    """Of some batch that lies in one piece in the file; empty if there is none."""
    with contextlib.suppress(LittoralError, apsw.Error), contextlib.closing(open_database(node.disk)) as connection:
        rows = connection.execute("SELECT payload FROM batches WHERE length(payload) BETWEEN 32 AND 1000 ORDER BY 1")
        payloads: list[Any] = [payload for (payload,) in rows.fetchall()]
        connection.pragma("wal_checkpoint(truncate)")
        content = node.disk.read(DATABASE) or b""
        random.shuffle(payloads)
        return next((payload for payload in payloads if content.count(payload) == 1), b"")
    return b""


async def _damage(world: World, node: SimNode) -> str:
    """What `littoral store check` says of it; empty if it is sound."""
    while True:
        node.disk.power_on()
        try:
            with contextlib.closing(open_database(node.disk, node.store_key)) as connection:
                report = check_store(connection)
                return "" if report.sound else str(report.problems[0])
        except PowerCut:
            pass
        except (LittoralError, apsw.Error) as error:
            if not _refuses(node.disk):
                return str(error)
        world.recoveries["store check refused"] += 1
        await asyncio.sleep(AGAIN_S)


def _refuses(disk: SimDisk) -> bool:
    """Whether a fault of another kind is on."""
    return not disk.powered or disk.failing or disk.read_only or disk.error_rate > 0 or disk.free_bytes() < ROOM_BYTES


# Restoring


async def _restore(world: World, node: SimNode, backup: Backup, *, with_identity: bool) -> None:
    """The node is off. with_identity: the disk there was is used again, with all on it but the store."""
    parent = world.node(backup.parent)
    await asyncio.sleep(RESTORING_S)
    await world.wait_for(lambda: parent.hub is not None and _lose(world, node, parent, backup))
    if not with_identity:
        world.invite(node)
    while True:
        node.disk.power_on()
        try:
            _put_back(node, backup, with_identity=with_identity)
        except (LittoralError, apsw.Error):
            world.recoveries["restore refused"] += 1
            await asyncio.sleep(AGAIN_S)
        else:
            break
    world.recoveries["store restored from a backup"] += 1


def _put_back(node: SimNode, backup: Backup, *, with_identity: bool) -> None:
    disk, node.store_key = node.disk, backup.key
    for path in disk.paths():
        if path.startswith(DATABASE) or not with_identity:
            disk.remove(path)
    disk.write(DATABASE, backup.data)
    with contextlib.closing(open_database(disk, node.store_key)) as connection:
        report = check_store(connection)
        if not report.sound:
            raise Violation("backups", f"that of {node.name} is damaged: {report.problems[0]}")
        begin_lineage(connection, node.random.token_bytes(LINEAGE_BYTES).hex(), node.clock.wall_ms())


# What is lost


def _lose(world: World, node: SimNode, parent: SimNode, backup: Backup) -> bool:
    """Let the ledger ask for no more than the backup and the parent have; False while the parent cannot be asked."""
    name, ledger = node.name, world.ledger
    try:
        appended, windows, alerts = (
            max(mine, parent.records(f"{name}/{path}"), key=len)
            for path, mine in ((LOG, backup.appended), ("windows", backup.windows), ("alerts", backup.alerts))
        )
        keys = {entry.key: entry for entry in parent.running.store.kv_entries(SHARED, "", ENTRIES_MOST)}
    except LittoralError:
        return False
    world.restores[name] += 1
    node.forget_devices()
    held = Counter(msgspec.json.decode(record)["p"] for record in appended)
    for place in [place for place in ledger.acknowledged if place[0] == name]:
        promised = min(ledger.acknowledged[place], held[place[1]])
        ledger.lost += ledger.acknowledged[place] - promised
        ledger.acknowledged[place] = promised
    for place in [place for place in ledger.readings if place[0] == name]:
        topic = place[1]
        ledger.remains[place] = Remains(
            _rows_of(topic, windows), _rows_of(topic, alerts), published=ledger.readings[place]
        )
        ledger.readings[place] = backup.readings.get(topic, 0)
    ledger.lose_writes(SHARED, lambda entry: entry.node == name and not _is_kept(entry, keys, backup.keys))
    ledger.seen = {place: entry for place, entry in ledger.seen.items() if place[0] != name}
    ledger.forks = {place: records for place, records in ledger.forks.items() if place[0] != name}
    return True


def _rows_of(topic: str, rows: list[bytes]) -> int:
    return sum(msgspec.json.decode(row)["key"] == topic for row in rows)


def _is_kept(entry: KvEntry, *tables: dict[str, KvEntry]) -> bool:
    """Whether a write, or one that wins over it, is in one of the tables."""
    return any((held := table.get(entry.key)) is not None and stamp(held) >= stamp(entry) for table in tables)
