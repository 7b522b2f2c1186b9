"""A rule at work on a store: readings in, windows out."""

import asyncio
from collections.abc import Callable

import msgspec

from littoral.core.resources import Rule
from littoral.core.tasks import Tasks
from littoral.iot.readings import RawReading, open_readings, readings_stream
from littoral.iot.rule_runner import RuleRunner
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.store import SimStore
from tests.support.stores import name, records_of
from tests.support.vertical import RULE, payload

UNNUMBERED = msgspec.structs.replace(RULE, spec=msgspec.structs.replace(RULE.spec, sequence=None))
"""Nothing but the offset tells this rule what it has folded."""
READINGS = readings_stream("plant-a")
WINDOWS = name("plant-a/windows")
COUNT = 46
"""Readings, a second apart: what ends four windows of 10 s."""
EVERY = 4
FOLDED_S = 60.0
_encode = msgspec.msgpack.Encoder().encode


class RunningRule:
    """A store with a rule at work."""

    def __init__(self, sim: SimStore, store: Store, rule: Rule = RULE) -> None:
        self.store = store
        self.deaths = sim.deaths
        self.failures: list[BaseException] = []
        self.runner = RuleRunner(store, rule, lambda topic, payload: None, sim.clock.wall_ms, sim.limits)
        self.tasks = Tasks(self.failures.append)
        self.tasks.start(self.runner.run(), "rule")

    @property
    def folded(self) -> bool:
        """Whether the rule has taken in all there is."""
        assert self.failures == []
        info = self.store.stream(READINGS)
        return info is not None and self.runner.offset >= info.next

    async def until_folded(self) -> None:
        async with asyncio.timeout(FOLDED_S):
            while not self.folded:
                await asyncio.sleep(0.05)

    async def until_adopted(self) -> None:
        async with asyncio.timeout(FOLDED_S):
            while self.store.state_value("rules", "rule/temperature") is None:
                await asyncio.sleep(0.05)


def put(*numbers: int) -> Callable[[Transaction], None]:
    """A job that appends these readings."""
    records = [_encode(RawReading("factory/press/temperature", payload(n), 0)) for n in numbers]

    def job(tx: Transaction) -> None:
        open_readings(tx)
        tx.append(READINGS, records)

    return job


def windows(store: Store) -> list[tuple[int, int]]:
    """Start in seconds, and count, of the windows that were ended."""
    rows = [msgspec.json.decode(record) for record in records_of(store, WINDOWS)]
    return [(row["start"] // 1000, row["count"]) for row in rows]


async def numbered(crash: Crash) -> None:
    """A device that numbers its readings sends all again after a cut: every window is there once."""
    await _work(crash, RULE, lambda store: 0)


async def unnumbered(crash: Crash) -> None:
    """A device that does not goes on where its node is: every window is there once."""
    await _work(crash, UNNUMBERED, _stored)


def _stored(store: Store) -> int:
    info = store.stream(READINGS)
    return info.next if info is not None else 0


async def _work(crash: Crash, rule: Rule, resume: Callable[[Store], int]) -> None:
    node = crash.store("plant-a")
    running = RunningRule(node, node.running(), rule)
    sent = 0
    async with asyncio.timeout(1000):
        while True:
            await asyncio.sleep(0.05)
            if node.deaths > running.deaths:
                running.tasks.abandon()
                running = RunningRule(node, node.running(), rule)
                sent = resume(running.store)
            elif sent < COUNT:
                running.store.submit(put(*range(sent, min(sent + EVERY, COUNT))))
                sent = min(sent + EVERY, COUNT)
            elif running.folded:
                break
    assert windows(running.store) == [(0, 10), (10, 10), (20, 10), (30, 10)]
    await running.tasks.stop()
