import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.errors import InvalidResource
from littoral.core.limits import RULE_KEYS, RULE_WINDOWS, Limits
from littoral.core.resources.rule import Rule
from littoral.iot.rules import Alert, CompiledRule, WindowResult
from littoral.store.dead_letters import DeadLetter, head_text

ALL = ["count", "min", "max", "mean", "stddev", "first", "last"]
PLAIN = {"value": {"path": "v"}, "timestamp": {"path": "ts", "unit": "ms"}, "aggregates": ALL}
WINDOWED = PLAIN | {"window": {"tumbling": "10ms", "allowedLateness": "15ms"}}
DETECTING = WINDOWED | {"detect": {"zscore": {"window": 5, "threshold": 2, "minimum": 3}}}
EVENTS = ["", "", "", "commit", "crash", "failed commit"]
NUMBERED = DETECTING | {"sequence": {"path": "n"}}
BY_KEY = DETECTING | {"key": {"path": "device.id"}}


def compiled(spec, limits=None):
    document = {
        "apiVersion": "littoral/v1",
        "kind": "Rule",
        "metadata": {"name": "hot"},
        "spec": {"source": {"mqtt": {"topic": "t/#"}}, **spec},
    }
    return CompiledRule(msgspec.convert(document, Rule), "plant-a", limits or Limits())


def folded(rule, *payloads, topic="t/1", arrived_ms=7):
    for number, payload in enumerate(payloads):
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        rule.fold(topic, data, arrived_ms, f"readings:{number}")
    return rule.take_outputs()


often_good = st.integers(0, 9).map(bool)
good = st.builds(
    lambda v, ts, n, key, is_good, bad: json.dumps(
        {"v": v, "ts": ts, "n": n, "device": {"id": key}} if is_good else bad
    ).encode(),
    st.one_of(st.integers(-3, 3), st.floats(-1e3, 1e3)),
    st.one_of(st.integers(0, 120), st.floats(0, 120)),
    st.integers(0, 60),
    st.sampled_from(["a", "b", 7]),
    often_good,
    st.sampled_from([{}, {"v": 1e101, "ts": 1}, {"v": 1, "ts": -1}, {"v": 1, "ts": 1e300}, {"v": True, "ts": 1}]),
)
payloads = st.one_of(good, good, good, st.binary(max_size=12), st.sampled_from([b"12", b"-3.5", b"nan", b"[[[["]))
stream = st.lists(st.tuples(st.sampled_from(["t/1", "t/2"]), payloads), max_size=60)
specs = st.sampled_from(
    [PLAIN, WINDOWED, DETECTING, NUMBERED, BY_KEY, {"decode": "number", "window": {"tumbling": "2ms"}}]
)


@given(specs, st.lists(st.tuples(st.sampled_from(["t/1", "t/2"]), good, st.sampled_from(EVENTS)), max_size=60))
def test_restored_at_any_point_it_goes_on_bit_by_bit_the_same(spec, readings):
    straight, broken = compiled(spec), compiled(spec)
    committed_state: dict[str, bytes] = {}
    committed_outputs = []
    position = committed = 0
    crashes = {index for index, (*_, event) in enumerate(readings, 1) if event in ("crash", "failed commit")}
    while position < len(readings):
        topic, payload, event = readings[position]
        # Some are stored and have a name; those of QoS 0 have none.
        broken.fold(topic, payload, position, str(position) if position % 3 else None)
        position += 1
        if event == "commit":
            committed_state |= broken.take_dirty()
            committed_outputs += broken.take_outputs()
            committed = position
        elif position in crashes:
            crashes.discard(position)
            if event == "crash":
                broken = compiled(spec)
            broken.restore(committed_state)
            position = committed
    committed_outputs += broken.take_outputs()
    committed_state |= broken.take_dirty()
    for position, (topic, payload, _) in enumerate(readings):
        straight.fold(topic, payload, position, str(position) if position % 3 else None)
    assert committed_outputs == straight.take_outputs()
    assert committed_state == straight.take_dirty()


