"""The store's writer in virtual time."""

import asyncio

import pytest

from littoral.core.errors import LimitReached
from littoral.core.limits import Limits
from littoral.store.opening import open_store
from littoral.store.store import Store
from littoral.testing.clock import SimClock
from littoral.testing.disk import SimDisk
from littoral.testing.loop import node_context, run, running_loop
from littoral.testing.random import SeededRandom
from littoral.testing.writer import SimWriter


class Running:
    """A store on a disk that is slow when it is open."""

    def __init__(self, seed: int = 1, sync_delay_s: float = 10.0, **limits: int) -> None:
        bounds = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        random = SeededRandom(seed)
        self.disk = SimDisk(random.fork("disk"))
        self.clock = SimClock(running_loop())
        self.writer = SimWriter(bounds, random.fork("writer"), self.disk)
        self.store: Store = open_store("a", self.disk, self.clock, random.fork("store"), bounds, self.writer)
        self.disk.sync_delay_s = sync_delay_s

    def put(self, number: int) -> "asyncio.Future[None]":
        return self.store.submit(lambda tx: tx.put_state("s", f"{number}", b""))


def test_a_slow_disk_answers_late_and_the_groups_one_after_the_other():
    async def main() -> None:
        running = Running()
        first = running.put(1)
        await asyncio.sleep(1)
        second, third = running.put(2), running.put(3)
        await first
        assert 5 < running_loop().time() < 15.1
        assert not second.done()
        await second
        assert third.done()
        assert 10 < running_loop().time() < 30.1
        assert running.disk.hits["slow"] == 2

    run(main)


def test_a_process_that_dies_meanwhile_has_sometimes_committed_and_told_nobody():
    found = set()
    for seed in range(20):

        async def main(seed: int = seed) -> None:
            running = Running(seed)
            told = running.put(1)
            await asyncio.sleep(5)
            running.writer.kill()
            running.store.abandon()
            await asyncio.sleep(60)
            assert not told.done()
            running.disk.cut_power()
            running.disk.power_on()
            writer, random = SimWriter(Limits({}), SeededRandom(1)), SeededRandom(2)
            again = open_store("a", running.disk, running.clock, random, Limits({}), writer)
            found.add(again.state_value("s", "1") is not None)
            await again.close()

        run(main)
    assert found == {True, False}


def test_stopping_tells_what_is_committed_and_commits_what_is_queued():
    async def main() -> None:
        running = Running()
        futures = [running.put(1)]
        await asyncio.sleep(running_loop().random.uniform(1, 5))
        futures.append(running.put(2))
        await running.store.close()
        assert [future.result() for future in futures] == [None, None]

    for seed in range(10):
        run(main, seed=seed)


def test_as_many_jobs_wait_as_at_the_real_one():
    async def main() -> None:
        running = Running(commit_queue_jobs=3)
        for number in range(3):
            running.put(number)
        with pytest.raises(LimitReached, match="3 jobs are waiting for the disk"):
            running.put(3)

    run(main)


def test_it_belongs_to_its_node_whoever_submits():
    async def main() -> None:
        running = node_context("a").run(Running, sync_delay_s=0.0)
        running_loop().pause("a")
        told = running.put(1)
        await asyncio.sleep(60)
        assert not told.done()
        running_loop().resume("a")
        await told
        assert running_loop().time() == 60

    run(main)
