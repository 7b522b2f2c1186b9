"""Rules at work on a store: outputs, state and offset together, whatever happens in between."""

import asyncio

from littoral.core.tasks import Tasks
from littoral.iot.readings import open_readings, readings_stream
from littoral.iot.rule_runner import RuleRunner
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.floor import TOPIC, Floor, play
from tests.support.stores import SimStore, name
from tests.support.vertical import RULE

FOUR = [(0, 10), (10, 10), (20, 10), (30, 10)]


def test_windows_come_out_once_and_the_offset_with_them():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        await floor.publish(0, 46)
        await floor.until(lambda: len(floor.windows()) == 4)
        assert floor.windows() == FOUR
        assert floor.engine.runners["temperature"].offset == 46

    play(story)


def test_a_power_cut_between_any_two_readings_repeats_and_loses_nothing(seed: int):
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        for first in range(0, 46, 5):
            await floor.publish(first, min(first + 5, 46))
            floor.engine.abandon()
            floor.sim.cut_power()
            floor.start()
            floor.apply()
        await floor.until(lambda: len(floor.windows()) >= 4)
        assert floor.windows() == FOUR

    play(story, seed)


def test_a_changed_rule_goes_on_with_what_its_former_revision_still_commits(seed: int):
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        for n in range(46):
            await floor.publish(n, n + 1)
            # The runner has folded the reading and its commit is under way; the next one takes over just then.
            await asyncio.sleep(0.0005)
            floor.apply(revision=str(n + 2))
        await floor.until(lambda: len(floor.windows()) >= 4)
        assert floor.windows() == FOUR

    play(story, seed)


def test_a_rule_that_is_new_here_begins_with_the_readings_to_come():
    async def story(floor: Floor) -> None:
        await floor.publish(0, 20)
        floor.apply()
        await floor.begun()
        await floor.publish(20, 46)
        await floor.until(lambda: len(floor.windows()) == 2)
        assert floor.windows() == [(20, 10), (30, 10)]

    play(story)


def test_a_record_that_is_no_reading_is_put_aside_and_the_rule_goes_on():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()

        def spoil(tx: Transaction) -> None:
            open_readings(tx)
            tx.append(readings_stream("plant-a"), [b"\xc1 nonsense"])

        await floor.store.submit(spoil)
        await floor.publish(0, 46)
        await floor.until(lambda: len(floor.windows()) == 4)
        (letter,) = floor.dead()
        assert letter["source"].startswith("plant-a/readings@")
        assert "cannot decode reading" in letter["reason"]

    play(story)


def test_an_output_that_its_sink_cannot_take_is_put_aside_and_the_rule_goes_on():
    async def story(floor: Floor) -> None:
        def close(tx: Transaction) -> None:
            tx.open_stream(name("plant-a/windows"))
            tx.close_stream(name("plant-a/windows"))

        await floor.store.submit(close)
        floor.apply()
        await floor.begun()
        await floor.publish(0, 46)
        await floor.until(lambda: len(floor.dead()) == 4)
        assert {letter["source"] for letter in floor.dead()} == {"rule/temperature"}
        assert "it is closed" in floor.dead()[0]["reason"]
        assert floor.engine.runners["temperature"].failed == ""

    play(story)


def test_a_disk_that_refuses_is_waited_for_and_said():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        await floor.publish(0, 20)
        await floor.until(lambda: len(floor.windows()) == 1)
        floor.sim.disk.failing = True
        runner = floor.engine.runners["temperature"]
        runner.intake(TOPIC)(b'{"n": 100, "ts": 40, "value": 1}')
        await floor.until(lambda: runner.failed)
        floor.sim.disk.failing = False
        await floor.until(lambda: not runner.failed)
        await floor.until(lambda: len(floor.windows()) > 1)

    play(story)


def test_what_is_known_of_topics_is_bounded():
    async def story(floor: Floor) -> None:
        floor.apply()
        runner = floor.engine.runners["temperature"]
        for n in range(100):
            assert runner.wants(f"factory/{n}/temperature")
            assert not runner.wants(f"factory/{n}/speed")
        assert len(runner._matches) <= 10
        assert floor.sim.limits.reached["mqtt-topics"] > 0

    play(story, mqtt_topics=10)


def test_a_runner_ends_when_it_is_told_to():
    async def main() -> None:
        sim = SimStore("plant-a")
        store = sim.open()
        runner = RuleRunner(store, RULE, lambda topic, payload: None, sim.clock.wall_ms, sim.limits)
        tasks = Tasks(lambda error: None)
        tasks.start(runner.run(), "rule")
        await asyncio.sleep(2)
        await tasks.stop()
        assert store._watchers == []

    run(main)
