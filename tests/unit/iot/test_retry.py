"""Readings that a rule could not use, and results that a sink refused, tried again."""

import asyncio
import json
from functools import partial

import msgspec
import pytest

from littoral.core.errors import Gone, InvalidInput, LittoralError, NotFound
from littoral.core.names import StreamName
from littoral.core.order import Order
from littoral.core.resources import Rule
from littoral.core.resources.rule import Field, KvSink, Sink
from littoral.fleet.kv_fold import KvFold
from littoral.iot.readings import RawReading, readings_stream
from littoral.node.letter_desk import Filter, LetterDesk
from littoral.node.letter_messages import LetterEntry
from littoral.node.retriers import Retriers
from littoral.store.transaction import Transaction
from tests.support.floor import TOPIC, Floor, play
from tests.support.stores import name
from tests.support.vertical import RULE

SPEC = RULE.spec
SPOILT = msgspec.structs.replace(RULE, spec=msgspec.structs.replace(SPEC, value=Field(path="valve")))
"""No reading has what it looks for."""


def with_spec(**changes: object) -> Rule:
    return msgspec.structs.replace(RULE, spec=msgspec.structs.replace(SPEC, **changes))


def desk_of(floor: Floor) -> LetterDesk:
    retriers = Retriers(floor.store, KvFold("plant-a", ""), floor.engine)
    return LetterDesk(floor.store, floor.sim.limits, retriers, floor.sim.clock.wall_ms, lambda text: None)


def open_letters(desk: LetterDesk) -> list[LetterEntry]:
    return desk.page(0, 100, Filter()).letters


async def store(floor: Floor, *payloads: bytes, topic: str = TOPIC) -> None:
    await floor.engine.store([msgspec.msgpack.encode(RawReading(topic, each, 5)) for each in payloads], Order())


def test_readings_are_folded_again_once_after_the_rule_was_mended():
    async def story(floor: Floor) -> None:
        floor.apply(SPOILT)
        await floor.begun()
        await floor.publish(0, 46)
        desk = desk_of(floor)
        await floor.until(lambda: desk.open_count() == 46)
        assert floor.windows() == []
        floor.apply(RULE, "mended")
        first, *_ = open_letters(desk)
        assert (first.source, first.by) == (TOPIC, "reading/temperature")
        assert await desk.retry(first.offset) == "applied"
        step = await desk.step("retry", Filter(), 0, None)
        assert (step.done, step.failed) == (45, [])
        assert floor.windows() == [(0, 10), (10, 10), (20, 10), (30, 10)]
        assert desk.open_count() == 0

    play(story)


def test_a_reading_that_the_rule_refuses_again_stays_open_with_the_new_reason():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        desk = desk_of(floor)
        await store(floor, b"not json")
        await floor.until(lambda: desk.open_count() == 1)
        with pytest.raises(InvalidInput, match="rule temperature: malformed: .*Mend the rule, or drop the letter"):
            await desk.retry(0)
        await asyncio.sleep(3)
        assert len(floor.dead()) == 1, "it is not put aside a second time"
        assert desk.open_count() == 1
        floor.apply(SPOILT, "2")
        await store(floor, json.dumps({"n": 1, "ts": 1, "value": 1.0}).encode())
        await floor.until(lambda: desk.open_count() == 2)
        floor.apply(with_spec(value=Field(path="valve"), sequence=None), "3")
        with pytest.raises(InvalidInput, match="valve"):
            await desk.retry(1)
        assert floor.windows() == []

    play(story)


def test_a_reading_that_came_late_is_refused_again_and_changes_nothing():
    async def story(floor: Floor) -> None:
        floor.apply(with_spec(sequence=None))
        await floor.begun()
        desk = desk_of(floor)
        await floor.publish(0, 30)
        await floor.publish(1, 2)
        await floor.until(lambda: desk.open_count() == 1)
        with pytest.raises(InvalidInput, match="rule temperature: late"):
            await desk.retry(0)
        await floor.publish(30, 46)
        await floor.until(lambda: len(floor.windows()) == 4)
        assert floor.windows()[2:] == [(20, 10), (30, 10)]

    play(story)


def test_a_reading_of_qos_0_or_gone_cannot_be_retried_and_it_is_said_why():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        desk = desk_of(floor)
        fold = floor.engine.route(TOPIC)
        assert fold is not None
        fold(b"not json")
        await floor.until(lambda: desk.open_count() == 1)
        with pytest.raises(InvalidInput, match="it came with QoS 0, and such readings are not stored. Have the device"):
            await desk.retry(0)
        assert desk.show(0).record is None
        assert (desk.show(0).size, desk.show(0).head) == (8, "not json")
        await store(floor, b"nor this")
        await floor.until(lambda: desk.open_count() == 2)
        assert (desk.show(1).record, desk.show(1).size) == (b"nor this", 8)
        await floor.store.submit(lambda tx: tx.delete_stream(readings_stream("plant-a")))
        with pytest.raises(Gone, match="the reading is no longer in plant-a/readings"):
            await desk.retry(1)
        # One that has its place now is another.
        await store(floor, b"another")
        with pytest.raises(Gone, match="the reading is no longer in plant-a/readings"):
            await desk.retry(1)

    play(story)


