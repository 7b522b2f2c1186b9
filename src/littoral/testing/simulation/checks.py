"""What must be true of every run once its faults are over. Each check raises `Violation`.

    settled     nothing waits any more: nodes up, links up, queues empty, folds at their tails, nothing blocked
    CHECKS      what was promised: nothing acknowledged lost, nothing twice, order kept, folds right, tables equal

More are added to `CHECKS`.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from littoral.core.kv import KvEntry
from littoral.core.lanes import LANES
from littoral.core.names import StreamName
from littoral.fleet.desired import DesiredFold
from littoral.fleet.kv_fold import KvFold
from littoral.iot.readings import READINGS, RawReading
from littoral.node.hub import Hub
from littoral.store.batch import UNLINKED, Batch
from littoral.store.database import DATABASE
from littoral.store.dead_letters import DEAD_LETTERS
from littoral.store.kv import kv_namespace
from littoral.store.stream import StreamInfo
from littoral.testing.simulation.asking import check_asked
from littoral.testing.simulation.following import check_followers, followers_wait
from littoral.testing.simulation.forking import LOG, check_forks
from littoral.testing.simulation.ledger import Write, stamp
from littoral.testing.simulation.pouring import check_pours
from littoral.testing.simulation.resources import CENTRAL, LATENESS_S, LINES, SHARED, SPIKE_EVERY, WINDOW_S, value_of
from littoral.testing.simulation.restoring import QUARANTINE
from littoral.testing.simulation.world import Violation, World
from littoral.testing.tree import SimNode

Check = Callable[[World], None]
READ_ALL_BYTES = 1 << 30
ENTRIES_MOST = 10_000
SQLITE_HEADER = b"SQLite format 3\0"
EXPECTED_LETTERS = (
    "forgotten deletions",  # a write that came too late to be sure of, and was refused
    "records are gone",  # key-value writes that retention took before they were sent, and that are said again
)
"""What a node may put aside in a run: nothing else is wrong enough to be."""
NOT_IN_BACKUP = "its file is missing"
"""What a node whose store was restored says of blobs: a backup has their names, and not their bytes."""
_KIND = re.compile(r" of key '| over offsets|:")
"""Ends what is the same in the reasons of one kind."""

_decode_reading = msgspec.msgpack.Decoder(RawReading).decode


# Liveness


def settled(world: World) -> str:
    """Empty once nothing waits; otherwise what does."""
    if world.waiting:
        return f"{world.waiting} clients still wait for answers"
    for node in world.tree.nodes.values():
        if waits := _waits(world, node):
            return f"{node.name}: {waits}"
    return followers_wait(world) or _unequal(world)


def _waits(world: World, node: SimNode) -> str:
    hub = node.hub
    if hub is None:
        return "it is down"
    if hub.failed.is_set():
        return f"its work ended with {hub.failures[0]!r}"
    for device in node.devices:
        if device.unacknowledged:
            return f"{device.unacknowledged} readings are not acknowledged"
    return _folds_wait(hub) or _rules_wait(node, hub) or _link_waits(world, hub) or _budgets_wait(hub)


def _folds_wait(hub: Hub) -> str:
    for info in hub.store.streams():
        for fold in (KvFold.name, DesiredFold.name):
            if _folds(hub, fold, info) and hub.store.fold_offset(fold, info.name) < info.next:
                return f"the fold {fold} has not reached the end of {info.name}"
    return ""


def _rules_wait(node: SimNode, hub: Hub) -> str:
    for name, runner in hub.rules.runners.items():
        if runner.failed:
            return f"rule {name} waits: {runner.failed}"
        readings = hub.store.stream(_own(node, READINGS))
        if readings is not None and runner.offset < readings.next:
            return f"rule {name} has not reached the end of its readings"
    return ""


def _folds(hub: Hub, fold: str, info: StreamInfo) -> bool:
    if info.name.origin == hub.name:
        return False
    return kv_namespace(info.name.path) is not None if fold == KvFold.name else info.name.path == "desired"


def _link_waits(world: World, hub: Hub) -> str:
    uplink = hub.uplink
    if uplink is None:
        return ""
    for name, blocked in uplink.outbox.blocked.items():
        # Of a node that was moved away it may hold a copy that its parent does not take; the node itself sends all of it.
        if world.is_below(name.origin, hub.name):
            return f"{name} is blocked: {blocked.reason}"
    if not uplink.state.connected:
        return f"no link to its parent: {uplink.state.last_error}"
    for lane in LANES:
        if depth := uplink.outbox.depth(lane).records:
            return f"{depth} records wait in lane {lane}"
    return ""


def _budgets_wait(hub: Hub) -> str:
    for info in hub.store.streams():
        budget = hub.store.bounds.budgets.of(info)
        if info.bytes > budget.bytes and budget.policy != "reject" and not _is_one_batch(hub, info):
            return f"{info.name} holds {info.bytes} of {budget.bytes} bytes, and its policy is {budget.policy}"
    return ""


def _is_one_batch(hub: Hub, info: StreamInfo) -> bool:
    """Whether the store has a single batch of a stream, which is not spilled."""
    last = hub.store.read(info.name, info.next - 1, 1)
    return bool(last) and len(last[0].payload) == info.bytes


def _unequal(world: World) -> str:
    """What has not reached everybody yet."""
    root = world.root.running
    wanted = {key: each.revision for key, each in root.desired.wanted.items()}
    table = {space: _table(world.root, space) for space in (SHARED, LINES)}
    for node in world.tree.nodes.values():
        theirs = {key: each.revision for key, each in node.running.desired.wanted.items()}
        if theirs != wanted:
            return f"{node.name}: desired state differs from the root's"
        for space, entries in table.items():
            if (mine := _living(_table(node, space))) != _living(entries):
                return f"{node.name}: {space} differs from the root's: {_difference(mine, _living(entries))}"
    return ""


def _table(node: SimNode, space: str) -> dict[str, KvEntry]:
    return {entry.key: entry for entry in node.running.store.kv_entries(space, "", ENTRIES_MOST)}


def _living(table: dict[str, KvEntry]) -> dict[str, KvEntry]:
    return {key: entry for key, entry in table.items() if entry.value is not None}


def _difference(mine: dict[str, KvEntry], theirs: dict[str, KvEntry]) -> str:
    key = min(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
    return f"{key} is {mine.get(key)}, at the root {theirs.get(key)}"


# What was promised


def check_appends(world: World) -> None:
    """Every acknowledged append is in its node's stream and at every node above, once, in its producer's order; and
    nothing else is."""
    for (name, producer), sent in sorted(world.ledger.sent.items()):
        promised = world.ledger.acknowledged.get((name, producer), 0)
        for node in (world.node(name), *world.path_up(name)):
            mine = [record for record in _written(world, node, name, LOG) if _producer_of(record) == producer]
            if len(mine) < promised:
                raise Violation(
                    "acknowledged appends",
                    f"{name}/{LOG} at {node.name}: {producer} was promised {promised} records, {len(mine)} are there",
                )
            if mine != sent[: len(mine)]:
                raise Violation(
                    "exactly once, in order", f"{name}/{LOG} at {node.name}: {producer}: {_disorder(mine, sent)}"
                )


def _written(world: World, node: SimNode, name: str, path: str) -> list[bytes]:
    """The records of the node `name`'s stream as `node` holds it, after those that were put aside once it was restored."""
    aside = node.records(f"{name}/{QUARANTINE}{path}") if world.restores[name] else []
    return aside + node.records(f"{name}/{path}")


