"""Snapshots of what is folded: taken over whole, whatever single items are worth, and nothing that was withdrawn stays."""

import asyncio
from functools import partial

import msgspec

from littoral.core.http import Request, Response
from littoral.core.kv import KvEntry
from littoral.core.resources import Namespace
from littoral.fleet.desired import DESIRED, DesiredFold, DesiredRecord, record_of, submit_desired
from littoral.fleet.kv_fold import KvFold
from littoral.fleet.purges import PurgeFold
from littoral.fleet.snapshots import ENTRIES_AT_ONCE, FoldSnapshots
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import SnapshotPart
from littoral.testing.clock import EPOCH_MS
from littoral.testing.loop import run
from littoral.testing.tree import SimTree
from tests.support.stores import SimStore, name, records_of

FAR_AHEAD = 1 << 62


def snapshots_of(store: Store, parent: str = "cloud") -> FoldSnapshots:
    return FoldSnapshots(store, KvFold(store.node, parent), DesiredFold(store.node, parent), PurgeFold(parent))


def namespace(text: str, tiers: tuple[str, ...] = ()) -> Namespace:
    spec = {"placement": {"tiers": list(tiers)}} if tiers else {}
    document = {"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": text}, "spec": spec}
    return msgspec.convert(document, Namespace)


def put(n: int, tx: Transaction) -> None:
    tx.kv_put("lines", f"k{n:02}", bytes(100))


def hold(record: DesiredRecord, tx: Transaction) -> None:
    tx.put_state(DESIRED, record.key, msgspec.msgpack.encode(record))


def test_what_the_snapshot_does_not_hold_was_withdrawn():
    async def main() -> None:
        root = SimStore("cloud").open()
        kept, withdrawn = (record_of(namespace(text), None) for text in ("kept", "withdrawn"))
        await root.submit(lambda tx: submit_desired(tx, [kept]))
        await root.submit(lambda tx: tx.put_state(DESIRED, kept.key, msgspec.msgpack.encode(kept)))
        site = SimStore("plant-a").open()
        for record in (kept, withdrawn):
            await site.submit(partial(hold, record))
        stream = name("cloud/desired")
        theirs, ours = snapshots_of(root, ""), snapshots_of(site)
        part = theirs.part(stream, None, 1 << 20)
        await site.submit(lambda tx: tx.open_stream(stream))
        # A first try broke off after something that is no longer there.
        await site.submit(lambda tx: ours.begin(tx, stream))
        await site.submit(
            lambda tx: ours.take(tx, stream, SnapshotPart(msgspec.msgpack.encode([withdrawn]), None), None)
        )
        await site.submit(lambda tx: ours.begin(tx, stream))
        await site.submit(lambda tx: ours.take(tx, stream, part, None))
        assert set(site.state(DESIRED)) == {kept.key, withdrawn.key}, "until all of it has come, all stays"
        await site.submit(lambda tx: ours.finish(tx, stream, 1, 0))
        assert set(site.state(DESIRED)) == {kept.key}

    run(main)


def test_an_entry_that_cannot_be_applied_is_put_aside_and_the_others_are_taken():
    async def main() -> None:
        site = SimStore("plant-a").open()
        ours = snapshots_of(site)
        entries = [
            KvEntry("a", b"1", 1, "cloud"),
            KvEntry("b", b"2", FAR_AHEAD, "cloud"),
            KvEntry("c", b"3", 1, "cloud"),
        ]
        part = SnapshotPart(msgspec.msgpack.encode(entries), None)
        await site.submit(lambda tx: ours.take(tx, name("cloud/kv/lines"), part, None))
        await site.submit(
            lambda tx: ours.take(
                tx, name("cloud/desired"), SnapshotPart(msgspec.msgpack.encode(["nonsense"]), None), None
            )
        )
        assert [entry.key for entry in site.kv_entries("lines", "", 10)] == ["a", "c"]
        letters = [msgspec.json.decode(record) for record in records_of(site, name("plant-a/dead-letters"))]
        assert "ahead of this node's clock" in letters[0]["reason"]
        assert letters[1]["source"] == "snapshot of cloud/desired"

    run(main)