def test_a_rule_that_is_gone_or_takes_other_topics_says_so():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        desk = desk_of(floor)
        await store(floor, b"not json")
        await floor.until(lambda: desk.open_count() == 1)
        other = msgspec.convert({"mqtt": {"topic": "elsewhere/#"}}, type(SPEC.source))
        floor.apply(with_spec(source=other), "2")
        with pytest.raises(InvalidInput, match="rule temperature takes no readings of this topic any more"):
            await desk.retry(0)
        floor.engine.apply({})
        with pytest.raises(NotFound, match="rule temperature is not placed here. Apply the rule again, or drop"):
            await desk.retry(0)

    play(story)


def test_of_two_who_retry_a_reading_at_once_one_does_and_nobody_drops_it_meanwhile():
    async def story(floor: Floor) -> None:
        floor.apply(with_spec(value=Field(path="valve"), sequence=None))
        await floor.begun()
        await floor.publish(0, 26)
        desk = desk_of(floor)
        await floor.until(lambda: desk.open_count() == 26)
        floor.apply(with_spec(sequence=None), "mended")
        asked = [
            *(desk.retry(3) for _ in range(2)),
            desk.drop(3),
            *(desk.retry(each) for each in range(26) if each != 3),
        ]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results[0] == "applied"
        assert ["a retry of it is under way" in str(each) for each in results[1:3]] == [True, True]
        assert set(results[3:]) == {"applied"}
        assert floor.windows()[0] == (0, 10)

    play(story)


def test_who_asked_may_go_and_the_retry_goes_on():
    async def story(floor: Floor) -> None:
        floor.apply(SPOILT)
        await floor.begun()
        await floor.publish(0, 1)
        desk = desk_of(floor)
        await floor.until(lambda: desk.open_count() == 1)
        floor.apply(RULE, "mended")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await desk.retry(0)
        await floor.until(lambda: desk.open_count() == 0)
        assert desk.show(0).state == "retried"

    play(story)


def test_a_rule_that_is_changed_meanwhile_leaves_it_open():
    async def story(floor: Floor) -> None:
        floor.apply(SPOILT)
        await floor.begun()
        await floor.publish(0, 1)
        desk = desk_of(floor)
        await floor.until(lambda: desk.open_count() == 1)
        asked = asyncio.ensure_future(desk.retry(0))
        await asyncio.sleep(0)
        floor.apply(RULE, "mended")
        with pytest.raises(LittoralError, match="rule temperature is being changed or ended. Try again|invalid"):
            await asked
        assert await desk.retry(0) == "applied"

    play(story)


def close(stream: StreamName, tx: Transaction) -> None:
    tx.open_stream(stream)
    tx.close_stream(stream)


def test_a_result_that_a_sink_refused_is_stored_again():
    async def story(floor: Floor) -> None:
        await floor.store.submit(lambda tx: close(name("plant-a/windows"), tx))
        floor.apply()
        await floor.begun()
        await floor.publish(0, 46)
        desk = desk_of(floor)
        await floor.until(lambda: desk.open_count() == 4)
        assert {(each.source, each.by) for each in open_letters(desk)} == {("rule/temperature", "window/temperature")}
        with pytest.raises(LittoralError, match="it is closed"):
            await desk.retry(0)
        await floor.store.submit(lambda tx: tx.delete_stream(name("plant-a/windows")))
        assert await desk.retry(0) == "stored"
        assert (await desk.step("retry", Filter(), 0, None)).done == 3
        assert floor.windows() == [(0, 10), (10, 10), (20, 10), (30, 10)]

    play(story)


def test_a_result_that_is_stored_again_does_not_take_the_place_of_a_later_one():
    async def story(floor: Floor) -> None:
        sinks = [Sink(kv=KvSink(namespace="lines", key="last/{key}"))]
        floor.apply(with_spec(windows=sinks))
        await floor.begun()
        await floor.publish(0, 46)
        await floor.until(lambda: floor.store.kv_entries("lines", "", 9))
        (held,) = floor.store.kv_entries("lines", "", 9)
        last = json.loads(held.value or b"")
        runner = floor.engine.runners["temperature"]
        for end, stays in ((last["end"] - 1, True), (last["end"], False)):
            document = json.dumps(last | {"end": end, "id": "again"}).encode()
            said = await floor.store.submit(partial(runner.store_again, kind="window", document=document))
            (now,) = floor.store.kv_entries("lines", "", 9)
            assert (now.value == held.value) is stays
            assert said == (f"stored; a later one was left in lines/{held.key}" if stays else "stored")
        with pytest.raises(InvalidInput, match="it is none"):
            await floor.store.submit(lambda tx: runner.store_again(tx, "window", b"\xff"))

    play(story)
