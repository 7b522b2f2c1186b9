"""Targets are asked how they are. In virtual time."""

import asyncio

import msgspec
import pytest

from littoral.core.tasks import Tasks
from littoral.gateway.origins.checks import Checks
from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.pool import Pool
from littoral.gateway.origins.settings import ActiveHealth, OriginPool
from littoral.testing.loop import run
from littoral.testing.random import SeededRandom
from tests.support.pools import Answer, Scripted, failed, pool_of, targets

SETTINGS = ActiveHealth("/up", interval_s=10, jitter_share=0.1, timeout_s=3, healthy_after=2, unhealthy_after=2)


def watched(seconds, settings=SETTINGS, **scripts):
    """Who was asked, and each member's health as it was seen each second."""

    async def main():
        transport, pool = Scripted(**scripts), pool_of("a", "b", active=settings)
        tasks = Tasks(lambda error: errors.append(error))
        Checks(pool, transport, SeededRandom(1), tasks).start()
        seen = []
        for _ in range(seconds):
            await asyncio.sleep(1)
            seen.append("".join("+" if each.active.is_healthy else "-" for each in pool.members))
        await tasks.stop()
        assert not errors
        return transport, seen, pool

    errors: list[BaseException] = []
    return run(main)


def test_each_target_is_asked_again_and_again():
    transport, seen, _ = watched(50)
    assert 4 <= transport.asked.count("a") <= 6
    assert 4 <= transport.asked.count("b") <= 6
    assert set(seen) == {"++"}


def test_an_ill_target_is_found_and_found_well_again():
    _, seen, pool = watched(70, a=[200, failed(), 503, 200, 200])
    runs = [each for number, each in enumerate(seen) if number == 0 or seen[number - 1] != each]
    assert runs == ["++", "-+", "++"]
    assert pool.members[0].meter.checks_failed == 2


def test_no_answer_in_time_is_none():
    transport, seen, _ = watched(20, a=[1000.0, 1000.0])
    assert "-+" in seen
    assert transport.asked.count("a") == 2


def test_they_do_not_all_begin_at_once_and_leave_nothing_open():
    async def main():
        answer = Answer(200, (b"x",))
        transport, pool = Scripted(a=[answer]), pool_of("a", "b", active=SETTINGS)
        tasks = Tasks(lambda error: None)
        Checks(pool, transport, SeededRandom(1), tasks).start()
        await asyncio.sleep(0)
        assert transport.asked == []
        await asyncio.sleep(1)
        assert sorted(transport.asked) == ["a", "b"]
        assert answer.is_closed
        await tasks.stop()

    run(main)


@pytest.mark.parametrize(
    ("settings", "of_target", "said"),
    [("", "", "a:80"), ("shop.test", "", "shop.test"), ("shop.test", "a.shop.test:81", "a.shop.test:81")],
)
def test_the_host_that_is_asked_is_the_one_that_requests_ask(settings, of_target, said):
    async def main():
        target = msgspec.structs.replace(*targets("a"), host=of_target)
        pool = Pool(
            OriginPool("pool", (target,), active=ActiveHealth("/up", settings)), SeededRandom(0), PoolMeter(), key=b"k"
        )
        transport, tasks = Scripted(), Tasks(lambda error: None)
        Checks(pool, transport, SeededRandom(1), tasks).start()
        await asyncio.sleep(5)
        await tasks.stop()
        return [dict(each.fields)["host"] for each in transport.requests]

    assert run(main) == [said]


def test_without_a_path_nobody_is_asked():
    assert watched(50, settings=ActiveHealth())[0].asked == []
