import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.limits import Limits
from littoral.core.resources.rule import Rule
from littoral.iot.rules import CompiledRule

MS = {
    "value": {"path": "v"},
    "timestamp": {"path": "ts", "unit": "ms"},
    "aggregates": ["count", "min", "max", "mean", "stddev", "first", "last"],
    "window": {"tumbling": "1s", "allowedLateness": "1s"},
}
S = MS | {"timestamp": {"path": "ts", "unit": "s"}}
close_times = st.one_of(st.integers(0, 2500), st.integers(0, 25000).map(lambda n: n / 10), st.floats(999.4, 1000.6))
moments = st.tuples(
    close_times,
    st.one_of(st.integers(-3, 3), st.floats(-1e3, 1e3), st.just(1e100), st.just(2e100)),
    st.sampled_from(["intake", "intake", "intake", "intake of other routes", "fold", "malformed"]),
    st.sampled_from(["", "", "", "", "", "commit", "restore", "count"]),
)


def compiled(spec):
    document = {
        "apiVersion": "littoral/v1",
        "kind": "Rule",
        "metadata": {"name": "hot"},
        "spec": {"source": {"mqtt": {"topic": "t/#"}}, **spec},
    }
    return CompiledRule(msgspec.convert(document, Rule), "plant-a", Limits())


@given(st.sampled_from([(MS, 1), (S, 1000)]), st.lists(moments, max_size=80))
@settings(max_examples=300)
def test_whoever_looks_at_a_rule_whose_intake_runs_ahead_sees_every_reading(spec_and_scale, readings):
    spec, scale = spec_and_scale
    one, other = compiled(spec), compiled(spec)
    intakes = {name: other.intake("t/1", lambda: 0) for name in ("intake", "intake of other routes")}
    committed: dict[str, bytes] = {}
    for ts, value, way, event in readings:
        payload = b"{" if way == "malformed" else json.dumps({"v": value, "ts": ts / scale}).encode()
        one.fold("t/1", payload, 0, None)
        intakes.get(way, lambda data: other.fold("t/1", data, 0, None))(payload)
        if event == "commit":
            saved = one.take_dirty()
            assert other.take_dirty() == saved
            committed |= saved
        elif event == "restore":
            one.restore(committed)
            other.restore(committed)
        elif event == "count":
            assert other.counters == one.counters
        if event:
            assert other.take_outputs() == one.take_outputs()
            assert other.has_changes == one.has_changes
    assert other.take_outputs() == one.take_outputs()
    assert other.take_dirty() == one.take_dirty()
    assert other.counters == one.counters


def test_a_reading_that_goes_ahead_is_in_the_state_once_somebody_looks():
    rule = compiled(S)
    intake = rule.intake("t/1", lambda: 0)
    for ts in (1, 1.1, 1.2):
        intake(b'{"v":1,"ts":%.1f}' % ts)
    assert list(rule.ahead) == ["t/1"]
    assert rule.counters.readings == 3
    assert rule.ahead == {}
    assert list(rule.take_dirty()) == ["t/1"]
    intake(b'{"v":1,"ts":1.3}')
    intake(b'{"v":1,"ts":1.4}')
    assert rule.has_changes
    again = compiled(S)
    again.restore(rule.take_dirty())
    for each in (rule, again):
        each.fold("t/1", b'{"v":1,"ts":9}', 0, None)
        (window,) = each.take_outputs()
        assert window.aggregates["count"] == 5
