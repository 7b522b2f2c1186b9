"""Who waits for the bandwidth of a link, and who goes first."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import Unavailable
from littoral.core.resources.model import Bandwidth
from littoral.streams.bandwidth import DAY_MS
from littoral.streams.link_budget import BANDWIDTH, BudgetSpent, LinkBudget
from littoral.testing.loop import run
from tests.support.stores import SimStore

MIB = 1 << 20


def play(bandwidth: Bandwidth, story: Callable[[LinkBudget, SimStore], Awaitable[None]]) -> None:
    async def main() -> None:
        sim = SimStore()
        await story(LinkBudget(bandwidth, sim.open(), sim.clock, lambda name: False), sim)

    run(main)


def test_who_is_urgent_goes_first_and_the_others_in_the_order_in_which_they_came():
    async def story(budget: LinkBudget, sim: SimStore) -> None:
        went: list[str] = []

        async def go(name: str, size: int, *, urgent: bool) -> None:
            await budget.enter(size, urgent=urgent)
            went.append(name)

        await go("first", 10_000, urgent=False)
        async with asyncio.TaskGroup() as tasks:
            for name, size, urgent in (
                ("large", 2_000, False),
                ("small", 10, False),
                ("urgent", 5_000, True),
                ("also urgent", 5_000, True),
            ):
                tasks.create_task(go(name, size, urgent=urgent))
            await asyncio.sleep(0.1)
            assert budget.state.waiting
        assert went == ["first", "urgent", "also urgent", "large", "small"]
        assert not budget.state.waiting
        assert budget.state.carried_bytes == 22_010

    play(Bandwidth(rate="10000", burst="10000"), story)


def test_what_an_answer_did_not_take_is_there_for_who_waits():
    async def story(budget: LinkBudget, sim: SimStore) -> None:
        loop = asyncio.get_running_loop()
        await budget.enter(10_000, urgent=False)
        began_s = loop.time()
        waits = loop.create_task(budget.enter(9_000, urgent=False))
        await asyncio.sleep(0.1)
        budget.carried(-9_500)
        await waits
        assert loop.time() - began_s == pytest.approx(0.1, abs=0.01)
        assert budget.state.waited_s == pytest.approx(0.1, abs=0.01)

    play(Bandwidth(rate="10000", burst="10000"), story)


def test_who_gives_up_waiting_holds_nobody_back():
    async def story(budget: LinkBudget, sim: SimStore) -> None:
        loop = asyncio.get_running_loop()
        await budget.enter(20_000, urgent=False)
        urgent = loop.create_task(budget.enter(10_000, urgent=True))
        other = loop.create_task(budget.enter(10, urgent=False))
        await asyncio.sleep(0.1)
        urgent.cancel()
        await other
        assert loop.time() < 2
        assert not budget.state.waiting

    play(Bandwidth(rate="10000", burst="10000"), story)


def test_a_piece_is_no_larger_than_what_is_left_and_what_can_go_at_once():
    async def by_rate(budget: LinkBudget, sim: SimStore) -> None:
        assert budget.piece_bytes(500) == 500
        assert budget.piece_bytes(MIB) == 7_500 - 700

    play(Bandwidth(rate="10000", burst="10000"), by_rate)

    async def by_day(budget: LinkBudget, sim: SimStore) -> None:
        assert budget.piece_bytes(10 * MIB) == MIB - 700
        await budget.enter(MIB - 5_000, urgent=False)
        assert budget.piece_bytes(MIB) == 4_300
        await budget.enter(5_000, urgent=False)
        assert budget.piece_bytes(MIB) == MIB, "what is urgent goes on, and not in crumbs"

    play(Bandwidth(per_day="1MiB"), by_day)


@pytest.mark.parametrize("at_end", ["urgent-only", "stop"])
def test_whose_budget_is_spent_is_told_at_once_also_while_waiting(at_end):
    async def story(budget: LinkBudget, sim: SimStore) -> None:
        loop = asyncio.get_running_loop()
        waits = loop.create_task(budget.enter(10_000, urgent=False))
        await asyncio.sleep(0)
        await budget.enter(MIB, urgent=True)
        refused = Unavailable if at_end == "stop" else BudgetSpent
        with pytest.raises(refused):
            await budget.enter(1, urgent=False)
        if at_end == "stop":
            with pytest.raises(Unavailable, match="budget is spent until 2023-11-15 00:00 UTC"):
                await budget.enter(1, urgent=True)
        else:
            await budget.enter(1, urgent=True)
        await waits
        until_ms = budget.state.spent_until_ms
        assert until_ms is not None
        sim.clock.step(until_ms - sim.clock.wall_ms() - 2_000)
        began_s = loop.time()
        await budget.unspent()
        assert loop.time() - began_s == pytest.approx(2, abs=0.01)
        await budget.enter(1, urgent=False)

    play(Bandwidth(rate="1MiB", per_day="1MiB", at_end=at_end), story)


def test_what_was_used_is_on_disk_a_second_later_and_old_days_are_not():
    async def story(budget: LinkBudget, sim: SimStore) -> None:
        assert sim.store is not None
        warnings: list[str] = []
        keeping = asyncio.get_running_loop().create_task(budget.keep(warnings.append))
        await budget.enter(1_000, urgent=False)
        await asyncio.sleep(1.1)
        assert sim.store.state(BANDWIDTH) == {"2023-11-14": b"1000", "2023-11": b"1000"}
        for _ in range(60):
            sim.clock.step(DAY_MS)
            await budget.enter(1, urgent=False)
            await asyncio.sleep(1.1)
        labels = sorted(sim.store.state(BANDWIDTH))
        assert len(labels) == 41 + 3
        assert warnings == []
        keeping.cancel()
        again = LinkBudget(Bandwidth(per_day="1MiB", per_month="32MiB"), sim.store, sim.clock, lambda name: False)
        assert again.state.used["day"] == 1

    play(Bandwidth(per_day="1MiB", per_month="32MiB"), story)