def _producer_of(record: bytes) -> str:
    return str(msgspec.json.decode(record)["p"])


def _disorder(mine: list[bytes], sent: list[bytes]) -> str:
    twice = [record for record, count in Counter(mine).items() if count > 1]
    if twice:
        return f"{twice[0]!r} is there {Counter(mine)[twice[0]]} times"
    place = next(place for place, record in enumerate(mine) if place >= len(sent) or record != sent[place])
    return f"record {place} is {mine[place]!r}"


def check_copies(world: World) -> None:
    """Whatever a node holds of another's stream is what the origin holds, and every chain of hashes is whole."""
    held: dict[tuple[str, int], tuple[str, bytes]] = {}
    compared: set[tuple[str, int, bytes]] = set()
    for node in world.tree.nodes.values():
        for info in node.running.store.streams():
            batches = node.running.store.read(info.name, info.first, READ_ALL_BYTES)
            stream = f"{info.name} {info.lineage}"
            for batch in batches:
                batch.check()
                if (stream, batch.first, batch.payload) in compared:
                    continue
                compared.add((stream, batch.first, batch.payload))
                for place, record in enumerate(batch.records(), batch.first):
                    where, other = held.setdefault((stream, place), (node.name, record))
                    if other != record:
                        raise Violation("copies", f"{info.name}@{place} differs between {where} and {node.name}")
            _check_chain(node, info, batches)


