"""Rules at work on a store: outputs, state and offset together, whatever happens in between."""

import asyncio
import base64

import msgspec
import pytest

from littoral.core.errors import Gone, LittoralError, NotFound, StorageError
from littoral.core.names import StreamName
from littoral.core.resources.rule import KvSink, Sink
from littoral.core.tasks import Tasks
from littoral.iot.readings import open_readings, readings_stream
from littoral.iot.rule_runner import RuleRunner
from littoral.store.batch import Batch
from littoral.store.dead_letters import DeadLetter
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


def test_a_damaged_batch_of_readings_is_put_aside_and_the_rule_goes_on():
    async def story(floor: Floor) -> None:
        await floor.publish(0, 5)
        floor.apply()
        await floor.begun()
        floor.engine.abandon()
        await floor.publish(5, 12)
        (damaged,) = floor.store.read(readings_stream("plant-a"), 5, 1)
        floor.store._connection.execute("UPDATE batches SET payload=? WHERE first=5", (b"x" + damaged.payload,))
        floor.apply()
        await floor.publish(12, 46)
        await floor.until(lambda: len(floor.windows()) == 3)
        (letter,) = floor.dead()
        assert letter["source"] == "plant-a/readings@5"
        assert "its checksum does not match" in letter["reason"]
        assert base64.b64decode(letter["record"]) == b"x" + damaged.payload

    play(story)


def test_state_that_is_damaged_is_put_aside_once_and_its_key_begins_anew():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        await floor.publish(0, 5)
        await floor.until(lambda: floor.store.state("rule/temperature"))
        floor.engine.abandon()
        await floor.store.submit(lambda tx: tx.put_state("rule/temperature", TOPIC, b"\xc1"))
        floor.apply()
        await floor.publish(5, 26)
        await floor.until(lambda: len(floor.windows()) == 2)
        assert floor.windows() == [(0, 5), (10, 10)]
        floor.engine.abandon()
        floor.apply()
        await asyncio.sleep(3)
        (letter,) = floor.dead()
        assert letter["source"] == f"rule/temperature/{TOPIC}"

    play(story)


@pytest.mark.parametrize("error", [Gone, NotFound, StorageError])
def test_readings_that_cannot_be_read_now_are_read_later(error: type[LittoralError]):
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        read, tries = floor.store.read, 0
        said: list[str] = []

        def fail_twice(name: StreamName, offset: int, max_bytes: int) -> list[Batch]:
            nonlocal tries
            tries += 1
            said.append(floor.engine.runners["temperature"].failed)
            if tries <= 2:
                raise error("read stream", str(name), "of a race")
            return read(name, offset, max_bytes)

        floor.store.read = fail_twice  # type: ignore[method-assign]
        await floor.publish(0, 46)
        await floor.until(lambda: tries > 2)
        floor.store.read = read  # type: ignore[method-assign]
        await floor.until(lambda: len(floor.windows()) == 4)
        await floor.until(lambda: not floor.engine.runners["temperature"].failed)
        assert any(said) == (error is StorageError), "a race passes by itself and is no failure to report"

    play(story)


def test_what_retention_took_before_it_was_folded_is_counted_and_said_once():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        await floor.publish(0, 1)
        await floor.until(lambda: floor.engine.runners["temperature"].offset == 1)
        floor.engine.abandon()
        await floor.publish(1, 8)

        def drop(tx: Transaction) -> None:
            info = tx.stream(readings_stream("plant-a"))
            assert info is not None
            tx._heads.set(msgspec.structs.replace(info, retention_ms=1))
            tx.retain(info.name, 1 << 60, 100)

        await floor.store.submit(drop)
        floor.apply()
        await floor.publish(8, 46)
        await floor.until(lambda: len(floor.windows()) == 4)
        (letter,) = floor.dead()
        assert letter["source"] == "plant-a/readings@1"
        assert "retention took 7 readings" in letter["reason"]
        assert floor.engine.runners["temperature"].rule.counters.lost == 7

    play(story)


def test_a_node_that_may_hold_no_further_stream_goes_on_folding():
    async def story(floor: Floor) -> None:
        await floor.store.submit(lambda tx: tx.open_stream(name("plant-a/dead-letters")))
        floor.apply()
        await floor.begun()
        await floor.publish(0, 46)
        await floor.until(lambda: floor.engine.runners["temperature"].offset == 46)
        await floor.until(lambda: floor.dead())
        assert "its limit" in floor.dead()[0]["reason"]
        assert '"count":10' in base64.b64decode(floor.dead()[0]["record"]).decode()

    play(story, streams=2)


def test_a_value_over_the_limits_of_the_key_value_interface_is_put_aside():
    async def story(floor: Floor) -> None:
        sink = Sink(kv=KvSink(namespace="ns", key="latest/${key}"))
        rule = msgspec.structs.replace(RULE, spec=msgspec.structs.replace(RULE.spec, windows=[sink]))
        floor.apply(rule)
        await floor.begun()
        await floor.publish(0, 16)
        await floor.until(lambda: floor.dead())
        assert "the limit kv-key-bytes" in floor.dead()[0]["reason"]
        assert floor.store.kv_page("ns", "", None, 10).keys == []

    play(story, kv_key_bytes=8)


def test_what_qos_0_readings_give_is_bounded_while_the_disk_refuses():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        rule = floor.engine.runners["temperature"].rule
        take = floor.engine.runners["temperature"].intake(TOPIC)
        for n in range(100):
            take(b"no reading")
            take(msgspec.json.encode({"n": n, "ts": 10 * n, "value": 1.0}))
        assert len(rule.outputs) == 8
        assert sum(isinstance(each, DeadLetter) for each in rule.outputs) <= 4
        assert rule.counters.refused > 0
        assert floor.sim.limits.reached["rule-outputs"] > 0

    play(story, rule_outputs=8)


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
