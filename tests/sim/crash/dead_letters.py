"""Records put aside, retried and dropped."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from littoral.core.errors import Conflict, StorageError, Unavailable
from littoral.core.resources import Rule
from littoral.core.resources.rule import Field
from littoral.core.tasks import Tasks
from littoral.fleet.kv_fold import KvFold
from littoral.iot.readings import RawReading, open_readings
from littoral.iot.rule_engine import RuleEngine
from littoral.iot.rules.output import WINDOW
from littoral.node.letter_desk import Filter, LetterDesk
from littoral.node.retriers import Retriers
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.store import SimStore
from tests.sim.crash.rules import READINGS, UNNUMBERED, WINDOWS
from tests.support.stores import name, records_of
from tests.support.vertical import payload

DEAD = name("plant-a/dead-letters")
RESULTS = 8
"""Results that were refused; every second one is dropped."""
READ = 27
"""Readings, a second apart: what ends two windows of 10 s."""
ANSWER_S = 3.0
UNTIL_S = 1000.0
SPOILT = msgspec.structs.replace(UNNUMBERED, spec=msgspec.structs.replace(UNNUMBERED.spec, value=Field(path="valve")))
"""The rule before it was mended: no reading has what it looks for."""
_encode = msgspec.msgpack.Encoder().encode


class Desk:
    """A store, its rule at work, and the desk."""

    def __init__(self, sim: SimStore, store: Store, rule: Rule, revision: str) -> None:
        self.store = store
        self.deaths = sim.deaths
        self.failures: list[BaseException] = []
        self.engine = RuleEngine(store, sim.limits, sim.clock.wall_ms, self.failures.append)
        self.engine.apply({rule.metadata.name: (rule, revision)})
        retriers = Retriers(store, KvFold("plant-a", ""), self.engine)
        self.desk = LetterDesk(store, sim.limits, retriers, sim.clock.wall_ms, lambda text: None)
        self.tasks = Tasks(self.failures.append)
        self.tasks.start(self.desk.run(), "desk")

    def abandon(self) -> None:
        self.tasks.abandon()
        self.engine.abandon()

    async def stop(self) -> None:
        await self.tasks.stop()
        await self.engine.stop()


class Operator:
    """Asks the desk until it is answered, as somebody whose node is started again would."""

    def __init__(self, sim: SimStore) -> None:
        self.sim = sim
        self.rule, self.revision = SPOILT, "spoilt"
        self.at_work = Desk(sim, sim.running(), self.rule, self.revision)

    def desk(self) -> Desk:
        if self.sim.deaths > self.at_work.deaths or self.sim.store is None:
            self.at_work.abandon()
            self.at_work = Desk(self.sim, self.sim.running(), self.rule, self.revision)
        return self.at_work

    async def insist(self, ask: Callable[[LetterDesk], Awaitable[object]]) -> None:
        """One that was done with before is one that was done."""
        while True:
            deaths = self.sim.deaths
            try:
                async with asyncio.timeout(ANSWER_S):
                    await ask(self.desk().desk)
            except (TimeoutError, StorageError, Unavailable):
                if self.sim.deaths == deaths:
                    raise
            except Conflict as done:
                if "it was" not in str(done):
                    raise
                return
            else:
                return

    async def until(self, condition: Callable[[Desk], object]) -> None:
        async with asyncio.timeout(UNTIL_S):
            while not condition(self.desk()):
                await asyncio.sleep(0.05)
        assert self.at_work.failures == []


def put_aside(n: int, tx: Transaction) -> None:
    """Results that a sink had refused; unless they are there."""
    held = tx.stream(DEAD)
    if held is not None and held.next > n:
        return
    document = json.dumps({"key": "press", "rule": "temperature", "start": n, "end": n + 1, "n": n}).encode()
    append_dead_letters(tx, dead_letters("rule/temperature", f"refused {n}", document, 7, f"{WINDOW}/temperature"))


def publish(tx: Transaction) -> None:
    """All readings at once; unless they are there."""
    if open_readings(tx).next == 0:
        records = [_encode(RawReading("factory/press/temperature", payload(n), 0)) for n in range(READ)]
        tx.append(READINGS, records)


async def retry(offset: int, desk: LetterDesk) -> None:
    await desk.retry(offset)


async def drop(offset: int, desk: LetterDesk) -> None:
    await desk.drop(offset)


async def dead_letter_desk(crash: Crash) -> None:
    """What is retried is applied once, what is dropped is not, and both are known of for good."""
    operator = Operator(crash.store("plant-a"))
    sim = operator.sim
    for n in range(RESULTS):
        await sim.insist(partial(put_aside, n))
    await operator.until(lambda desk: desk.store.state_value("rules", "rule/temperature") is not None)
    await sim.insist(publish)
    await operator.until(lambda desk: desk.desk.open_count() == RESULTS + READ)
    operator.rule, operator.revision = UNNUMBERED, "mended"
    operator.desk().engine.apply({"temperature": (UNNUMBERED, "mended")})
    for n in range(0, RESULTS, 2):
        await operator.insist(partial(retry, n))
        await operator.insist(partial(drop, n + 1))
    for n in range(3):
        await operator.insist(partial(retry, RESULTS + n))
    await operator.insist(lambda desk: desk.step("retry", Filter(reason="rule temperature"), 0, None))
    await operator.until(lambda desk: desk.desk.open_count() == 0)
    _check(operator)
    await operator.at_work.stop()
    await sim.close()
    operator.desk()
    _check(operator)


def _check(operator: Operator) -> None:
    store = operator.desk().store
    found = [json.loads(record) for record in records_of(store, WINDOWS)]
    retried = sorted(each["n"] for each in found if "n" in each)
    assert retried == list(range(0, RESULTS, 2)), f"applied: {retried}"
    folded = sorted((each["start"] // 1000, each["count"]) for each in found if "n" not in each)
    assert folded == [(0, 10), (10, 10)], f"readings in windows: {folded}"
    assert operator.desk().desk.open_count() == 0
