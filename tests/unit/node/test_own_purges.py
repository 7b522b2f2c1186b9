import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from littoral.core.names import StreamName
from littoral.fleet.purges import PURGES, submit_purge
from littoral.gateway.cache.purge import Purge, encode_purge
from littoral.node.own_purges import REMEMBERED_BYTES, REMEMBERED_MOST, OwnPurges
from littoral.store.store import Store
from littoral.testing.loop import run
from tests.support.stores import SimStore, append

OWN = StreamName("plant-a", PURGES)


def play(story: Callable[[SimStore, Store, OwnPurges], Awaitable[None]]) -> None:
    async def main() -> None:
        sim = SimStore("plant-a")
        store = sim.open()
        await story(sim, store, OwnPurges(store, "cloud", sim.clock))
        await sim.close()

    run(main)


def tag(value: str, at_ms: int = 1, node: str = "plant-a") -> Purge:
    return Purge("tag", value, at_ms=at_ms, node=node)


def values(purges: list[Purge]) -> list[str]:
    return [purge.value or purge.kind for purge in purges]


async def write(store: Store, *purges: Purge) -> None:
    await store.submit(append(OWN, *map(encode_purge, purges), lane="control", reach="node"))


def test_what_others_ordered_is_not_the_nodes_own() -> None:
    async def story(sim: SimStore, store: Store, mine: OwnPurges) -> None:
        assert (mine.all().own, mine.all().before_ms, mine.all().is_all) == ([], 0, True)
        await write(store, tag("above", node="cloud"), tag("own"), tag("former", node=""))
        again = OwnPurges(store, "cloud", sim.clock)
        assert values(again.all().own) == ["own", "former"]
        news = mine.new([tag("above", node="cloud"), tag("own")])
        assert (values(news.own), news.is_all) == (["own"], False)
        assert values(mine.all().own) == ["own"]

    play(story)


def test_one_says_by_whom_and_when_it_was_ordered() -> None:
    async def story(sim: SimStore, store: Store, mine: OwnPurges) -> None:
        await store.submit(partial(submit_purge, purge=Purge("tag", "page", at_ms=5, node="forged")))
        (own,) = mine.all().own
        assert (own.node, own.at_ms) == ("plant-a", 5)
        (unknown,) = mine.new([Purge("all")]).own
        assert unknown.at_ms == mine.all().now_ms == sim.clock.wall_ms()
        before_ms = sim.clock.wall_ms()
        await write(store, Purge("all"))
        after_ms = sim.clock.wall_ms()
        await asyncio.sleep(3600)
        assert before_ms <= OwnPurges(store, "cloud", sim.clock).all().own[-1].at_ms <= after_ms, "when it was written"

    play(story)


def test_so_many_are_remembered_and_when_the_others_were_at_the_latest() -> None:
    async def story(sim: SimStore, store: Store, mine: OwnPurges) -> None:
        await write(store, *(tag(f"t{number}", 10 + number) for number in range(REMEMBERED_MOST + 2)))
        told = mine.all()
        assert (len(told.own), told.own[0].value, told.before_ms) == (REMEMBERED_MOST, "t2", 11)
        mine.new([tag("one more", 5000)])
        assert (mine.all().own[0].value, mine.all().before_ms) == ("t3", 12)
        large = "x" * 8000
        mine.new([tag(large, 6000 + number) for number in range(100)])
        told = mine.all()
        assert sum(len(each.value) for each in told.own) <= REMEMBERED_BYTES
        assert told.before_ms == told.own[0].at_ms - 1
        assert len(msgspec.msgpack.encode(told)) < REMEMBERED_BYTES * 2

    play(story)


def test_what_the_stream_does_not_hold_any_more_came_before_what_it_holds() -> None:
    async def story(sim: SimStore, store: Store, mine: OwnPurges) -> None:
        await write(store, tag("first", 10))
        await asyncio.sleep(5)
        await write(store, tag("second", 20))
        written_ms = sim.clock.wall_ms()
        info = store.stream(OWN)
        assert info is not None
        most_bytes = info.bytes - 1
        await store.submit(lambda tx: tx.retain(OWN, 0, 100, most_bytes=most_bytes))
        await asyncio.sleep(3600)
        assert values(mine.all().own) == ["second"]
        assert written_ms - 1000 < mine.all().before_ms <= written_ms
        await store.submit(lambda tx: tx.retain(OWN, 0, 100, most_bytes=0))
        nothing = OwnPurges(store, "cloud", sim.clock).all()
        assert (nothing.own, nothing.before_ms) == ([], sim.clock.wall_ms())

    play(story)
