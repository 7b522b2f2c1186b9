import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.core.names import StreamName
from littoral.fleet.purges import PURGES, PurgeFold, submit_purge
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import EVERYTHING, Purge
from littoral.node.purge_desk import CONFIRM_S, TOLD_MOST, PurgeDesk
from littoral.node.purge_messages import Told
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.purges import HELD, Gateways
from tests.support.stores import SimStore, append

OWN = StreamName("plant-a", PURGES)


def tag(text: str) -> Purge:
    return Purge("tag", text)


def play(story: Callable[[SimStore, PurgeDesk], Awaitable[None]]) -> None:
    async def main() -> None:
        sim = SimStore("plant-a")
        store = sim.open()
        await story(sim, PurgeDesk(store, sim.clock))
        await sim.close()

    run(main)


async def submit(sim: SimStore, *values: str) -> None:
    def job(tx: Transaction) -> None:
        for value in values:
            submit_purge(tx, tag(value))

    assert sim.store is not None
    await sim.store.submit(job)


def test_it_says_how_many_gateways_have_dropped_how_many_objects() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        gateways = Gateways(desk)
        outcome = await desk.purge(tag("one"))
        assert (outcome.number, outcome.gateways, outcome.objects, outcome.unconfirmed) == (0, 2, 2, 0)
        both = await asyncio.gather(desk.purge(tag("two")), desk.purge(tag("three")))
        assert [(each.number, each.objects) for each in both] == [(1, 2), (2, 4)], "of each its own"
        assert gateways.heard == ["one", "two", "three"]
        assert gateways.told[-1].until == desk.since(None).until
        assert 0 < gateways.told[0].purges[0].at_ms <= sim.clock.wall_ms()
        assert await desk.inspect(HELD.url) == [[HELD], [HELD]]

    play(story)


def test_without_gateways_it_is_kept_all_the_same() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        outcome = await desk.purge(tag("one"))
        assert (outcome.number, outcome.gateways) == (0, 0)
        assert await desk.inspect(HELD.url) == []
        assert [purge.value for purge in desk.since(Position("", 0)).purges] == ["one"]

    play(story)


def test_who_does_not_confirm_is_waited_for_as_long_as_is_allowed() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        Gateways(desk, silent="c")
        before_s = sim.clock.monotonic_s()
        outcome = await desk.purge(tag("one"))
        assert (outcome.gateways, outcome.unconfirmed) == (2, 1)
        assert CONFIRM_S <= sim.clock.monotonic_s() - before_s < 2 * CONFIRM_S

    play(story)


def test_whoever_writes_it_the_gateways_are_told_of_it_once() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        await submit(sim, "before")
        gateways = Gateways(desk)
        await submit(sim, "one", "two")
        await submit(sim, "three")
        assert gateways.heard == ["one", "two", "three"]

    play(story)


def test_a_gateway_that_was_away_is_told_what_follows_what_it_knows() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        assert desk.since(Position("", 0)) == Told([], Position("", 0))
        assert desk.since(None).purges == [EVERYTHING], "it may have stored what was purged before it was connected"
        await submit(sim, "one", "two")
        known = desk.since(None).until
        assert known.next == 2
        await submit(sim, "three")
        await submit(sim, "four")
        for position, expected in ((known, ["three", "four"]), (Position("", 0), ["one", "two", "three", "four"])):
            told = desk.since(position)
            assert [purge.value for purge in told.purges] == expected
            assert told.until == Position(known.log, 4)
            assert desk.since(told.until).purges == []
        # In the middle of a batch.
        assert [purge.value for purge in desk.since(Position(known.log, 1)).purges] == ["two", "three", "four"]

    play(story)


def test_one_that_cannot_be_told_all_purges_everything() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        assert desk.since(Position("other", 0)).purges == [EVERYTHING]
        await submit(sim, "one")
        known = desk.since(None).until
        assert desk.since(Position("other", 1)).purges == [EVERYTHING]
        assert desk.since(Position(known.log, 2)).purges == [EVERYTHING]
        await submit(sim, *map(str, range(TOLD_MOST)))
        assert len(desk.since(known).purges) == TOLD_MOST
        await submit(sim, "more")
        assert desk.since(known).purges == [EVERYTHING]
        assert sim.store is not None
        await sim.store.submit(lambda tx: tx.retain(OWN, 0, 100, most_bytes=0))
        await submit(sim, "last")
        assert desk.since(Position(known.log, TOLD_MOST)).purges == [EVERYTHING]

    play(story)


def test_what_makes_no_frame_purges_everything() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        gateways = Gateways(desk)
        await submit(sim, "first")
        known = desk.since(None).until
        count = CONTROL_FRAME_BYTES.default // 8000
        await submit(sim, *("x" * 8000 for _ in range(count)))
        assert gateways.heard == ["first", "all"]
        assert desk.since(known).purges == [EVERYTHING]

    play(story)


def test_what_cannot_be_read_purges_everything() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        gateways = Gateways(desk)
        assert sim.store is not None
        await submit(sim, "one")
        known = desk.since(None).until
        await sim.store.submit(append(OWN, b"\xc1", b""))
        assert gateways.heard == ["one", "all", "all"]
        await submit(sim, "two")
        await submit(sim, "three")
        told = desk.since(known).purges
        assert [purge.value or purge.kind for purge in told] == ["all", "all", "two", "three"]
        sim.store.committer._connection.execute("DELETE FROM batches WHERE first=3")
        assert desk.since(known).purges == [EVERYTHING]

    play(story)


def test_a_stream_that_was_made_anew_purges_everything() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        gateways = Gateways(desk)
        await submit(sim, "one", "two", "three")
        known = desk.since(None).until
        assert sim.store is not None
        await sim.store.submit(lambda tx: tx.delete_stream(OWN))
        await submit(sim, "other")
        assert gateways.heard[3:] == ["all"]
        assert desk.since(known).purges == [EVERYTHING]

    play(story)


def test_the_fold_appends_what_the_parent_purges_and_everything_in_place_of_what_is_lost() -> None:
    async def story(sim: SimStore, desk: PurgeDesk) -> None:
        gateways, fold = Gateways(desk), PurgeFold("cloud")
        assert sim.store is not None
        source = StreamName("cloud", PURGES)
        await sim.store.submit(lambda tx: submit_purge(tx, tag("own")))
        info = sim.store.stream(OWN)
        assert info is not None
        assert not fold.wants(info)
        await sim.store.submit(partial(fold.apply, source=source, first=0, records=[b"\xc1", b"\xa1x"]))
        await sim.store.submit(fold.lost)
        assert gateways.heard == ["own", "all", "all", "all"]

    play(story)