@given(specs, stream, st.sets(st.integers(0, 59)))
@settings(max_examples=200)
def test_the_intake_does_what_fold_does_in_any_mixture(spec, readings, folded_ones):
    one, other = compiled(spec), compiled(spec)
    now_ms = 0
    intakes = {topic: other.intake(topic, lambda: now_ms) for topic in ("t/1", "t/2")}
    for position, (topic, payload) in enumerate(readings):
        now_ms = position
        one.fold(topic, payload, now_ms, None)
        if position in folded_ones:
            other.fold(topic, payload, now_ms, None)
        else:
            intakes[topic](payload)
    assert other.take_outputs() == one.take_outputs()
    assert other.take_dirty() == one.take_dirty()
    assert other.counters == one.counters


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(-9, 9), st.booleans()), max_size=40))
def test_the_intake_closes_windows_in_the_same_moment_as_fold(readings):
    one, other = compiled(WINDOWED), compiled(WINDOWED)
    intake = other.intake("t/1", lambda: 0)
    for ts, value, is_folded in readings:
        payload = b'{"v":%d,"ts":%d}' % (value, ts)
        one.fold("t/1", payload, 0, None)
        if is_folded:
            other.fold("t/1", payload, 0, None)
        else:
            intake(payload)
        assert other.take_outputs() == one.take_outputs()
        assert other.take_dirty() == one.take_dirty()


def test_windows_that_close_together_go_out_in_order_of_time():
    outputs = folded(compiled(WINDOWED), *({"v": 1, "ts": ts} for ts in (24, 15, 9, 99)))
    assert [output.start for output in outputs if isinstance(output, WindowResult)] == [0, 10, 20]


@pytest.mark.parametrize(
    "payload", [b'{"v":1e101,"ts":3}', b'{"v":1,"ts":1e306}', b'{"v":1,"ts":-1}', b'{"v":"","ts":3}']
)
def test_the_intake_knows_what_to_bury_in_the_midst_of_a_window(payload):
    rule = compiled(WINDOWED | {"timestamp": {"path": "ts", "unit": "s"}, "window": {"tumbling": "1m"}})
    intake = rule.intake("t/1", lambda: 0)
    intake(b'{"v":1,"ts":3}')
    intake(payload)
    (letter,) = rule.take_outputs()
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith("rule hot: invalid: ")


def test_a_reading_of_the_current_window_closes_an_earlier_one():
    rule = compiled(WINDOWED)
    intake = rule.intake("t/1", lambda: 0)
    for ts in (5, 22, 24, 25):
        assert rule.take_outputs() == []
        intake(b'{"v":1,"ts":%d}' % ts)
    (window,) = rule.take_outputs()
    assert isinstance(window, WindowResult)
    assert window.start == 0


@given(st.binary(max_size=40), specs)
def test_no_payload_raises(payload, spec):
    rule = compiled(spec)
    rule.fold("t/1", payload, 0, None)
    rule.intake("t/1", lambda: 0)(payload)
    assert rule.counters.readings == 2


def test_a_window_goes_out_once_and_carries_the_aggregates_asked_for():
    rule = compiled(WINDOWED | {"aggregates": ["count", "max"]})
    (window,) = folded(rule, {"v": 1, "ts": 3}, {"v": 5, "ts": 9}, {"v": 0, "ts": 24}, {"v": 0, "ts": 25})
    assert isinstance(window, WindowResult)
    assert (window.rule, window.node, window.key) == ("hot", "plant-a", "t/1")
    assert (window.start, window.end, window.aggregates) == (0, 10, {"count": 2, "max": 5.0})
    assert rule.counters.windows == 1


def test_the_intake_finds_its_way_after_a_restore():
    rule = compiled(WINDOWED)
    fold = rule.intake("t/1", lambda: 0)
    fold(b'{"v":1,"ts":1}')
    state = rule.take_dirty()
    fold(b'{"v":2,"ts":2}')
    rule.restore(state)
    assert not rule.has_changes
    fold(b'{"v":3,"ts":3}')
    assert rule.has_changes
    fold(b'{"v":0,"ts":40}')
    (window,) = rule.take_outputs()
    assert isinstance(window, WindowResult)
    assert (window.aggregates["count"], window.aggregates["mean"]) == (2, 2.0)


