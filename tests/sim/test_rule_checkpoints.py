"""A rule at work on a store, with the power cut at every sync, and with its readings gone."""

import asyncio

import msgspec
import pytest

from littoral.core.resources import Rule
from littoral.core.tasks import Tasks
from littoral.iot.readings import RawReading, open_readings, readings_stream
from littoral.iot.rule_runner import RuleRunner
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.disk import CutAt
from littoral.testing.loop import run
from tests.support.stores import SimStore, name, records_of
from tests.support.vertical import RULE, payload

UNNUMBERED = msgspec.structs.replace(RULE, spec=msgspec.structs.replace(RULE.spec, sequence=None))
"""Nothing but the offset tells this rule what it has folded."""
READINGS = readings_stream("plant-a")
WINDOWS = name("plant-a/windows")
_encode = msgspec.msgpack.Encoder().encode


class Running:
    """A store with a rule at work."""

    def __init__(self, sim: SimStore, store: Store | None = None, rule: Rule = RULE) -> None:
        self.store = store or sim.open()
        self.failures: list[BaseException] = []
        self.runner = RuleRunner(self.store, rule, lambda topic, payload: None, sim.clock.wall_ms, sim.limits)
        self.tasks = Tasks(self.failures.append)
        self.tasks.start(self.runner.run(), "rule")

    async def until_folded(self) -> None:
        async with asyncio.timeout(60):
            while (info := self.store.stream(READINGS)) is None or self.runner.offset < info.next:
                await asyncio.sleep(0.05)
                assert self.failures == []

    async def until_adopted(self) -> None:
        async with asyncio.timeout(60):
            while self.store.state_value("rules", "rule/temperature") is None:
                await asyncio.sleep(0.05)


def put(*numbers: int):
    records = [_encode(RawReading("factory/press/temperature", payload(n), 0)) for n in numbers]

    def job(tx: Transaction) -> None:
        open_readings(tx)
        tx.append(READINGS, records)

    return job


def windows(store: Store) -> list[tuple[int, int]]:
    rows = [msgspec.json.decode(record) for record in records_of(store, WINDOWS)]
    return [(row["start"] // 1000, row["count"]) for row in rows]


def test_a_number_that_was_seen_is_not_counted_again():
    async def main() -> None:
        running = Running(SimStore())
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
        running = Running(sim)
        await running.until_adopted()
        await running.store.submit(put(0, 1))
        await running.until_folded()
        await running.tasks.stop()
        await running.store.submit(put(2, 3))
        dropped = await running.store.submit(_drop_all)
        assert dropped == 2
        running = Running(sim, running.store)
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


@pytest.mark.parametrize("rule", [RULE, UNNUMBERED], ids=["numbered", "unnumbered"])
def test_a_power_cut_at_any_sync_repeats_no_window_and_leaves_none_out(rule: Rule):
    async def once(number: int, *, takes_effect: bool) -> None:
        sim = SimStore(seed=number)
        running = Running(sim, rule=rule)
        await running.until_adopted()
        sim.disk.on_cut = sim.writer.kill
        sim.disk.schedule_cut(CutAt(sim.disk.counts["sync"] + number, "sync", takes_effect))
        for first in range(0, 40, 4):
            if sim.disk.powered:
                running.store.submit(put(*range(first, first + 4)))
                await asyncio.sleep(0.05)
        assert not sim.disk.powered
        running.tasks.abandon()
        sim.died()
        running = Running(sim, rule=rule)
        # A device that numbers its readings sends all again; one that does not goes on where it was.
        info = running.store.stream(READINGS)
        sent = info.next if rule is UNNUMBERED and info is not None else 0
        await running.store.submit(put(*range(sent, 46)))
        await running.until_folded()
        assert windows(running.store) == [(0, 10), (10, 10), (20, 10), (30, 10)]
        await running.tasks.stop()

    async def main() -> None:
        for number in range(1, 16):
            for takes_effect in (False, True):
                await once(number, takes_effect=takes_effect)

    run(main)
