"""Key-value across a tree: replicated, and read through with a cache."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from littoral.core.errors import Forbidden, InvalidInput, NotFound, TooLarge, Unavailable
from littoral.core.hlc import hlc_at
from littoral.core.http import Request, Response
from littoral.core.kv import KvDetails, KvEntry, KvValue
from littoral.core.names import StreamName
from littoral.core.resources import Namespace
from littoral.core.resources.namespace import NamespaceSpec
from littoral.core.resources.part import Metadata, Placement
from littoral.core.tasks import Tasks
from littoral.fleet.desired import DESIRED, DesiredFold, encode_record, record_of
from littoral.fleet.keyvalue import KeyValueService
from littoral.fleet.kv_calls import KV_CALL, KvCalls, answer_kv_call
from littoral.fleet.kv_fold import KvFold
from littoral.store.batch import StoredBatch
from littoral.store.folder import Folder
from littoral.store.kv import kv_stream
from littoral.store.replica import Verdict
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire import peer
from littoral.wire.peer import Member
from tests.support.neighbours import uplink_of
from tests.support.stores import SimStore, name, records_of


def namespace(text: str, spec: NamespaceSpec) -> Namespace:
    return Namespace(api_version="littoral/v1", metadata=Metadata(name=text), spec=spec)


LINES = namespace("lines", NamespaceSpec())
CENTRAL = namespace("central", NamespaceSpec(mode="read-through", cache_ttl="60s"))
SITES = namespace("sites", NamespaceSpec(placement=Placement(nodes=["plant-a"])))


def play(story: Callable[[SimTree, SimNode, SimNode, SimNode], Awaitable[None]], seed: int, **limits: int) -> None:
    """root, region, site"""

    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("plant-a", "site", region, **limits)
        await tree.apply(root, LINES, CENTRAL, SITES)
        await tree.until(lambda: all(each.running.desired.namespace("sites") for each in (region, site)))
        await story(tree, root, region, site)
        await tree.stop()

    run(main, seed=seed)


def held(node: SimNode, key: str, space: str = "lines") -> bytes | None:
    entry = node.running.store.kv_get(space, key)
    return entry.value if entry else None


def test_a_replicated_write_reaches_every_node_from_any(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        everybody = (root, region, site)
        for writer in everybody:
            await writer.running.keyvalue.put("lines", writer.name, b"here")
        await tree.until(lambda: all(held(node, writer.name) == b"here" for node in everybody for writer in everybody))
        await site.running.keyvalue.delete("lines", "cloud")
        await tree.until(lambda: all(held(node, "cloud") is None for node in everybody))
        page = await root.running.keyvalue.list("lines")
        assert page.keys == ["eu", "plant-a"]

    play(story, seed)


def test_the_last_write_wins_everywhere_after_a_partition(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        link = tree.network.link("plant-a", region.peer_url)
        link.cut(reset=True)
        await site.running.keyvalue.put("lines", "recipe", b"older")
        await tree.until(lambda: not uplink_of(site).state.connected)
        # The clock that orders writes ticks in milliseconds.
        await asyncio.sleep(0.002)
        await root.running.keyvalue.put("lines", "recipe", b"newer")
        assert await site.running.keyvalue.get("lines", "recipe") == b"older", "local first"
        link.restore()
        await tree.until(lambda: all(held(node, "recipe") == b"newer" for node in (root, region, site)))

    play(story, seed)


def test_a_namespace_is_only_where_it_is_placed_and_between_there_and_the_root(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        other = await tree.start_child("plant-b", "site", region)
        await tree.until(lambda: other.running.desired.namespace("sites"))
        await site.running.keyvalue.put("sites", "k", b"v")
        await tree.until(lambda: held(root, "k", "sites") == b"v")
        with pytest.raises(NotFound, match="it is not placed on node plant-b. Add the node"):
            await other.running.keyvalue.get("sites", "k")
        assert held(other, "k", "sites") is None

    play(story, seed)


def test_reading_through_asks_the_root_and_remembers_on_the_way_down(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        await site.running.keyvalue.put("central", "k", b"1")
        assert held(root, "k", "central") == b"1"
        assert held(site, "k", "central") is None
        await root.running.keyvalue.put("central", "k", b"2")
        assert await site.running.keyvalue.get("central", "k") == b"1", "within its time a value is not asked for again"
        await asyncio.sleep(130)
        assert await site.running.keyvalue.get("central", "k") == b"2"
        assert (await site.running.keyvalue.list("central")).keys == ["k"]
        assert await site.running.keyvalue.get("central", "none") is None

    play(story, seed)


@pytest.mark.parametrize("cut", ["plant-a", "eu"])
def test_while_the_way_up_is_cut_an_old_value_is_better_than_none(cut: str, seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        await site.running.keyvalue.put("central", "k", b"1")
        parent = region if cut == "plant-a" else root
        tree.network.link(cut, parent.peer_url).cut(reset=True)
        await asyncio.sleep(200)
        assert await site.running.keyvalue.get("central", "k") == b"1"
        assert site.running.keyvalue.stale_reads == 1
        with pytest.raises(Unavailable):
            await site.running.keyvalue.get("central", "never-read")
        with pytest.raises(Unavailable):
            await site.running.keyvalue.put("central", "k", b"2")

    play(story, seed)


def test_the_cache_is_bounded_in_entries_and_in_bytes(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        service = site.running.keyvalue
        for n in range(6):
            await service.put("central", f"k{n}", b"x")
        assert len(service._cache) == 4
        for n in range(6):
            await service.put("central", f"k{n}", b"x" * 400)
        assert len(service._cache) == 2
        assert service._cached_bytes == 800
        for n in range(6):
            await service.delete("central", f"k{n}")
        assert service._cached_bytes == 0
        assert site.running.limits.reached["kv-cache-bytes"] > 0

    play(story, seed, kv_cache_entries=4, kv_cache_bytes=1000)


def test_a_key_expires_everywhere_also_where_the_way_is_cut(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        everybody = (root, region, site)
        expires_s = root.running.seams.clock.wall_ms() // 1000 + 100
        for space in ("lines", "central"):
            await site.running.keyvalue.put(space, "k", b"v", expires_s=expires_s, metadata='"m"')
        await tree.until(lambda: all(held(node, "k") == b"v" for node in everybody))
        for node in everybody:
            assert await node.running.keyvalue.read("lines", "k") == KvValue(b"v", expires_s, '"m"')
            assert await node.running.keyvalue.read("central", "k") == KvValue(b"v", expires_s, '"m"')
            page = await node.running.keyvalue.list("central")
            assert page.details == {"k": KvDetails(expires_s, '"m"')}
        tree.network.link("plant-a", region.peer_url).cut(reset=True)
        await asyncio.sleep(101)
        assert held(site, "k") == b"v", "not swept yet"
        for node in everybody:
            assert await node.running.keyvalue.get("lines", "k") is None
            assert (await node.running.keyvalue.list("lines")).keys == []
            assert await node.running.keyvalue.get("central", "k") is None, "not even an old value while the way is cut"
        await tree.until(lambda: all(held(node, "k") is None for node in everybody))
        tree.network.link("plant-a", region.peer_url).restore()
        await asyncio.sleep(60)
        assert len({node.running.store.kv_get("lines", "k") for node in everybody}) == 1

    play(story, seed)


def test_expiration_and_metadata_reach_a_new_node_in_a_snapshot(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        expires_s = root.running.seams.clock.wall_ms() // 1000 + 10_000
        await root.running.keyvalue.put("lines", "k", b"v", expires_s=expires_s, metadata='{"a":1}')
        await root.running.keyvalue.put("lines", "plain", b"v")
        later = await tree.start_child("plant-c", "site", root)
        await tree.until(lambda: later.hub is not None and held(later, "plain") == b"v")
        assert await later.running.keyvalue.read("lines", "k") == KvValue(b"v", expires_s, '{"a":1}')
        assert later.running.store.kv_get("lines", "k") == root.running.store.kv_get("lines", "k")

    play(story, seed)


def test_a_value_may_be_taken_from_memory_for_as_long_as_its_reader_says(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        service = region.running.keyvalue
        await service.put("central", "k", b"1")
        await root.running.keyvalue.put("central", "k", b"2")
        await asyncio.sleep(61)
        found = await service.read("central", "k", 3600)
        assert found == KvValue(b"1")
        assert await service.read("central", "k") == KvValue(b"2")

    play(story, seed)


def test_a_parent_that_knows_nothing_of_expirations_is_no_place_for_them():
    async def main() -> None:
        async def call(method: str, path: str, body: bytes) -> Response:
            # As such a node decodes and answers it.
            asked = msgspec.msgpack.decode(body)
            return peer.answer({"entry": [asked["key"], asked["value"], 5, "cloud"]})

        calls = KvCalls(call)
        assert await calls.write("central", "k", b"v") == KvEntry("k", b"v", 5, "cloud")
        with pytest.raises(Unavailable, match="written without its expiration and metadata.* Update the parent"):
            await calls.write("central", "k", b"v", 2_000_000_000)

    run(main)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"expires_s": -1}, InvalidInput, "-1 seconds since the epoch, is not in the future"),
        ({"expires_s": 1_600_000_000}, InvalidInput, "is not in the future"),
        ({"expires_s": 1 << 60}, InvalidInput, "is not in the future"),
        ({"metadata": '"' + "é" * 512 + '"'}, TooLarge, "its metadata has 1026 bytes as JSON; at most 1024"),
    ],
)
def test_what_stands_beside_a_value_has_bounds(options: dict[str, Any], error: type[Exception], said: str):
    async def main() -> None:
        sim = SimStore("cloud")
        service = KeyValueService(sim.open(), lambda _: LINES, lambda _: True, None, sim.clock, sim.limits)
        with pytest.raises(error, match=said):
            await service.put("lines", "k", b"v", **options)

    run(main)


@pytest.mark.parametrize(
    ("key", "value", "error", "said"),
    [
        ("", b"", InvalidInput, "0 bytes; 1 to 512 are allowed"),
        ("é" * 257, b"", InvalidInput, "514 bytes; 1 to 512 are allowed"),
        ("\ud800", b"", InvalidInput, "it is no Unicode text"),
        (".", b"", InvalidInput, "URLs cannot name it"),
        ("..", b"", InvalidInput, "URLs cannot name it"),
        ("k", b"x" * (1024 * 1024 + 1), TooLarge, "at most 1048576 are allowed, the limit kv-value-bytes"),
    ],
)
def test_keys_and_values_have_bounds(key: str, value: bytes, error: type[Exception], said: str):
    async def main() -> None:
        sim = SimStore("cloud")
        service = KeyValueService(sim.open(), lambda _: LINES, lambda _: True, None, sim.clock, sim.limits)
        with pytest.raises(error, match=said):
            await service.put("lines", key, value)

    run(main)


def test_calls_reach_the_parents_keyvalue_and_come_back():
    async def main() -> None:
        sim = SimStore("cloud")
        service = KeyValueService(sim.open(), lambda _: CENTRAL, lambda _: True, None, sim.clock, sim.limits)

        async def call(method: str, path: str, body: bytes) -> Response:
            return await answer_kv_call(service, Request(method, path, body=body), lambda space: space == "central")

        calls = KvCalls(call)
        entry = await calls.write("central", "k", b"v")
        assert (entry.key, entry.value, entry.node) == ("k", b"v", "cloud")
        assert await calls.read("central", "k") == KvValue(b"v")
        assert (await calls.list("central", "", None, 10)).keys == ["k"]
        assert (await calls.write("central", "k", None)).value is None
        assert await calls.read("central", "k") is None
        with pytest.raises(InvalidInput, match="read key-value call"):
            await call("POST", KV_CALL, b"\xc1")
        with pytest.raises(InvalidInput, match="Invalid enum value 'drop'"):
            await call("POST", KV_CALL, peer.encode({"operation": "drop", "namespace": "central"}))
        with pytest.raises(Forbidden, match="Place the namespace on that node"):
            await calls.read("sites", "k")

    run(main)


@pytest.mark.parametrize(
    ("source", "published"), [("cloud/kv/lines", "eu/kv-down/lines"), ("plant-a/kv/lines", "eu/kv/lines")]
)
def test_what_wins_is_published_in_the_direction_it_goes_on(source: str, published: str):
    async def main() -> None:
        sim = SimStore("eu")
        store = sim.open()
        fold = KvFold("eu", "cloud")
        await store.submit(partial(know, Member("plant-a", "site", {}), LINES))
        entry = msgspec.msgpack.encode(KvEntry("k", b"v", sim.clock.wall_ms() << 16, "x"))
        await store.submit(lambda tx: fold.apply(tx, name(source), 0, [entry]))
        await store.submit(lambda tx: fold.apply(tx, name(source), 0, [entry]))
        info = store.stream(name(published))
        assert info is not None
        assert info.next == 1, "a write that is here already does not win again"
        assert fold.merged_entries == 1
        with pytest.raises(InvalidInput, match="it is no key-value entry"):
            await store.submit(lambda tx: fold.apply(tx, name(source), 0, [b"\xc1"]))

    run(main)


def test_a_doubtful_write_of_a_childs_is_put_aside_and_the_parents_is_not():
    async def main() -> None:
        sim = SimStore("eu")
        store = sim.open()
        fold = KvFold("eu", "cloud")
        await store.submit(partial(know, Member("plant-a", "site", {}), LINES))
        now = hlc_at(sim.clock.wall_ms())
        await store.submit(lambda tx: tx.kv_merge_from_above("lines", [KvEntry("k", None, now + 5, "cloud")]))
        await store.submit(lambda tx: tx.kv_forget("lines", now + 6, 10))
        late = msgspec.msgpack.encode(KvEntry("k", b"late", now + 4, "plant-a"))
        await store.submit(lambda tx: fold.apply(tx, name("plant-a/kv/lines"), 7, [late]))
        entry = store.kv_get("lines", "k")
        assert entry is not None
        assert entry.value is None
        (letter,) = (msgspec.json.decode(record) for record in records_of(store, name("eu/dead-letters")))
        assert letter["source"] == "plant-a/kv/lines"
        assert letter["reason"] == (
            "cannot apply write of key 'k' in namespace lines: plant-a made it at 2023-11-14T22:13:20+00:00, and this"
            " node knows no longer which keys were deleted since: it has forgotten deletions up to"
            " 2023-11-14T22:13:20+00:00. Write it again if it is still wanted"
        )
        assert msgspec.msgpack.decode(base64.b64decode(letter["record"]), type=KvEntry) == KvEntry(
            "k", b"late", now + 4, "plant-a"
        )
        assert (fold.refused_entries, fold.merged_entries) == (1, 0)
        await store.submit(lambda tx: fold.apply(tx, name("cloud/kv/lines"), 0, [late]))
        other = msgspec.msgpack.encode(KvEntry("other", b"late", now + 4, "plant-a"))
        await store.submit(lambda tx: fold.apply(tx, name("cloud/kv/lines"), 0, [other]))
        assert store.kv_page("lines", "", None, 10).keys == ["other"]
        assert fold.refused_entries == 1

    run(main)


def know(member: Member, space: Namespace, tx: Transaction) -> None:
    """A direct child, and a namespace that is desired."""
    tx.put_state("subtree", member.node, member.node.encode())
    tx.put_state("members", member.node, msgspec.msgpack.encode([member]))
    record = record_of(space, None)
    tx.put_state(DESIRED, record.key, encode_record(record))


def test_a_child_writes_only_what_is_placed_on_it_or_below(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        other = await tree.start_child("plant-b", "site", region)
        await tree.until(lambda: other.running.desired.namespace("sites"))
        for space in ("sites", "central", "made-up"):
            await other.running.store.submit(partial(Transaction.kv_put, namespace=space, key="k", value=b"forged"))
        await other.running.keyvalue.put("lines", "k", b"its own")
        await tree.until(lambda: held(root, "k") == b"its own")
        await tree.until(lambda: len(region.records("eu/dead-letters")) == 3)
        for space in ("sites", "central", "made-up"):
            assert region.running.store.kv_get(space, "k") is None
        said = b"".join(region.records("eu/dead-letters"))
        assert b"plant-b may not write the namespace sites: it is replicated to none of the nodes there" in said
        assert b"plant-b may not write the namespace made-up: there is no such Namespace" in said

    play(story, seed)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_write_waits_while_its_namespace_may_still_be_on_the_way(arrived: bool):
    async def main() -> None:
        sim = SimStore("eu")
        store = sim.open()
        desired = name("cloud/desired")
        entry = KvEntry("k", b"v", sim.clock.wall_ms() << 16, "plant-a")
        stored = {
            "cloud": await shipped(desired, encode_record(record_of(LINES, None))),
            "plant-a": await shipped(name("plant-a/kv/lines"), msgspec.msgpack.encode(entry)),
        }

        def arrive(tx: Transaction) -> None:
            assert tx.append_replica(stored["cloud"], "cloud").verdict is Verdict.APPEND

        def write(tx: Transaction) -> None:
            tx.put_state("subtree", "plant-a", b"plant-a")
            tx.put_state("members", "plant-a", msgspec.msgpack.encode([Member("plant-a", "site", {})]))
            assert tx.append_replica(stored["plant-a"], "plant-a").verdict is Verdict.APPEND

        if arrived:
            await store.submit(arrive)
        await store.submit(write)
        folds = Tasks(unexpected)
        folder = Folder(store, KvFold("eu", "cloud"), sim.limits, sim.clock.wall_ms)
        folds.start(folder.run(), "kv")
        await asyncio.sleep(60)
        assert store.kv_get("lines", "k") is None
        assert "the desired state is not folded to its end yet" in folder.failed
        if not arrived:
            await store.submit(arrive)
        folds.start(Folder(store, DesiredFold("eu", "cloud"), sim.limits, sim.clock.wall_ms).run(), "desired")
        await asyncio.sleep(5)
        assert store.kv_get("lines", "k") is not None
        assert store.stream(name("eu/dead-letters")) is None
        await folds.stop()

    run(main)


async def shipped(stream: StreamName, record: bytes) -> StoredBatch:
    """A batch as it travels."""
    origin = SimStore(stream.origin).open()

    def append(tx: Transaction) -> None:
        tx.open_stream(stream)
        tx.append(stream, [record])

    await origin.submit(append)
    return origin.read_stored(stream, 0, 1)[0]


def unexpected(error: BaseException) -> None:
    raise error


def test_a_child_reads_through_only_what_is_placed_on_it_or_below(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        await tree.apply(root, namespace("own", NamespaceSpec("read-through", Placement(nodes=["plant-a"]))))
        other = await tree.start_child("plant-b", "site", region)
        await tree.until(lambda: all(each.running.desired.namespace("own") for each in (region, site, other)))
        await site.running.keyvalue.put("own", "k", b"v")
        assert await region.running.keyvalue.get("own", "k") == b"v", "it lies between the node and the root"
        with pytest.raises(NotFound, match="it is not placed on node plant-b"):
            await other.running.keyvalue.get("own", "k")
        asking = KvCalls(uplink_of(other).call)
        with pytest.raises(Forbidden):
            await asking.read("own", "k")
        with pytest.raises(Forbidden):
            await asking.write("own", "k", b"forged")

    play(story, seed)


def test_a_write_from_the_future_is_refused():
    async def main() -> None:
        sim = SimStore("eu")
        store = sim.open()
        late = msgspec.msgpack.encode(KvEntry("k", b"v", (sim.clock.wall_ms() + 3_600_000) << 16, "x"))
        with pytest.raises(InvalidInput, match="ahead of this node's clock"):
            await store.submit(lambda tx: KvFold("eu", "cloud").apply(tx, name("cloud/kv/lines"), 0, [late]))
        assert kv_stream("eu", "lines") not in {info.name for info in store.streams()}

    run(main)
