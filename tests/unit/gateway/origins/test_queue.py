"""Requests that wait for room. In virtual time."""

import asyncio

import pytest

from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.queue import Queue
from littoral.gateway.origins.settings import Crowding
from littoral.testing.loop import run


def queue(waiting=2):
    meter = PoolMeter()
    return Queue(Crowding(waiting=waiting, wait_s=5), meter), meter


async def waiting_in(it, count):
    tasks = [asyncio.ensure_future(it.wait(it.enter())) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_first_come_first_served():
    async def main():
        it, meter = queue()
        first, second = await waiting_in(it, 2)
        assert meter.waiting == 2
        it.room()
        assert await first
        assert not second.done()
        it.room()
        assert await second
        assert (meter.waiting, meter.refused) == (0, 0)
        it.room()

    run(main)


def test_no_more_than_may_wait_and_no_longer():
    async def main():
        it, meter = queue(waiting=1)
        [first] = await waiting_in(it, 1)
        assert not await it.wait(it.enter())
        assert meter.refused == 1
        assert not await first
        assert (meter.refused, meter.waiting, asyncio.get_running_loop().time()) == (2, 0, 5)
        [next_] = await waiting_in(it, 1)
        it.room()
        assert await next_, "whoever has left takes no place"

    run(main)


def test_a_place_given_to_one_who_has_left_goes_to_the_next():
    async def main():
        it, _ = queue()
        first, second = await waiting_in(it, 2)
        it.room()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0)
        assert second.done()
        assert await second

    run(main)
