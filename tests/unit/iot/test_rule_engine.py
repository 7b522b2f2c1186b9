"""Which rules run, and what the broker is told of them."""

import asyncio

import msgspec

from littoral.core.order import Order
from littoral.core.resources import Rule
from littoral.core.resources.part import Metadata
from littoral.core.resources.rule import Window
from tests.support.floor import TOPIC, Floor, play
from tests.support.vertical import RULE


def named(text: str, topic: str = "factory/+/temperature") -> Rule:
    mqtt = msgspec.structs.replace(RULE.spec.source.mqtt, topic=topic)
    spec = msgspec.structs.replace(RULE.spec, source=msgspec.structs.replace(RULE.spec.source, mqtt=mqtt))
    return msgspec.structs.replace(RULE, metadata=Metadata(name=text), spec=spec)


def test_exactly_the_wanted_rules_run_and_those_that_are_well_are_left_alone():
    async def story(floor: Floor) -> None:
        a, b = named("a"), named("b")
        floor.engine.apply({"a": (a, "1"), "b": (b, "1")})
        first = floor.engine.runners
        floor.engine.apply({"a": (a, "1"), "b": (b, "2")})
        second = floor.engine.runners
        assert second["a"] is first["a"]
        assert second["b"] is not first["b"]
        floor.engine.apply({"b": (b, "2")})
        assert list(floor.engine.runners) == ["b"]
        assert floor.routes_changed == 3

    play(story)


def test_a_rule_that_cannot_run_says_why_and_the_others_run():
    async def story(floor: Floor) -> None:
        bad = msgspec.structs.replace(RULE, spec=msgspec.structs.replace(RULE.spec, window=Window(tumbling="0s")))
        floor.engine.apply({"bad": (bad, "1"), "good": (named("good"), "1")})
        assert list(floor.engine.runners) == ["good"]
        assert "spec.window.tumbling is 0" in floor.engine.refused["bad"]
        floor.engine.apply({"good": (named("good"), "1")})
        assert floor.engine.refused == {}

    play(story)


def test_a_rule_that_was_withdrawn_and_comes_back_is_new_here():
    async def story(floor: Floor) -> None:
        floor.apply()
        await floor.begun()
        await floor.publish(0, 5)
        await floor.until(lambda: floor.store.state("rule/temperature"))
        floor.engine.apply({})
        await floor.until(lambda: not floor.store.state("rules"))
        assert floor.store.state("rule/temperature") == {}
        await floor.publish(5, 30)
        floor.apply()
        floor.engine.apply({})
        floor.apply()
        await floor.begun()
        await asyncio.sleep(1)
        await floor.publish(30, 56)
        await floor.until(lambda: floor.windows())
        assert floor.windows()[0] == (30, 10)

    play(story)


def test_a_topic_goes_to_every_rule_that_wants_it():
    async def story(floor: Floor) -> None:
        floor.engine.apply({each: (named(each), "1") for each in ("a", "b")} | {"c": (named("c", "other"), "1")})
        fold = floor.engine.route(TOPIC)
        assert fold is not None
        fold(b'{"n": 1, "ts": 1, "value": 1}')
        counted = {each: runner.rule.counters.readings for each, runner in floor.engine.runners.items()}
        assert counted == {"a": 1, "b": 1, "c": 0}
        assert floor.engine.route("nobody/wants") is None

    play(story)


def test_readings_are_stored_before_anybody_is_told():
    async def story(floor: Floor) -> None:
        stored = floor.engine.store([msgspec.msgpack.encode(["t", b"1", 0])], Order())
        assert not stored.done()
        await stored
        floor.sim.cut_power()
        floor.start()
        assert len(floor.store.read(floor.store.streams()[0].name, 0, 100)) == 1

    play(story)


def test_after_stop_nothing_runs():
    async def story(floor: Floor) -> None:
        floor.apply()
        await asyncio.sleep(1)
        await floor.engine.stop()
        assert floor.engine.runners == {}
        assert floor.store._watchers == []

    play(story)