def test_a_late_reading_is_a_dead_letter_and_is_not_scored():
    rule = compiled(DETECTING)
    (window, letter) = folded(rule, {"v": 1, "ts": 1}, {"v": 1, "ts": 30}, {"v": 1, "ts": 2})
    assert isinstance(window, WindowResult)
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith("rule hot: late: ")
    assert (letter.source, letter.head, letter.at_ms) == ("t/1", '{"v": 1, "ts": 2}', 7)
    assert (rule.counters.late, rule.counters.undecodable) == (1, 0)


def test_a_number_seen_before_is_counted_and_changes_nothing():
    rule = compiled(NUMBERED)
    first = {"v": 1, "ts": 1, "n": 5}
    folded(rule, first)
    rule.take_dirty()
    assert folded(rule, first) == []
    assert not rule.has_changes
    assert rule.counters.duplicates == 1


def test_numbers_seen_are_remembered_over_a_restart_and_only_what_was_committed():
    rule = compiled(NUMBERED)
    folded(rule, {"v": 1, "ts": 1, "n": 5})
    state = rule.take_dirty()
    folded(rule, {"v": 1, "ts": 1, "n": 6})
    for again in (rule, compiled(NUMBERED)):
        again.restore(state)
        duplicates = again.counters.duplicates
        folded(again, {"v": 1, "ts": 1, "n": 5}, {"v": 1, "ts": 1, "n": 6})
        assert again.counters.duplicates == duplicates + 1


def test_an_alert_is_named_by_the_devices_number_whatever_else_differs():
    readings = [{"v": v, "ts": 1, "n": n} for n, v in enumerate([1, 2, 3, 99])]
    (one,) = folded(compiled(NUMBERED), *readings)
    other_rule = compiled(NUMBERED)
    for reading in readings:
        other_rule.fold("t/1", json.dumps(reading).encode(), 999, "elsewhere")
    (other,) = other_rule.take_outputs()
    assert isinstance(one, Alert)
    assert isinstance(other, Alert)
    assert one.id == other.id
    assert (one.sequence, one.value, one.mean, one.stddev, one.zscore) == (3, 99.0, 2.0, 1.0, 97.0)


def test_alerts_of_one_key_have_different_names_with_and_without_a_reading_id():
    spec = PLAIN | {"detect": {"zscore": {"window": 4, "threshold": 0.01, "minimum": 2}}}
    rule = compiled(spec)
    values = [{"v": v, "ts": 1} for v in (1, 5, 99, 7, 3, 1)]
    outputs = folded(rule, *values)
    for reading in values:
        rule.fold("t/1", json.dumps(reading).encode(), 0, None)
    outputs += rule.take_outputs()
    assert len(outputs) > 4
    assert len({output.id for output in outputs if isinstance(output, Alert)}) == len(outputs)


