"""Trace Context: the W3C Recommendation of 23 November 2021, section 3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.trace_context import (
    STATE_CHARACTERS,
    TraceContext,
    is_sampled,
    passes_on,
    read_traceparent,
    trace_of,
    traceparent,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEX_TEXT = st.text("0123456789abcdef", min_size=32, max_size=32)


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-ff", 3),
        (f"01-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
    ],
)
def test_what_is_one_is_read(value: str, flags: int):
    assert read_traceparent(value) == TraceContext(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_what_is_none_is_not(value: str):
    assert read_traceparent(value) is None


def test_who_asks_for_a_request_is_asked_for_in_the_same_trace():
    asks = TraceContext(TRACE, SPAN, 0)
    found = trace_of(asks, "g-1")
    assert (found.trace_id, found.flags) == (TRACE, 0)
    assert found.span_id not in (SPAN, trace_of(asks, "g-2").span_id)
    assert read_traceparent(str(found)) == found


def test_what_is_said_of_a_trace_is_the_same_in_one_step():
    asks = read_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
    for asked in (None, asks):
        assert traceparent(asked, "r-1") == str(trace_of(asked, "r-1"))


def test_a_new_trace_is_the_same_whenever_it_is_asked_for_and_another_one_for_another_request():
    assert trace_of(None, "g-1") == trace_of(None, "g-1")
    assert len({trace_of(None, f"g-{number}").trace_id for number in range(1000)}) == 1000
    assert read_traceparent(str(trace_of(None, "g-1"))) == trace_of(None, "g-1")
    assert trace_of(None, "g-1").flags == 1


def test_a_sample_is_of_the_size_that_is_wanted_and_holds_every_smaller_one():
    traces = [trace_of(None, f"g-{number}").trace_id for number in range(4000)]
    tenth = {trace for trace in traces if is_sampled(trace, 0.1)}
    half = {trace for trace in traces if is_sampled(trace, 0.5)}
    assert 300 < len(tenth) < 500
    assert tenth < half
    assert all(is_sampled(trace, 1) for trace in traces)
    assert not any(is_sampled(trace, 0) for trace in traces)


@given(HEX_TEXT)
def test_the_beginning_of_a_traces_id_does_not_count(trace: str):
    """Some make it of the time."""
    assert is_sampled(trace, 0.5) == is_sampled("f" * 18 + trace[18:], 0.5)


def test_state_is_passed_on_within_bounds():
    assert passes_on("a=1,b=2")
    assert passes_on("a" * STATE_CHARACTERS)
    assert not passes_on("a" * (STATE_CHARACTERS + 1))
    assert passes_on(",".join("a" * 32))
    assert not passes_on(",".join("a" * 33))