def _check_chain(node: SimNode, info: StreamInfo, batches: list[Batch]) -> None:
    before: Batch | None = None
    for batch in batches:
        # After a gap, where retention at the origin took what was not sent, nothing can be compared.
        follows = before is not None and batch.first == before.next
        if before is not None and follows and batch.chain_before not in (before.chain, UNLINKED):
            raise Violation("chains", f"{info.name} at {node.name}: the chain breaks at {batch.first}")
        before = batch
    if before is not None and (before.chain != info.chain or before.next != info.next):
        raise Violation("chains", f"{info.name} at {node.name}: its head is not its last batch")


def check_readings(world: World) -> None:
    """Every acknowledged reading is stored, and first stored in the device's order."""
    for (name, topic), count in sorted(world.ledger.readings.items()):
        records = [_decode_reading(record) for record in world.node(name).records(f"{name}/{READINGS}")]
        numbers = [msgspec.json.decode(each.payload)["n"] for each in records if each.topic == topic]
        first_seen = list(dict.fromkeys(numbers))
        missing = sorted(set(range(count)) - set(numbers))
        if missing:
            raise Violation("acknowledged readings", f"{name}: {len(missing)} of {count} are gone, first {missing[0]}")
        if first_seen != list(range(count)):
            raise Violation("order of readings", f"{name}: {first_seen[:20]}...")
        if len(numbers) > count:
            world.recoveries["reading sent again"] += len(numbers) - count


def check_folds(world: World) -> None:
    """Windows and alerts, at the site and at every node above, are what a recomputation from the readings gives."""
    for (name, topic), count in sorted(world.ledger.readings.items()):
        remains = world.ledger.remains.get((name, topic))
        windows, alerts = _recomputed(count if remains is None else remains.published)
        for node in (world.node(name), *world.path_up(name)):
            found = [_window_of(row) for row in _rows(world, node, name, "windows", topic)]
            numbers = [row["sequence"] for row in _rows(world, node, name, "alerts", topic)]
            for what, mine, theirs, least in (
                ("windows", found, windows, remains.windows if remains else None),
                ("alerts", numbers, alerts, remains.alerts if remains else None),
            ):
                if not _is_folded(mine, theirs, least):
                    raise Violation("folds", f"{what} of {name} at {node.name}: {_first_other(mine, theirs)}")


def _is_folded(found: list[Any], wanted: list[Any], least: int | None) -> bool:
    """Whether rows are as they should be. least: what the store was restored to has at least so many of them, and then
    perhaps some again, for the rule goes on from where it was at the backup."""
    if least is None:
        return found == wanted
    return found[:least] == wanted[:least] and all(row in wanted for row in found)


def _rows(world: World, node: SimNode, name: str, path: str, topic: str) -> list[dict[str, Any]]:
    """Of a device that was given up, those that were put aside are not of interest: they are of before that."""
    records = (
        node.records(f"{name}/{path}") if (name, topic) in world.ledger.remains else _written(world, node, name, path)
    )
    return [row for row in map(msgspec.json.decode, records) if row["key"] == topic]


def _window_of(row: dict[str, Any]) -> "WindowRow":
    return row["start"] // 1000, row["count"], row["min"], row["max"], round(row["mean"], 6)


WindowRow = tuple[int, int, float, float, float]


def _recomputed(count: int) -> tuple[list[WindowRow], list[int]]:
    windows = []
    for start in range(0, count, WINDOW_S):
        if start + WINDOW_S + LATENESS_S <= count - 1:
            values = [value_of(number) for number in range(start, start + WINDOW_S)]
            windows.append((start, len(values), min(values), max(values), round(sum(values) / len(values), 6)))
    return windows, list(range(SPIKE_EVERY - 1, count, SPIKE_EVERY))


def _first_other(found: list[object] | list[int] | list[WindowRow], wanted: list[int] | list[WindowRow]) -> str:
    for place, (mine, theirs) in enumerate(zip(found, wanted, strict=False)):
        if mine != theirs:
            return f"number {place} is {mine}, not {theirs}"
    return f"{len(found)} instead of {len(wanted)}"


def check_keys(world: World) -> None:
    """Every key is what the last write made it: an acknowledged one, or a later one that was asked for."""
    refused = _refused_writes(world)
    for space in (SHARED, CENTRAL):
        table = _table(world.root, space)
        for key, entry in sorted(table.items()):
            if entry.value is not None and not _asked_for(world, space, entry):
                raise Violation("last writer wins", f"{space}/{key} is {entry}, which nobody wrote")
        for (its, key), newest in sorted(world.ledger.newest.items()):
            if its == space:
                _check_key(world, space, newest, table.get(key), refused)