def test_what_was_deleted_at_the_parent_does_not_live_here_for_an_older_tombstone_that_is_there():
    async def main() -> None:
        site = SimStore("plant-a").open()
        stream, snapshots = name("cloud/kv/lines"), snapshots_of(site)
        older, lives = KvEntry("k", None, 100, "plant-a"), KvEntry("k", b"written later", 200, "eu")
        await site.submit(lambda tx: tx.kv_merge_from_above("lines", [lives]))
        # The parent has deleted it at 300 and forgotten that, and has heard of our deletion since.
        part = SnapshotPart(msgspec.msgpack.encode([msgspec.structs.astuple(older)]), None, 300)
        await site.submit(lambda tx: snapshots.take(tx, stream, part, None))
        held = site.kv_get("lines", "k")
        assert held is not None
        assert held.value is None
        await site.close()

    run(main)


def test_a_part_is_what_nodes_say_that_know_of_no_expirations_where_there_are_none():
    async def main() -> None:
        root, site = SimStore("cloud").open(), SimStore("plant-a").open()
        stream = name("cloud/kv/lines")
        await root.submit(partial(put, 1))
        theirs = snapshots_of(root, "").part(stream, None, 1000)
        former = msgspec.msgpack.decode(theirs.items, type=list[tuple[str, bytes | None, int, str]])
        assert [row[0] for row in former] == ["k01"]
        await root.submit(lambda tx: tx.kv_put("lines", "late", b"v", EPOCH_MS // 1000 + 60, '"m"'))
        theirs = snapshots_of(root, "").part(stream, None, 1000)
        await site.submit(lambda tx: snapshots_of(site).take(tx, stream, theirs, None))
        assert site.kv_entries("lines", "", 10) == root.kv_entries("lines", "", 10)
        for store in (root, site):
            await store.close()

    run(main)


def test_a_part_is_no_larger_than_asked_for_and_all_parts_hold_everything():
    async def main() -> None:
        root = SimStore("cloud").open()
        for n in range(20):
            await root.submit(partial(put, n))
        theirs = snapshots_of(root, "")
        cursor: str | None = None
        keys: list[str] = []
        while True:
            part = theirs.part(name("cloud/kv/lines"), cursor, 400)
            entries = msgspec.msgpack.decode(part.items, type=list[KvEntry])
            assert 1 <= len(entries) <= 3 < ENTRIES_AT_ONCE
            keys += [entry.key for entry in entries]
            if (cursor := part.cursor) is None:
                break
        assert keys == [f"k{n:02}" for n in range(20)]

    run(main)


def test_a_namespace_that_is_placed_on_a_child_later_arrives_there_though_nobody_writes(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await tree.apply(root, namespace("lines", ("cloud",)))
        await tree.until(lambda: root.running.desired.namespace("lines"))
        await root.running.keyvalue.put("lines", "recipe", b"one")
        await tree.until(lambda: site.running.desired.namespace("lines"))
        await asyncio.sleep(20)
        assert site.running.store.kv_get("lines", "recipe") is None
        await tree.apply(root, namespace("lines", ("cloud", "site")))
        await tree.until(lambda: site.running.store.kv_get("lines", "recipe"))
        await tree.stop()

    run(main, seed=seed)


def test_a_stream_whose_time_is_over_is_deleted_by_the_node(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        headers = {"stream-ttl": "60", "content-type": "text/plain"}
        answer = await root.running.streams.handle(Request("PUT", "/v1/streams/cloud/notes", {}, headers, b"note"))
        assert isinstance(answer, Response)
        assert answer.status == 201
        assert root.records("cloud/notes") == [b"note"]
        await asyncio.sleep(150)
        assert root.running.store.stream(name("cloud/notes")) is None
        await tree.stop()

    run(main, seed=seed)


def test_a_writer_that_fails_ends_the_node(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")

        def fail(info: object) -> None:
            raise ZeroDivisionError

        root.running.store.watch(fail)
        await root.running.failed.wait()
        assert [type(error) for error in root.running.failures] == [ZeroDivisionError]

    run(main, seed=seed)
