import asyncio
from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import InvalidInput, LimitReached
from littoral.core.limits import Limits
from littoral.node.app_purges import MINUTE_S, MOST_AT_ONCE, AppPurges
from littoral.node.purge_desk import CONFIRM_S, PurgeDesk
from littoral.testing.loop import run
from tests.support.purges import Gateways
from tests.support.stores import SimStore


def play(story: Callable[[PurgeDesk, AppPurges], Awaitable[None]], purges: int = 600) -> None:
    async def main() -> None:
        sim = SimStore("plant-a")
        desk = PurgeDesk(sim.open(), sim.clock)
        await story(desk, AppPurges(desk, sim.clock, Limits({"cache-purges": purges})))
        await sim.close()

    run(main)


def test_what_an_app_orders_is_written_down_as_its_own_and_confirmed() -> None:
    async def story(desk: PurgeDesk, order: AppPurges) -> None:
        gateways = Gateways(desk)
        assert not await order("shop", ["a", "b"], ["/c"], everything=False)
        assert not await order("blog", [], [], everything=True)
        told = [(each.kind, each.value, each.app) for told in gateways.told for each in told.purges]
        assert told == [("tag", "a", "shop"), ("tag", "b", "shop"), ("path", "/c", "shop"), ("all", "", "blog")]

    play(story)


def test_a_gateway_that_is_silent_is_told_of() -> None:
    async def story(desk: PurgeDesk, order: AppPurges) -> None:
        Gateways(desk, "a", silent="b")
        began_s = asyncio.get_running_loop().time()
        assert "1 gateways of the node have not confirmed it yet" in await order("shop", ["a"], [], everything=False)
        assert asyncio.get_running_loop().time() - began_s >= CONFIRM_S

    play(story)


def test_what_is_no_purge_and_what_is_too_much_is_refused() -> None:
    async def story(desk: PurgeDesk, order: AppPurges) -> None:
        gateways = Gateways(desk)
        for tags, paths, words in (
            ([], [], "0 tags and paths were given"),
            (["a"] * (MOST_AT_ONCE + 1), [], "Give 1 to 100 in a call"),
            (["a b"], [], "a tag has no spaces"),
            ([], ["c"], "begins with a slash"),
        ):
            with pytest.raises(InvalidInput, match=words):
                await order("shop", tags, paths, everything=False)
        assert not gateways.told
        await order("shop", ["a"], [], everything=False)
        with pytest.raises(LimitReached, match="it has ordered 3 this minute, and may order 3"):
            await order("shop", ["a"], [], everything=False)
        await order("blog", ["a"], [], everything=False)
        await asyncio.sleep(MINUTE_S)
        await order("shop", ["a"], [], everything=False)

    play(story, purges=3)