def _check_key(world: World, space: str, newest: KvEntry, held: KvEntry | None, refused: set[bytes]) -> None:
    if held is not None and stamp(held) >= stamp(newest):
        if held.value is None and newest.value is not None and not _was_deleted(world, space, held, newest, refused):
            raise Violation("last writer wins", f"{space}/{newest.key} was deleted by nobody: {held}, after {newest}")
        return
    if (held is None or held.value is None) and world.ledger.doubtful.get((space, newest.key), (0, "")) > stamp(newest):
        return  # the deletion was not lost, but forgotten
    if newest.value is None and (held is None or held.value is None):
        return  # the tombstone was forgotten, and another may have taken its place
    if newest.value is not None and held is None and newest.value in refused:
        return
    raise Violation("last writer wins", f"{space}/{newest.key} is {held}; {newest} was acknowledged")


def _was_deleted(world: World, space: str, held: KvEntry, newest: KvEntry, refused: set[bytes]) -> bool:
    """Whether a client asked for that deletion, or the write was refused, in as many words, as older than what the tree
    remembers of deletions."""
    return (
        Write(held.node, space, held.key, None) in world.ledger.asked
        or _central(world, space, held.key)
        or newest.value in refused
    )


def _central(world: World, space: str, key: str) -> bool:
    """A write through the tree has the root's name, whoever asked for it."""
    return space == CENTRAL and any(each.key == key and each.value is None for each in world.ledger.asked)


def _asked_for(world: World, space: str, entry: KvEntry) -> bool:
    if space == CENTRAL:
        return any(each.key == entry.key and each.value == entry.value for each in world.ledger.asked)
    return Write(entry.node, space, entry.key, entry.value) in world.ledger.asked


def _refused_writes(world: World) -> set[bytes]:
    """The values of writes that are in a node's dead letters."""
    values: set[bytes] = set()
    for node in world.tree.nodes.values():
        for letter in letters_of(node):
            world.recoveries["put aside: " + _KIND.split(letter["reason"], maxsplit=1)[0]] += 1
            entry = _entry_in(letter)
            if entry is not None and entry.value is not None:
                values.add(entry.value)
    return values


def letters_of(node: SimNode) -> list[dict[str, str]]:
    """A node's own dead letters."""
    return [msgspec.json.decode(record) for record in node.records(f"{node.name}/{DEAD_LETTERS}")]


def _entry_in(letter: dict[str, str]) -> KvEntry | None:
    try:
        return msgspec.msgpack.decode(msgspec.json.decode(f'"{letter["record"]}"', type=bytes), type=KvEntry)
    except msgspec.DecodeError:
        return None


def check_desired(world: World) -> None:
    """What the operator was told is desired is what all nodes want."""
    wanted = {key: each.revision for key, each in world.root.running.desired.wanted.items()}
    for key, revision in sorted(world.ledger.desired.items()):
        if wanted.get(key) != revision:
            raise Violation("desired state", f"{key} is at {wanted.get(key)}; {revision} was acknowledged last")


def check_bounds(world: World) -> None:
    """Streams keep to their retention, and nothing is put aside that should not be."""
    for node in world.tree.nodes.values():
        hub = node.running
        for info in hub.store.streams():
            if info.bytes > info.retention_bytes + hub.limits.overrides.get("batch-bytes", 1 << 18):
                raise Violation(
                    "bounds", f"{info.name} at {node.name}: {info.bytes} bytes, {info.retention_bytes} allowed"
                )
        for letter in letters_of(node):
            if not any(words in letter["reason"] for words in _expected_letters(world, node)):
                raise Violation("dead letters", f"{node.name}: {letter['source']}: {letter['reason']}")


def check_encryption(world: World) -> None:
    """A store is encrypted where its node has a key, and nowhere else."""
    for node in world.tree.nodes.values():
        is_plain = (node.disk.read(DATABASE) or b"").startswith(SQLITE_HEADER)
        if is_plain is (node.store_key is not None):
            raise Violation("encryption", f"the store of {node.name} is {'not ' if is_plain else ''}encrypted")


def _expected_letters(world: World, node: SimNode) -> list[str]:
    expected = [*EXPECTED_LETTERS]
    if world.restores[node.name]:
        expected.append(NOT_IN_BACKUP)
    return expected


CHECKS: dict[str, Check] = {
    "appends": check_appends,
    "forks": check_forks,
    "followers": check_followers,
    "inbox": check_asked,
    "pours": check_pours,
    "copies": check_copies,
    "readings": check_readings,
    "folds": check_folds,
    "keys": check_keys,
    "desired": check_desired,
    "bounds": check_bounds,
    "encryption": check_encryption,
}


def _own(node: SimNode, path: str) -> StreamName:
    return StreamName(node.name, path)
