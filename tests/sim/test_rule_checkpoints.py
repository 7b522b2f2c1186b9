"""A rule at work on a store: what it has counted stays counted, and readings that are gone are stepped over.

Power cuts at its checkpoints are the workloads `numbered` and `unnumbered` of tests/sim/crash.
"""

import asyncio

import msgspec

from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.sim.crash.rules import READINGS, RunningRule, put, windows
from tests.support.stores import SimStore


def test_a_number_that_was_seen_is_not_counted_again():
    async def main() -> None:
        running = _running(SimStore())
        await running.until_adopted()
        await running.store.submit(put(*range(12), 3, 4, 11))
        await running.store.submit(put(*range(16)))
        await running.until_folded()
        assert windows(running.store) == [(0, 10)]
        assert running.runner.rule.counters.duplicates == 15
        await running.tasks.stop()

    run(main)


def test_readings_that_retention_took_are_stepped_over():
    """A rule that was away for longer than its readings are kept goes on with the next; it does not spin."""

    async def main() -> None:
        sim = SimStore()
        running = _running(sim)
        await running.until_adopted()
        await running.store.submit(put(0, 1))
        await running.until_folded()
        await running.tasks.stop()
        await running.store.submit(put(2, 3))
        dropped = await running.store.submit(_drop_all)
        assert dropped == 2
        running = RunningRule(sim, running.store)
        await asyncio.sleep(5)
        await running.store.submit(put(*range(4, 16)))
        await running.until_folded()
        assert windows(running.store) == [(0, 8)]
        await running.tasks.stop()

    run(main)


def _drop_all(tx: Transaction) -> int:
    """What retention by age does to a stream that was quiet for long."""
    info = tx.stream(READINGS)
    assert info is not None
    tx._heads.set(msgspec.structs.replace(info, retention_ms=1))
    return tx.retain(READINGS, 1 << 60, 100)


def _running(sim: SimStore) -> RunningRule:
    return RunningRule(sim, sim.open())
