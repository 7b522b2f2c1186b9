"""A node whose store is set back to a backup: its parent has more of its streams than it has itself."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from littoral.core.kv import KvEntry
from littoral.core.names import StreamName
from littoral.core.resources import Namespace
from littoral.core.resources.model import SpillPlace, Storage, StreamBudget
from littoral.core.resources.namespace import NamespaceSpec
from littoral.core.resources.part import Metadata
from littoral.security.identity import FACTS_PATH
from littoral.store.database import DATABASE
from littoral.streams.kv_again import all_shipped
from littoral.testing.loop import run
from littoral.testing.store import check_histories
from littoral.testing.tree import SimNode, SimTree
from tests.support import stores
from tests.support.neighbours import uplink_of
from tests.support.restoring import backed_up, restored

RAW, OTHER = "plant-a/raw/x", "plant-a/other"
SPILLING = Storage(
    streams=[StreamBudget(streams=["*/raw/*"], bytes="20000", policy="spill")],
    spill=SpillPlace(directory="/mnt/slow", bytes="64MiB"),
)
NOTES, LATER, GONE = "plant-a/notes", "plant-a/later", "plant-a/gone"
FACTORY = Namespace(api_version="littoral/v1", metadata=Metadata(name="factory"), spec=NamespaceSpec())


class Two:
    """A root and a site below it."""

    def __init__(self, seed: int) -> None:
        self.tree = SimTree(seed)

    async def start(self) -> None:
        self.root = await self.tree.start_root("cloud")
        self.site = await self.tree.start_child("plant-a", "site", self.root, read_bytes=400)
        await self.tree.apply(self.root, FACTORY)
        await self.tree.until(lambda: "Namespace/factory" in self.site.running.desired.wanted)

    def cut(self) -> None:
        self.tree.network.link("plant-a", self.root.peer_url).cut()

    def restore(self) -> None:
        self.tree.network.link("plant-a", self.root.peer_url).restore()

    async def is_equal(self, *streams: str) -> None:
        """Until root and site hold the same of the streams, and all of it."""
        await self.tree.until(
            lambda: (
                all(self.root.records(stream) == self.site.records(stream) for stream in streams)
                and self.site.running.uplink is not None
                and self.site.running.uplink.state.connected
                and not self.site.running.uplink.outbox.blocked
            )
        )


def reason_of(node: SimNode, stream: StreamName) -> str:
    """Why it is not sent; empty while it is."""
    blocked = uplink_of(node).outbox.blocked.get(stream)
    return "" if blocked is None else blocked.reason


async def append(node: SimNode, stream: str, *records: bytes) -> None:
    await node.running.store.submit(stores.append(StreamName(*stream.split("/", 1)), *records))


async def put(node: SimNode, key: str, value: bytes | None) -> None:
    await node.running.store.submit(lambda tx: tx.kv_put("factory", key, value))


def value(node: SimNode, key: str) -> bytes | None:
    entry: KvEntry | None = node.running.store.kv_get("factory", key)
    return entry.value if entry else None


def tables(node: SimNode) -> dict[str, bytes | None]:
    return {entry.key: entry.value for entry in node.running.store.kv_entries("factory", "", 100)}


def numbered(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def play(seed: int, story: Callable[[Two], Awaitable[None]]) -> None:
    async def main() -> None:
        two = Two(seed)
        await two.start()
        await story(two)
        for node in two.tree.nodes.values():
            check_histories(node.running.store)
        await two.tree.stop()

    run(main, seed=seed)


async def with_lost(two: Two) -> bytes:
    """A backup after which more was written, and acknowledged, and went up; returns it."""
    site = two.site
    await append(site, NOTES, *numbered(0, 1, 2))
    await append(site, GONE, b"deleted")
    await put(site, "before", b"1")
    await two.is_equal(NOTES, GONE)
    await site.running.store.submit(lambda tx: tx.delete_stream(StreamName("plant-a", "gone")))
    data = await backed_up(site)
    for number in range(3, 12):
        await append(site, NOTES, b"%d" % number)
    await append(site, LATER, b"made", b"later")
    await put(site, "before", b"2")
    await put(site, "after", b"3")
    await two.is_equal(NOTES, LATER, "plant-a/kv/factory")
    await two.tree.until(lambda: value(two.root, "after") == b"3")
    return data


def test_what_the_parent_has_is_back_and_goes_on(seed: int):
    async def story(two: Two) -> None:
        data = await with_lost(two)
        await restored(two.site, data)
        await two.site.start()
        assert two.site.records(NOTES) == numbered(0, 1, 2)
        await two.is_equal(NOTES, LATER, "plant-a/kv/factory")
        assert two.site.records(NOTES) == numbered(*range(12))
        assert two.site.records(LATER) == [b"made", b"later"]
        assert (value(two.site, "before"), value(two.site, "after")) == (b"2", b"3")
        await append(two.site, NOTES, b"12")
        await append(two.site, LATER, b"on")
        await two.tree.until(lambda: len(two.root.records(NOTES)) == 13 and len(two.root.records(LATER)) == 3)
        await two.is_equal(NOTES, LATER)
        assert two.site.records(NOTES) == numbered(*range(13))
        assert two.site.running.store.stream(StreamName("plant-a", "gone")) is None, "it was deleted, not lost"
        assert two.root.records(GONE) == [b"deleted"]

    play(seed, story)


def test_what_was_written_in_its_place_is_put_aside_and_goes_up(seed: int):
    async def story(two: Two) -> None:
        data = await with_lost(two)
        await restored(two.site, data)
        two.cut()
        await two.site.start()
        await append(two.site, NOTES, b"other 1")
        await append(two.site, NOTES, b"other 2", b"other 3")
        await append(two.site, LATER, b"another later")
        notes = StreamName("plant-a", "notes")
        await two.site.running.store.submit(lambda tx: tx.set_fold("reader", notes, 5))
        await put(two.site, "before", b"other")
        await put(two.site, "new", b"4")
        two.restore()
        await two.tree.until(lambda: len(two.root.records("plant-a/quarantine/notes")) == 3)
        await two.is_equal(NOTES, LATER, "plant-a/kv/factory", "plant-a/quarantine/notes", "plant-a/quarantine/later")
        assert two.site.records(NOTES) == numbered(*range(12))
        assert two.site.records("plant-a/quarantine/notes") == [b"other 1", b"other 2", b"other 3"]
        state = uplink_of(two.site).state
        assert (state.put_aside_records, state.fetched_back_records) >= (4, 9)
        assert two.site.running.store.fold_offset("reader", notes) == 3, "it has not seen what is there now"
        assert two.site.records(LATER) == [b"made", b"later"]
        assert two.site.records("plant-a/quarantine/later") == [b"another later"]
        await two.tree.until(lambda: value(two.root, "new") == b"4" and value(two.root, "before") == b"other")
        for node in (two.site, two.root):
            assert [value(node, key) for key in ("before", "after", "new")] == [b"other", b"3", b"4"]
        await append(two.site, NOTES, b"12")
        await two.tree.until(lambda: two.root.records(NOTES) == numbered(*range(13)))

    play(seed, story)


def test_what_goes_on_where_the_parent_ends_is_not_put_aside(seed: int):
    """The backup has all that the parent has."""

    async def story(two: Two) -> None:
        await append(two.site, NOTES, *numbered(0, 1, 2))
        await two.is_equal(NOTES)
        data = await backed_up(two.site)
        await restored(two.site, data)
        two.cut()
        await two.site.start()
        await append(two.site, NOTES, *numbered(3, 4))
        two.restore()
        await two.tree.until(lambda: two.root.records(NOTES) == numbered(*range(5)))
        await two.is_equal(NOTES)
        assert two.site.running.store.stream(StreamName("plant-a", "quarantine/notes")) is None

    play(seed, story)


def test_a_node_that_is_restored_again_and_again_loses_nothing(seed: int):
    async def story(two: Two) -> None:
        data = await with_lost(two)
        for round_ in range(3):
            await restored(two.site, data)
            two.cut()
            await two.site.start()
            await append(two.site, NOTES, b"round %d" % round_)
            two.restore()
            await two.tree.until(lambda: len(two.root.records("plant-a/quarantine/notes")) > round_)  # noqa: B023
            await two.is_equal(NOTES, LATER, "plant-a/quarantine/notes")
            await append(two.site, NOTES, b"after %d" % round_)
            await two.tree.until(lambda: two.root.records(NOTES)[-1] == b"after %d" % round_)  # noqa: B023
            await two.is_equal(NOTES)
        assert two.root.records(NOTES) == [*numbered(*range(12)), b"after 0", b"after 1", b"after 2"]
        assert sorted(two.root.records("plant-a/quarantine/notes")) == [b"round 0", b"round 1", b"round 2"]

    play(seed, story)


def test_while_it_is_fetched_back_power_may_go_and_records_may_come(seed: int):
    async def story(two: Two) -> None:
        data = await with_lost(two)
        for number in range(12, 200):
            await append(two.site, NOTES, b"%d" % number)
        await two.is_equal(NOTES)
        await restored(two.site, data)
        for round_ in range(6):
            await two.site.start()
            await append(two.site, NOTES, b"new %d" % round_)
            await asyncio.sleep(two.tree.random.uniform(0, 0.4))
            two.site.kill()
            await asyncio.sleep(0)
        await two.site.start()
        await two.is_equal(NOTES, LATER)
        await two.is_equal("plant-a/quarantine/notes")
        everything = two.root.records(NOTES) + two.root.records("plant-a/quarantine/notes")
        expected = numbered(*range(200)) + [b"new %d" % round_ for round_ in range(6)]
        assert sorted(everything) == sorted(expected), "all of it, and each once"
        assert two.root.records(NOTES)[:200] == numbered(*range(200))

    play(seed, story)


def test_a_stream_that_was_deleted_and_is_made_anew_is_not_given_what_it_had(seed: int):
    async def story(two: Two) -> None:
        data = await with_lost(two)
        await restored(two.site, data)
        await two.site.start()
        await append(two.site, GONE, b"anew")
        await append(two.site, NOTES, b"12")
        await two.tree.until(lambda: len(two.root.records(NOTES)) >= 12)
        gone = StreamName("plant-a", "gone")
        uplink_of(two.site).greet_again()
        await two.tree.until(lambda: "deleted here before" in reason_of(two.site, gone))
        assert two.site.records(GONE) == [b"anew"]
        assert two.root.records(GONE) == [b"deleted"]

    play(seed, story)


def test_records_may_come_all_the_time_while_it_is_fetched_back(seed: int):
    async def story(two: Two) -> None:
        data = await with_lost(two)
        for number in range(12, 60):
            await append(two.site, NOTES, b"%d" % number)
        await two.is_equal(NOTES)
        await restored(two.site, data)
        await two.site.start()
        for number in range(100):
            await append(two.site, NOTES, b"new %d" % number)
            await asyncio.sleep(0.01)
        await two.is_equal(NOTES, "plant-a/quarantine/notes")
        assert uplink_of(two.site).state.sessions == 1
        aside = two.root.records("plant-a/quarantine/notes")
        assert aside, "nothing came while it was fetched back"
        assert two.root.records(NOTES)[:60] == numbered(*range(60))
        assert aside + two.root.records(NOTES)[60:] == [b"new %d" % number for number in range(100)]

    play(seed, story)


def test_a_fork_of_what_would_have_to_go_keeps_the_stream_as_it_is(seed: int):
    async def story(two: Two) -> None:
        data = await with_lost(two)
        await restored(two.site, data)
        two.cut()
        await two.site.start()
        await append(two.site, NOTES, b"other")
        notes, fork = StreamName("plant-a", "notes"), StreamName("plant-a", "fork")
        await two.site.running.store.submit(lambda tx: tx.fork_stream(fork, notes, 4, asked=""))
        two.restore()
        await two.tree.until(lambda: two.root.records("plant-a/fork"))
        await two.tree.until(lambda: notes in uplink_of(two.site).outbox.blocked)
        await two.tree.until(lambda: "it was forked beyond 3" in reason_of(two.site, notes))
        assert two.site.records(NOTES) == [*numbered(0, 1, 2), b"other"]
        assert two.root.records(NOTES) == numbered(*range(12))

    play(seed, story)


def test_until_both_are_compared_nothing_of_the_node_counts_as_sent(seed: int):
    """A deletion that counts as sent may be forgotten."""

    async def story(two: Two) -> None:
        data = await with_lost(two)
        await restored(two.site, data)
        two.cut()
        await two.site.start()
        await put(two.site, "before", None)
        two.restore()
        two.tree.network.link("plant-a", two.root.peer_url).delay_s = 1.0
        outbox = uplink_of(two.site).outbox
        await two.tree.until(lambda: outbox.blocked)
        writes = StreamName("plant-a", "kv/factory")
        assert "it is compared" in outbox.blocked[writes].reason
        mark = outbox.mark(writes)
        assert not await two.site.running.store.submit(lambda tx: all_shipped(tx, "factory", mark))
        two.tree.network.link("plant-a", two.root.peer_url).delay_s = 0.0
        await two.tree.until(lambda: value(two.root, "before") is None)
        await two.is_equal(NOTES, LATER, "plant-a/kv/factory")

    play(seed, story)


def test_what_comes_to_the_parent_after_the_node_has_met_it_again_is_fetched_back_too(seed: int):
    """It was on its way when the store was lost."""

    async def story(two: Two) -> None:
        await append(two.site, NOTES, *numbered(0, 1, 2))
        await two.is_equal(NOTES)
        data = await backed_up(two.site)
        await two.is_equal(NOTES)
        link = two.tree.network.link("plant-a", two.root.peer_url)
        link.delay_s = 5.0
        await append(two.site, NOTES, *numbered(3, 4))
        await asyncio.sleep(0.1)
        link.delay_s = 0.0
        await restored(two.site, data)
        await two.site.start()
        await two.is_equal(NOTES)
        assert two.root.records(NOTES) == numbered(0, 1, 2), "it came too early for this test"
        await two.tree.until(lambda: two.root.records(NOTES) == numbered(*range(5)))
        await append(two.site, NOTES, b"other")
        await two.tree.until(lambda: two.root.records("plant-a/quarantine/notes") == [b"other"])
        await two.is_equal(NOTES, "plant-a/quarantine/notes")
        assert two.site.records(NOTES) == numbered(*range(5))
        assert uplink_of(two.site).state.sessions == 2
        await append(two.site, NOTES, b"5")
        await two.tree.until(lambda: two.root.records(NOTES) == numbered(*range(6)))
        await two.is_equal(NOTES)

    play(seed, story)


@pytest.mark.parametrize(("was_restored", "sessions"), [(False, 1), (True, 2)])
def test_what_has_gone_another_way_for_good_is_not_compared_again_and_again(
    seed: int, was_restored: bool, sessions: int
):
    """The store was set back with its whole machine: nothing tells what was written since. It may have been restored before."""

    async def story(two: Two) -> None:
        await append(two.site, NOTES, *numbered(0, 1, 2))
        await two.is_equal(NOTES)
        if was_restored:
            await restored(two.site, await backed_up(two.site))
            await two.site.start()
        await append(two.site, NOTES, *numbered(3, 4))
        await two.is_equal(NOTES)
        data = await backed_up(two.site)
        await append(two.site, NOTES, *numbered(5, 6))
        await two.is_equal(NOTES)
        await two.site.switch_off()
        two.site.disk.remove(f"{DATABASE}-wal")
        two.site.disk.write(DATABASE, data)
        two.cut()
        await two.site.start()
        for record in (b"x", b"y", b"z"):
            await append(two.site, NOTES, record)
        two.restore()
        blocked = uplink_of(two.site).outbox.blocked
        notes = StreamName("plant-a", "notes")
        await two.tree.until(lambda: uplink_of(two.site).state.sessions == sessions and notes in blocked)
        await asyncio.sleep(300)
        assert uplink_of(two.site).state.sessions == sessions
        assert reason_of(two.site, notes) == "diverged at offset 7 of the parent's copy"
        assert two.root.records(NOTES) == numbered(*range(7))

    play(seed, story)


class TestRetentionTook:
    """Some of a stream before the parent had it, or before the node met it again."""

    async def _retain(self, two: Two, batches: int) -> None:
        name = StreamName("plant-a", "notes")
        assert await two.site.running.store.submit(lambda tx: tx.retain(name, 0, batches, 1)) == batches

    def test_the_beginning_of_what_was_written_since_the_restore(self, seed: int):
        async def story(two: Two) -> None:
            data = await with_lost(two)
            await restored(two.site, data)
            two.cut()
            await two.site.start()
            for record in (b"x", b"y", b"z"):
                await append(two.site, NOTES, record)
            await self._retain(two, 3)
            two.restore()
            await two.tree.until(lambda: two.root.records("plant-a/quarantine/notes") == [b"z"])
            await two.is_equal("plant-a/quarantine/notes")
            assert two.root.records(NOTES) == numbered(*range(12))
            assert two.site.records(NOTES) == numbered(*range(3, 12))
            await append(two.site, NOTES, b"12")
            await two.tree.until(lambda: two.root.records(NOTES) == numbered(*range(13)))

        play(seed, story)

    def test_what_the_parent_lacked_of_the_backup_and_the_node_is_restored_once_more(self, seed: int):
        async def story(two: Two) -> None:
            await append(two.site, NOTES, *numbered(0, 1, 2))
            await two.is_equal(NOTES)
            two.cut()
            await append(two.site, NOTES, *numbered(3, 4))
            data = await backed_up(two.site)
            await restored(two.site, data)
            await two.site.start()
            await append(two.site, NOTES, b"x")
            await append(two.site, NOTES, b"y")
            await self._retain(two, 3)
            two.restore()
            await two.tree.until(lambda: two.root.records(NOTES) == [*numbered(0, 1, 2), b"y"])
            await append(two.site, NOTES, b"z")
            await two.tree.until(lambda: two.root.records(NOTES) == [*numbered(0, 1, 2), b"y", b"z"])
            await restored(two.site, data)
            await two.site.start()
            await two.tree.until(lambda: two.site.records(NOTES) == [b"y", b"z"])
            await append(two.site, NOTES, b"on")
            await two.tree.until(lambda: two.root.records(NOTES)[-1] == b"on")
            assert not uplink_of(two.site).outbox.blocked

        play(seed, story)

    def test_key_value_writes_that_were_said_again_and_cut_out_with_the_rest(self, seed: int):
        async def story(two: Two) -> None:
            await put(two.site, "before", b"1")
            await two.is_equal("plant-a/kv/factory")
            data = await backed_up(two.site)
            await two.is_equal("plant-a/kv/factory")
            link = two.tree.network.link("plant-a", two.root.peer_url)
            link.delay_s = 5.0
            await put(two.site, "late", b"2")
            await asyncio.sleep(0.1)
            link.delay_s = 0.0
            await restored(two.site, data)
            await two.site.start()
            await two.is_equal("plant-a/kv/factory")
            await two.tree.until(lambda: value(two.root, "late") == b"2")
            two.cut()
            for number in range(60):
                await put(two.site, "new", b"%d" % number)
            await self._retain_writes(two)
            await two.tree.until(lambda: uplink_of(two.site).state.said_again)
            two.restore()
            await two.tree.until(lambda: value(two.root, "new") == b"59")
            two.cut()
            await put(two.site, "last", b"3")
            await self._retain_writes(two)
            two.restore()
            await two.tree.until(lambda: value(two.root, "last") == b"3")
            assert not uplink_of(two.site).outbox.blocked

        play(seed, story)

    async def _retain_writes(self, two: Two) -> None:
        writes = StreamName("plant-a", "kv/factory")
        await two.site.running.store.submit(lambda tx: tx.retain(writes, 0, 100, 1))

    def test_what_lies_in_the_middle_of_what_the_parent_has(self, seed: int):
        async def story(two: Two) -> None:
            await append(two.site, NOTES, *numbered(0, 1, 2))
            await two.is_equal(NOTES)
            data = await backed_up(two.site)
            await append(two.site, NOTES, b"3")
            await two.is_equal(NOTES)
            two.cut()
            await append(two.site, NOTES, b"4")
            await append(two.site, NOTES, b"5")
            await self._retain(two, 3)
            two.restore()
            await two.tree.until(lambda: two.root.records(NOTES) == numbered(0, 1, 2, 3, 5))
            await restored(two.site, data)
            two.cut()
            await two.site.start()
            await append(two.site, NOTES, b"other")
            two.restore()
            await two.tree.until(lambda: two.site.records(NOTES) == [b"5"])
            await two.tree.until(lambda: two.root.records("plant-a/quarantine/notes") == [b"other"])
            await append(two.site, NOTES, b"6")
            await two.tree.until(lambda: two.root.records(NOTES) == numbered(0, 1, 2, 3, 5, 6))
            assert not uplink_of(two.site).outbox.blocked

        play(seed, story)


class TestBelowAndAbove:
    """Neighbours of a restored node that held more of its streams than it does."""

    async def _three(self, seed: int) -> tuple[SimTree, SimNode, SimNode, SimNode]:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("plant-a", "site", region)
        await tree.apply(root, FACTORY)
        await tree.until(lambda: "Namespace/factory" in site.running.desired.wanted)
        return tree, root, region, site

    @pytest.mark.parametrize("which", ["cloud", "eu"])
    def test_get_all_that_is_written_from_then_on_and_keep_what_they_have(self, seed: int, which: str):
        async def main() -> None:
            tree, root, region, site = await self._three(seed)
            restoring = tree.nodes[which]
            await append(site, NOTES, *numbered(0, 1, 2))
            await put(site, "a", b"1")
            await tree.until(lambda: value(root, "a") == b"1" and len(root.records(NOTES)) == 3)
            data = await backed_up(restoring)
            await append(site, NOTES, *numbered(3, 4, 5))
            await put(site, "b", b"2")
            for key in ("c", "d", "e"):
                await put(root, key, b"3")
            await tree.until(lambda: value(root, "b") == b"2" and value(site, "e") == b"3")
            await restored(restoring, data)
            await restoring.start()
            await put(restoring, "f", b"4")
            await put(root, "g", b"5")
            await put(site, "h", b"6")
            await append(site, NOTES, b"6")
            await tree.until(lambda: value(site, "g") == b"5" and value(site, "f") == b"4")
            await tree.until(lambda: value(root, "h") == b"6" and root.records(NOTES) == numbered(*range(7)))
            for node in (site, region):
                assert [value(node, key) for key in "abcdefgh"][:2] == [b"1", b"2"]
            if which == "eu":
                expected = [b"1", b"2", b"3", b"3", b"3", b"4", b"5", b"6"]
                await tree.until(
                    lambda: all([value(each, key) for key in "abcdefgh"] == expected for each in (root, region, site))
                )
            second = Namespace(api_version="littoral/v1", metadata=Metadata(name="second"), spec=NamespaceSpec())
            await tree.apply(root, second)
            await tree.until(lambda: "Namespace/second" in site.running.desired.wanted)
            for node in tree.nodes.values():
                check_histories(node.running.store)
            await tree.stop()

        run(main, seed=seed)

    @pytest.mark.parametrize("which", ["cloud", "eu"])
    @pytest.mark.parametrize("had_any", [True, False])
    @pytest.mark.parametrize("writes_on", [True, False])
    def test_give_back_the_writes_that_only_they_have(self, seed: int, which: str, had_any: bool, writes_on: bool):
        """had_any: the backup has a stream of the namespace. writes_on: the restored node writes before it meets its
        parent."""

        async def main() -> None:
            tree, root, region, site = await self._three(seed)
            restoring = tree.nodes[which]
            if had_any:
                await put(restoring, "before", b"1")
                await tree.until(lambda: value(site, "before") == value(root, "before") == b"1")
            data = await backed_up(restoring)
            link = tree.network.link("eu", root.peer_url)
            if which == "eu":
                # What the root has is taken back from there, in place of what is written after the restore.
                await put(region, "sent", b"0")
                await tree.until(lambda: value(root, "sent") == value(site, "sent") == b"0")
                link.cut()
            await put(restoring, "its own", b"2")
            await put(site, "from below", b"3")
            await tree.until(lambda: value(site, "its own") == b"2" and value(restoring, "from below") == b"3")
            link.cut()
            await restored(restoring, data)
            await restoring.start()
            if writes_on:
                await put(restoring, "after", b"4")
                await asyncio.sleep(30)
            link.restore()
            nodes = (root, region, site)
            await tree.until(lambda: all(value(node, "its own") == b"2" for node in nodes))
            await tree.until(lambda: tables(root) == tables(region) == tables(site))
            assert (value(root, "from below"), value(root, "after")) == (b"3", b"4" if writes_on else None)
            for node in (region, site):
                assert uplink_of(node).outbox.blocked == {}
                check_histories(node.running.store)
            assert not [letter for node in tree.nodes.values() for letter in node.records(f"{node.name}/dead-letters")]
            await tree.stop()

        run(main, seed=seed)


class TestForgotten:
    """Who enrolled at a region after the backup that it was set back to."""

    async def _set_back(self, tree: SimTree, region: SimNode, enrolled: Callable[[], Awaitable[SimNode]]) -> SimNode:
        """The region, to before that."""
        data = await backed_up(region)
        site = await enrolled()
        await append(site, NOTES, b"0")
        await tree.until(lambda: region.records(NOTES))
        await restored(region, data)
        await region.start()
        await append(site, NOTES, b"1")
        return site

    @pytest.mark.parametrize("how", ["new", "moved", "moved from below", "by another key"])
    def test_is_let_in_again_by_itself_with_those_below_it(self, seed: int, how: str):
        async def main() -> None:
            tree = SimTree(seed)
            root = await tree.start_root("cloud")
            region = await tree.start_child("eu", "region", root)
            other = await tree.start_child("us", "region", region if how == "moved from below" else root)
            site = tree.add("plant-a", "site", region if how == "by another key" else other)

            async def enrolled() -> SimNode:
                site.move_to(region)
                await site.start(await tree.token(region, "plant-a"))
                await tree.start_child("cell-1", "device", site)
                return site

            if how != "new":
                await site.start(await tree.token(region if how == "by another key" else other, "plant-a"))
                await site.switch_off()
            if how == "by another key":
                for path in site.disk.paths():
                    if path.startswith("identity/"):
                        site.disk.remove(path)
            await self._set_back(tree, region, enrolled)
            cell = tree.nodes["cell-1"]
            await append(cell, "cell-1/notes", b"2")
            await tree.until(lambda: root.records(NOTES) == [b"0", b"1"] and root.records("cell-1/notes") == [b"2"])
            await tree.until(lambda: {"plant-a", "cell-1"} <= root.running.registry.below())
            await tree.stop()

        run(main, seed=seed)

    def test_waits_where_there_is_no_room_for_it_any_more(self, seed: int):
        async def main() -> None:
            tree = SimTree(seed)
            root = await tree.start_root("cloud")
            region = await tree.start_child("eu", "region", root, children=1)
            link = tree.network.link("plant-a", region.join_url)
            site = await self._set_back(tree, region, lambda: tree.start_child("plant-a", "site", region))
            link.cut()
            other = await tree.start_child("plant-b", "site", region)
            link.restore()
            await asyncio.sleep(120)
            assert region.running.registry.via("plant-a") is None
            await region.running.registry.expel("plant-b")
            await tree.until(lambda: uplink_of(site).state.connected and not uplink_of(other).state.connected)
            await tree.stop()

        run(main, seed=seed)

    def test_needs_a_token_where_the_root_was_set_back(self, seed: int):
        async def main() -> None:
            tree = SimTree(seed)
            root = await tree.start_root("cloud")
            site = await self._set_back(tree, root, lambda: tree.start_child("plant-a", "site", root))
            await asyncio.sleep(120)
            assert "it is no child of cloud. Enrol it with a token" in uplink_of(site).state.last_error
            site.kill()
            await site.start(await tree.token(root, "plant-a"))
            await tree.until(lambda: root.records(NOTES) == [b"0", b"1"])
            await tree.stop()

        run(main, seed=seed)

    def test_is_not_let_in_where_it_never_was(self, seed: int):
        async def main() -> None:
            tree = SimTree(seed)
            root = await tree.start_root("cloud")
            region = await tree.start_child("eu", "region", root)
            site = await tree.start_child("plant-a", "site", region)
            await site.switch_off()
            site.move_to(root)
            identity = site.disk.read(FACTS_PATH)
            assert identity is not None
            # As if it had shown a token there.
            site.disk.write(FACTS_PATH, identity.replace(b'"eu"', b'"cloud"'))
            await site.start()
            await asyncio.sleep(120)
            assert "it is no child of cloud. Enrol it with a token" in uplink_of(site).state.last_error
            assert root.running.registry.via("plant-a") == "eu"
            await tree.stop()

        run(main, seed=seed)


def test_what_the_parent_has_spilled_where_nothing_is_mounted_is_waited_for_and_all_else_goes_up(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = tree.add("cloud", "cloud", None, storage=SPILLING)
        await root.start()
        site = await tree.start_child("plant-a", "site", root)
        await append(site, RAW, b"kept")
        await tree.until(lambda: root.records(RAW) == [b"kept"])
        data = await backed_up(site)
        lost = [site.random.token_bytes(1000) for _ in range(60)]
        for record in lost:
            await append(site, RAW, record)
        await tree.until(lambda: len(root.records(RAW)) == 61)
        await asyncio.sleep(20)
        assert root.spill_disk is not None
        root.spill_disk.failing = True
        root.cut_power()
        await root.start()
        await restored(site, data)
        await site.start()
        await tree.until(lambda: "tried again later" in reason_of(site, StreamName(*RAW.split("/", 1))))
        sessions = uplink_of(site).state.sessions
        for n in range(20):
            await append(site, OTHER, b"%d" % n)
            await asyncio.sleep(5)
            assert len(root.records(OTHER)) == n + 1
        assert uplink_of(site).state.sessions == sessions
        root.spill_disk.failing = False
        root.cut_power()
        await root.start()
        await tree.until(lambda: site.records(RAW) == [b"kept", *lost])
        await append(site, RAW, b"on")
        await tree.until(lambda: root.records(RAW) == [b"kept", *lost, b"on"])
        await tree.stop()

    run(main, seed=seed)
