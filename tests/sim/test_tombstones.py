"""Deleted keys stay deleted though their tombstones are forgotten, whoever was away meanwhile, and what is refused for
that is said."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from littoral.core.errors import Unavailable
from littoral.core.http import AnyResponse, Request
from littoral.core.resources import Namespace
from littoral.testing.disk import CutAt
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire import peer
from tests.support.neighbours import uplink_of
from tests.support.stores import name

LIMIT_S = 20
SPACES = ("lines", "other")
FILL = 30


class Sites:
    """cloud <- eu <- plant-a, plant-b; every node forgets after LIMIT_S, and its streams hold next to nothing, and
    snapshots come in small parts."""

    def __init__(self, seed: int | str) -> None:
        self.tree = SimTree(seed)

    async def start(self) -> None:
        limits = {"kv_tombstone_seconds": LIMIT_S, "stream_bytes": 2000, "read_bytes": 500}
        self.root = await self.tree.start_root("cloud", **limits)
        self.region = await self.tree.start_child("eu", "region", self.root, **limits)
        self.site = await self.tree.start_child("plant-a", "site", self.region, **limits)
        self.other = await self.tree.start_child("plant-b", "site", self.region, **limits)
        await self.tree.apply(self.root, *(namespace(space) for space in SPACES))
        await self.tree.until(lambda: all(node.running.desired.namespace("other") for node in self.nodes))

    @property
    def nodes(self) -> list[SimNode]:
        return list(self.tree.nodes.values())

    def cut(self, child: SimNode, parent: SimNode) -> None:
        self.tree.network.link(child.name, parent.peer_url).cut()

    def restore(self, child: SimNode, parent: SimNode) -> None:
        self.tree.network.link(child.name, parent.peer_url).restore()

    async def put(self, node: SimNode, key: str, value: bytes | None = b"v", space: str = "lines") -> None:
        keyvalue = node.running.keyvalue
        await (keyvalue.delete(space, key) if value is None else keyvalue.put(space, key, value))

    async def fill(self, node: SimNode) -> None:
        """Write so much that retention takes what the streams of `node` held before."""
        for _ in range(FILL):
            await self.put(node, "filler", self.tree.random.token_bytes(200))
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)

    async def until(self, condition: Callable[[], object]) -> None:
        await self.tree.until(condition)

    async def agree(self) -> None:
        """Wait until all nodes are up and hold the same, and then for what would come late."""
        for _ in range(2):
            await self.until(lambda: all(node.hub is not None for node in self.nodes))
            await self.until(lambda: all(living(node) == living(self.root) for node in self.nodes))
            await asyncio.sleep(LIMIT_S)
        assert all(living(node) == living(self.root) for node in self.nodes)


def namespace(text: str) -> Namespace:
    return msgspec.convert({"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": text}}, Namespace)


def living(node: SimNode) -> dict[str, bytes]:
    return {
        f"{space}/{entry.key}": entry.value
        for space in SPACES
        for entry in node.running.store.kv_entries(space, "", 1000)
        if entry.value is not None
    }


def tombstones(node: SimNode) -> list[str]:
    entries = node.running.store.kv_entries("lines", "", 1000)
    return [entry.key for entry in entries if entry.value is None]


def letters(*nodes: SimNode) -> list[str]:
    return [
        msgspec.json.decode(record)["reason"] for node in nodes for record in node.records(f"{node.name}/dead-letters")
    ]


def simulate(seed: int, story: Callable[[Sites], Awaitable[None]]) -> None:
    async def main() -> None:
        sites = Sites(seed)
        await sites.start()
        await story(sites)
        await sites.agree()
        await sites.tree.stop()

    run(main, seed=seed)


def test_tombstones_are_forgotten_by_all(seed: int):
    async def story(sites: Sites) -> None:
        await sites.put(sites.site, "k")
        await sites.until(lambda: all("lines/k" in living(node) for node in sites.nodes))
        await sites.put(sites.other, "k", None)
        await sites.until(lambda: all(tombstones(node) == ["k"] for node in sites.nodes))
        await sites.until(lambda: all(tombstones(node) == [] for node in sites.nodes))
        assert all(node.running.store.kv_horizon("lines") > 0 for node in sites.nodes)
        assert all(node.running.store.kv_horizon("other") == 0 for node in sites.nodes)
        # And the key can be used again.
        await sites.put(sites.root, "k", b"again")
        await sites.until(lambda: all(living(node) == {"lines/k": b"again"} for node in sites.nodes))
        assert letters(*sites.nodes) == []

    simulate(seed, story)


@pytest.mark.parametrize("writer", ["plant-a", "plant-b", "cloud"])
def test_a_key_deleted_while_a_part_of_the_tree_was_away_is_gone_there_when_it_is_back(writer: str, seed: int):
    async def story(sites: Sites) -> None:
        await sites.put(sites.tree.nodes[writer], "gone")
        await sites.put(sites.root, "stays")
        await sites.until(lambda: all(len(living(node)) == 2 for node in sites.nodes))
        sites.cut(sites.region, sites.root)
        sites.cut(sites.site, sites.region)
        await sites.put(sites.root, "gone", None)
        await sites.fill(sites.root)
        await sites.until(lambda: tombstones(sites.root) == [])
        assert "lines/gone" in living(sites.region)
        sites.restore(sites.region, sites.root)
        await sites.until(lambda: "lines/gone" not in living(sites.other))
        assert uplink_of(sites.region).state.bootstraps > 2
        # One that was away for longer yet hears of it from the region, which has forgotten what it was told.
        await sites.fill(sites.region)
        await sites.until(lambda: tombstones(sites.region) == [])
        assert "lines/gone" in living(sites.site)
        sites.restore(sites.site, sites.region)
        await sites.agree()
        assert sorted(living(sites.site)) == ["lines/filler", "lines/stays"]
        assert letters(*sites.nodes) == []

    simulate(seed, story)


def test_what_comes_in_a_snapshot_reaches_all_below(seed: int):
    async def story(sites: Sites) -> None:
        for key in ("a", "z"):
            await sites.put(sites.root, key)
        await sites.until(lambda: all(len(living(node)) == 2 for node in sites.nodes))
        sites.cut(sites.region, sites.root)
        # Between them, so that the region holds nothing of what some chunks cover.
        for number in range(FILL):
            await sites.put(sites.root, f"b{number:02}", bytes(100))
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        sites.restore(sites.region, sites.root)
        await sites.until(lambda: len(living(sites.site)) == FILL + 2)
        assert uplink_of(sites.site).state.bootstraps > 0

    simulate(seed, story)


def test_a_write_that_comes_too_late_brings_nothing_back_and_is_put_aside(seed: int):
    async def story(sites: Sites) -> None:
        for space in SPACES:
            await sites.put(sites.root, "stays", b"v", space)
        await sites.until(lambda: len(living(sites.site)) == 2)
        sites.cut(sites.site, sites.region)
        await sites.put(sites.site, "k", b"late")
        await sites.put(sites.site, "k", b"later")
        await sites.put(sites.site, "new", b"late")
        await sites.put(sites.site, "k", b"late", "other")
        await asyncio.sleep(1)
        await sites.put(sites.root, "k", b"v")
        await sites.put(sites.root, "k", None)
        await sites.until(lambda: tombstones(sites.other) == ["k"])
        await sites.until(lambda: tombstones(sites.root) == tombstones(sites.region) == [])
        await asyncio.sleep(LIMIT_S)
        sites.restore(sites.site, sites.region)
        await sites.agree()
        # Where nothing was forgotten, nothing is doubtful.
        assert living(sites.root) == {"lines/stays": b"v", "other/stays": b"v", "other/k": b"late"}
        said = letters(*sites.nodes)
        assert letters(sites.region) == said
        assert ["key 'new'" in each for each in said] == [False, False, True]
        assert all("plant-a made it at" in each and "Write it again" in each for each in said)
        assert sum(node.running.kv_fold.refused_entries for node in sites.nodes) == 3

    simulate(seed, story)


def test_a_write_that_was_not_sent_before_the_snapshot_came_is_put_aside(seed: int):
    async def story(sites: Sites) -> None:
        # The site has nothing of the region's yet: it begins from a snapshot, while what it has is under way.
        sites.cut(sites.site, sites.region)
        await sites.put(sites.site, "k", b"late")
        await asyncio.sleep(1)
        await sites.put(sites.root, "k", b"v")
        await sites.put(sites.root, "k", None)
        await sites.until(lambda: tombstones(sites.other) == ["k"])
        await sites.until(lambda: tombstones(sites.root) == tombstones(sites.region) == [])
        sites.restore(sites.site, sites.region)
        await sites.agree()
        assert living(sites.root) == {}
        assert letters(*sites.nodes)
        assert all("key 'k' in namespace lines: plant-a made it at" in each for each in letters(*sites.nodes))

    simulate(seed, story)


def test_what_is_left_of_a_quiet_stream_does_not_bring_back_what_the_snapshot_took_away(seed: int):
    async def story(sites: Sites) -> None:
        # The site has something of both of the region's streams, and goes on from there.
        await sites.put(sites.root, "stays")
        await sites.put(sites.other, "stays, too")
        await sites.until(lambda: len(living(sites.site)) == 2)
        sites.cut(sites.site, sites.region)
        # It comes to the region from below, and its deletion from above: by two streams, of which one is quiet.
        await sites.put(sites.other, "k")
        await sites.until(lambda: "lines/k" in living(sites.root))
        await sites.put(sites.root, "k", None)
        await sites.fill(sites.root)
        await sites.until(lambda: tombstones(sites.region) == tombstones(sites.root) == [])
        quiet = sites.region.running.store.stream(name("eu/kv/lines"))
        assert quiet is not None
        assert quiet.first == 0
        seen: list[object] = []
        sites.site.running.store.watch(lambda info: seen.append(sites.site.running.store.kv_get("lines", "k")))
        sites.restore(sites.site, sites.region)
        await sites.agree()
        assert {entry for entry in seen if entry is not None} == set()
        assert letters(*sites.nodes) == []

    simulate(seed, story)


def test_a_stream_that_is_new_does_not_leave_what_follows_of_the_other_to_bring_keys_back(seed: int):
    async def story(sites: Sites) -> None:
        await sites.put(sites.other, "stays")
        await sites.until(lambda: "lines/stays" in living(sites.site))
        sites.cut(sites.site, sites.region)
        await sites.put(sites.other, "k")
        await sites.until(lambda: "lines/k" in living(sites.root))
        # The first of the namespace that comes to the region from above.
        assert sites.region.running.store.stream(name("eu/kv-down/lines")) is None
        await sites.put(sites.root, "k", None)
        await sites.until(lambda: tombstones(sites.region) == ["k"])
        await sites.until(lambda: tombstones(sites.region) == tombstones(sites.root) == [])
        sites.restore(sites.site, sites.region)
        await sites.agree()
        assert letters(*sites.nodes) == []
        assert sites.region.running.kv_fold.refused_entries == 0

    simulate(seed, story)


def test_a_stream_that_is_new_waits_until_the_other_can_be_followed_again(seed: int):
    async def story(sites: Sites) -> None:
        answer = sites.region.running.answer_peer
        held_back = False

        async def handle(request: Request) -> AnyResponse:
            if held_back and request.path == peer.READ and request.query["stream"] == "eu/kv/lines":
                raise Unavailable("read", "eu/kv/lines", "it cannot be read just now")
            return await answer(request)

        sites.tree.network.serve(sites.region.peer_url, handle)
        await asyncio.sleep(5)
        # In one session: the stream is begun in it, and will not be begun again with the other.
        sessions = uplink_of(sites.site).state.sessions
        await sites.put(sites.other, "stays")
        await sites.until(lambda: "lines/stays" in living(sites.site))
        held_back = True
        await sites.put(sites.other, "k")
        await sites.until(lambda: "lines/k" in living(sites.root))
        assert sites.region.running.store.stream(name("eu/kv-down/lines")) is None
        await sites.put(sites.root, "k", None)
        await sites.until(lambda: tombstones(sites.region) == ["k"])
        await sites.until(lambda: tombstones(sites.region) == tombstones(sites.root) == [])
        await asyncio.sleep(2 * LIMIT_S)
        store = sites.site.running.store
        back: list[object] = []
        store.watch(lambda info: back.append("lines/k" in living(sites.site) and store.kv_horizon("lines") > 0))
        held_back = False
        await sites.agree()
        assert set(back) == {False}
        assert letters(*sites.nodes) == []
        assert uplink_of(sites.site).state.sessions == sessions

    simulate(seed, story)


@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 6))
def test_a_power_cut_while_a_region_begins_anew_or_forgets(number: int, takes_effect: bool, seed: int):
    async def story(sites: Sites) -> None:
        for n in range(30):
            await sites.put(sites.root, f"k{n:02}", bytes(30))
        await sites.until(lambda: all(len(living(node)) == 30 for node in sites.nodes))
        sites.cut(sites.region, sites.root)
        for n in range(0, 30, 3):
            await sites.put(sites.root, f"k{n:02}", None)
        await sites.fill(sites.root)
        await sites.until(lambda: tombstones(sites.root) == [])
        region = sites.region
        sites.restore(region, sites.root)
        for _ in range(3):
            # First while it begins anew, then wherever it is by then: it forgets what it was told.
            region.disk.schedule_cut(CutAt(region.disk.counts["sync"] + number, "sync", takes_effect))
            await sites.until(lambda: region.hub is None)
            await region.start()
        await sites.until(lambda: tombstones(region) == [])
        await sites.agree()
        assert len(living(region)) == 21
        assert letters(*sites.nodes) == []

    simulate(seed * 100 + number, story)


def test_a_tombstone_that_the_parent_has_of_us_does_not_make_what_was_deleted_later_live(seed: int):
    async def story(sites: Sites) -> None:
        await sites.put(sites.region, "k", b"first")
        await sites.until(lambda: all("lines/k" in living(node) for node in sites.nodes))
        sites.cut(sites.site, sites.region)
        await sites.put(sites.site, "k", None)
        await asyncio.sleep(1.0)
        await sites.put(sites.region, "k", b"written later")
        await sites.until(lambda: living(sites.root).get("lines/k") == b"written later")
        await sites.put(sites.root, "k", None)
        # So that the deletion comes to the site by no stream any more, but only as what the parent has forgotten.
        await sites.fill(sites.root)
        await sites.until(lambda: "k" not in tombstones(sites.region) and "lines/k" not in living(sites.region))
        sites.restore(sites.site, sites.region)
        await sites.agree()
        assert "lines/k" not in living(sites.site)

    simulate(seed, story)


ROUNDS = 60
KEYS = [f"key-{n}" for n in range(6)]


@pytest.mark.parametrize("number", range(4))
def test_whatever_is_written_deleted_cut_and_forgotten_all_agree_and_no_write_goes_without_a_word(
    number: int, seed: int
):
    async def story(sites: Sites) -> None:
        random = sites.tree.random.fork("story")
        links = [(sites.region, sites.root), (sites.site, sites.region), (sites.other, sites.region)]
        last: dict[str, bytes | None] = {}
        for n in range(ROUNDS):
            key = random.choice(KEYS)
            last[key] = None if random.random() < 0.4 else b"%d" % n + random.token_bytes(150)
            await sites.put(random.choice(sites.nodes), key, last[key])
            link = random.choice(links)
            (sites.cut if random.random() < 0.6 else sites.restore)(*link)
            if random.random() < 0.1:
                await sites.fill(random.choice(sites.nodes))
            # Longer than a cut takes to be noticed, and sometimes than tombstones are kept.
            await asyncio.sleep(random.uniform(0.01, LIMIT_S / 2))
        for link in links:
            sites.restore(*link)
        await sites.agree()
        said = "".join(letters(*sites.nodes))
        found = living(sites.root)
        for key, value in last.items():
            refused = f"key '{key}' in namespace lines" in said
            assert found.get(f"lines/{key}") == value or (refused and f"lines/{key}" not in found), key

    simulate(seed + number, story)
