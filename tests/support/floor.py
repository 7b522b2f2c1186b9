"""One node's rules over its store, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from littoral.core.order import Order
from littoral.core.resources import Rule
from littoral.iot.readings import RawReading
from littoral.iot.rule_engine import RuleEngine
from littoral.testing.loop import run
from tests.support.stores import SimStore, name, records_of
from tests.support.vertical import RULE

TOPIC = "factory/press/temperature"


class Floor:
    """One node's rules over its store."""

    def __init__(self, **limits: int) -> None:
        self.sim = SimStore("plant-a", **limits)
        self.failures: list[BaseException] = []
        self.published: list[tuple[str, bytes]] = []
        self.routes_changed = 0
        self.start()

    def start(self) -> None:
        self.store = self.sim.open()
        self.engine = RuleEngine(self.store, self.sim.limits, self.sim.clock.wall_ms, self.failures.append)
        self.engine.attach(lambda topic, payload: self.published.append((topic, payload)), self._changed)

    def _changed(self) -> None:
        self.routes_changed += 1

    def apply(self, rule: Rule = RULE, revision: str = "1") -> None:
        self.engine.apply({rule.metadata.name: (rule, revision)})

    async def publish(self, first: int, last: int, topic: str = TOPIC) -> None:
        records = []
        for n in range(first, last):
            payload = msgspec.json.encode({"n": n, "ts": n, "value": float(n % 5)})
            records.append(msgspec.msgpack.encode(RawReading(topic, payload, n)))
        await self.engine.store(records, Order())

    def windows(self) -> list[tuple[int, int]]:
        rows = [msgspec.json.decode(record) for record in records_of(self.store, name("plant-a/windows"))]
        return [(row["start"] // 1000, row["count"]) for row in rows]

    def dead(self) -> list[dict[str, str]]:
        return [msgspec.json.decode(record) for record in records_of(self.store, name("plant-a/dead-letters"))]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)
                assert self.failures == []

    async def begun(self) -> None:
        await self.until(lambda: self.store.state_value("rules", "rule/temperature") is not None)


def play(story: Callable[[Floor], Awaitable[None]], seed: int = 1, **limits: int) -> None:
    async def main() -> None:
        floor = Floor(**limits)
        await story(floor)
        await floor.engine.stop()
        assert floor.failures == []

    run(main, seed=seed)