@pytest.mark.parametrize(
    ("payload", "reason", "detail"),
    [
        (b"", "malformed", "truncated"),
        (b"temperature: 7", "malformed", "malformed"),
        (b'{"v":NaN,"ts":1}', "malformed", "malformed"),
        (b'{"v":1e400,"ts":1}', "invalid", "out of range"),
        (b'{"v":1e101,"ts":1}', "invalid", "1e100"),
        (b'{"v":"21","ts":1}', "invalid", "`$.v`"),
        (b'{"v":null,"ts":1}', "invalid", "`$.v`"),
        (b'{"v":true,"ts":1}', "invalid", "`$.v`"),
        (b'{"ts":1}', "invalid", "missing required field `v`"),
        (b'{"v":1}', "invalid", "missing required field `ts`"),
        (b'{"v":1,"ts":-1}', "invalid", "1970"),
        (b'{"v":1,"ts":253402300800000}', "invalid", "9999"),
        (b'{"v":1,"ts":1' + b"0" * 400 + b"}", "invalid", "9999"),
        (b'{"v":1,"ts":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed", "recursion"),
        (b"[1,2]", "invalid", "Expected `object`"),
    ],
)
def test_what_cannot_be_used_is_counted_and_buried_and_the_rule_goes_on(payload, reason, detail):
    rule = compiled(WINDOWED)
    rule.intake("t/1", lambda: 7)(payload)
    (letter,) = folded(rule, payload)[1:]
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith(f"rule hot: {reason}: ")
    assert detail in letter.reason
    assert letter.head == head_text(payload)
    assert rule.counters.undecodable == 2
    assert folded(rule, {"v": 1, "ts": 1}) == []
    assert list(rule.take_dirty()) == ["t/1"]


@pytest.mark.parametrize("payload", [b"", b"abc", b"1_0", b"nan", b"-inf", b"1" * 65, b"\xff", b"true"])
def test_what_is_no_number_is_buried(payload):
    rule = compiled({"decode": "number", "window": {"tumbling": "1s"}})
    (letter,) = folded(rule, payload)
    assert isinstance(letter, DeadLetter)


@pytest.mark.parametrize(("payload", "value"), [(b"21.5", 21.5), (b" -3\n", -3.0), (b"+1e2", 100.0)])
def test_a_raw_number_is_read_on_arrival(payload, value):
    rule = compiled({"decode": "number", "window": {"tumbling": "1s"}, "aggregates": ["last"]})
    folded(rule, payload, arrived_ms=500)
    (window,) = folded(rule, b"0", arrived_ms=1000)
    assert isinstance(window, WindowResult)
    assert (window.start, window.aggregates) == (0, {"last": value})


@pytest.mark.parametrize(
    ("unit", "timestamp", "start"),
    [
        ("s", 1, 1000),
        ("s", 1.0014, 1001),
        ("s", 4.35, 4350),
        ("ms", 1234.5, 1234),
        ("rfc3339", "1970-01-01T00:00:02.500Z", 2500),
        ("rfc3339", "1970-01-01T02:00:00+02:00", 0),
    ],
)
def test_timestamps_are_read_in_their_unit(unit, timestamp, start):
    rule = compiled(PLAIN | {"timestamp": {"path": "ts", "unit": unit}, "window": {"tumbling": "1ms"}})
    intake = rule.intake("t/1", lambda: 0)
    intake(json.dumps({"v": 1, "ts": timestamp}).encode())
    later = 5000 if unit == "ms" else 5 if unit == "s" else "1970-01-01T00:00:05Z"
    (window,) = folded(rule, {"v": 1, "ts": later})
    assert isinstance(window, WindowResult)
    assert window.start == start


@pytest.mark.parametrize(
    "timestamp", ["1970-01-01T00:00:00", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00Z", "soon"]
)
def test_times_without_a_zone_or_out_of_range_are_buried(timestamp):
    rule = compiled(PLAIN | {"timestamp": {"path": "ts", "unit": "rfc3339"}, "window": {"tumbling": "1ms"}})
    (letter,) = folded(rule, {"v": 1, "ts": timestamp})
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith("rule hot: invalid: ")


@pytest.mark.parametrize("unit", ["ms", "s", "rfc3339"])
def test_one_reading_from_the_far_future_does_not_make_the_others_late(unit):
    rule = compiled(PLAIN | {"timestamp": {"path": "ts", "unit": unit}, "window": {"tumbling": "1h"}})
    day = 86_400_000
    written = {"ms": day + 8, "s": (day + 8000) / 1000, "rfc3339": "1970-01-02T00:00:08Z"}[unit]
    present = 5 if unit != "rfc3339" else "1970-01-01T00:00:05Z"
    letter = folded(rule, {"v": 1, "ts": written})[0]
    assert isinstance(letter, DeadLetter)
    assert "limit event-ahead-ms" in letter.reason
    assert folded(rule, {"v": 1, "ts": present}) == []
    assert rule.counters.late == 0


def test_the_intake_sees_the_far_future_in_the_midst_of_a_window():
    rule = compiled(PLAIN | {"window": {"tumbling": "48h"}})
    intake = rule.intake("t/1", lambda: 0)
    intake(b'{"v":1,"ts":3}')
    intake(b'{"v":1,"ts":86400000}')
    intake(b'{"v":1,"ts":86400001}')
    assert len(rule.take_outputs()) == 1


def test_nested_fields_and_names_of_any_kind_are_found():
    spec = {
        "value": {"path": "data.temp-c"},
        "timestamp": {"path": "data.when.ms", "unit": "ms"},
        "key": {"path": "class"},
        "sequence": {"path": "n"},
        "window": {"tumbling": "10ms"},
        "aggregates": ["last"],
    }
    rule = compiled(spec)
    (window,) = folded(
        rule,
        {"data": {"temp-c": 3, "when": {"ms": 1}}, "class": 17, "n": 1},
        {"data": {"temp-c": 4, "when": {"ms": 11}}, "class": 17, "n": 2},
    )
    assert isinstance(window, WindowResult)
    assert (window.key, window.aggregates) == ("17", {"last": 3.0})


@pytest.mark.parametrize("key", ["", "k" * 257, None, True, 1.5, 2**70])
def test_a_key_that_cannot_be_one_is_buried(key):
    (letter,) = folded(compiled(BY_KEY), {"v": 1, "ts": 1, "device": {"id": key}})
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith("rule hot: invalid: ")


@pytest.mark.parametrize("number", [-1, 2**63, 1.5, "7", None])
def test_a_number_that_cannot_be_one_is_buried(number):
    (letter,) = folded(compiled(NUMBERED), {"v": 1, "ts": 1, "n": number})
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith("rule hot: invalid: ")


def test_keys_are_bounded_and_those_known_go_on():
    limits = Limits({"rule-keys": 1})
    rule = compiled(WINDOWED, limits)
    folded(rule, {"v": 1, "ts": 1}, topic="t/1")
    (letter,) = folded(rule, {"v": 1, "ts": 1}, topic="t/2")
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith("rule hot: too-many-keys: ")
    assert (rule.counters.refused, limits.reached[RULE_KEYS.name]) == (1, 1)
    assert folded(rule, {"v": 1, "ts": 1}, topic="t/1") == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"timestamp": {"path": "ts"}}, "spec.value is missing"),
        ({"decode": "number", "sequence": {"path": "n"}}, "spec.sequence has a path"),
        ({"value": {"path": "a"}, "timestamp": {"path": "a.b"}}, "overlap"),
        ({"value": {"path": "a.b"}, "sequence": {"path": "a"}}, "overlap"),
        ({"value": {"path": "a"}, "sequence": {"path": "a"}}, "overlap"),
        (PLAIN | {"window": {"tumbling": "0s"}}, "tumbling is 0"),
        (PLAIN | {"detect": {"zscore": {"window": 5, "minimum": 6}}}, "minimum is 6"),
    ],
)
def test_a_rule_whose_parts_do_not_fit_is_refused(spec, says):
    with pytest.raises(InvalidResource, match=says):
        compiled(spec)


def test_a_lateness_that_would_keep_too_many_windows_open_is_refused():
    limits = Limits({"rule-windows": 3})
    compiled(PLAIN | {"window": {"tumbling": "1s", "allowedLateness": "2s"}}, limits)
    with pytest.raises(InvalidResource, match="rule-windows"):
        compiled(PLAIN | {"window": {"tumbling": "1s", "allowedLateness": "2001ms"}}, limits)
    assert limits.reached[RULE_WINDOWS.name] == 1


def test_state_that_is_damaged_is_told():
    rule = compiled(WINDOWED)
    damaged = rule.restore({"t/1": b"\xc1"})
    assert "t/1" in str(damaged["t/1"])
    assert folded(rule, {"v": 1, "ts": 1}) == []
    assert list(rule.take_dirty()) == ["t/1"]
