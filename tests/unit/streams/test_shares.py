"""Lanes that share the uplink, without a store: who is next, and what becomes of that over time."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.core.lanes import SHARED, URGENT, WEIGHTS, Lane
from littoral.streams.shares import Shares


def test_urgent_lanes_come_first_and_in_their_order():
    shares = Shares()
    assert shares.next(["bulk", "alerts", "control"]) == "control"
    shares.served("control", 1 << 30)
    assert shares.next(["bulk", "alerts", "control"]) == "control", "they are strict: nothing is held against them"
    assert shares.next(["bulk", "alerts"]) == "alerts"


def test_a_frame_is_divided_by_weight_among_those_that_wait():
    shares = Shares()
    assert [shares.piece(lane, SHARED, 1300) for lane in SHARED] == [800, 400, 100]
    assert shares.piece("bulk", ["bulk"], 1300) == 1300
    assert shares.piece("bulk", SHARED, 5) == 1
    assert shares.piece("alerts", URGENT, 1300) == 1300


def test_a_lane_that_was_idle_has_saved_up_nothing():
    shares = Shares()
    for _ in range(1000):
        shares.served(shares.next(["telemetry"]), 1000)
    first = [shares.next(SHARED)]
    for _ in range(12):
        shares.served(first[-1], 1000)
        first.append(shares.next(SHARED))
    assert set(first) == set(SHARED), "the one that was alone before does not wait until the others have caught up"


@given(
    st.lists(st.integers(1, 5_000), min_size=300, max_size=300), st.sampled_from([(), *((lane,) for lane in SHARED)])
)
def test_lanes_that_are_always_full_get_what_their_weights_say(sizes: list[int], absent: tuple[Lane, ...]):
    """Whatever the sizes: no two lanes are ever further apart, in bytes over weight, than one piece of each makes."""
    shares, lanes = Shares(), [lane for lane in SHARED if lane not in absent]
    sent: dict[Lane, int] = dict.fromkeys(lanes, 0)
    for size in sizes:
        lane = shares.next(lanes)
        shares.served(lane, size)
        sent[lane] += size
        normal = [sent[each] / WEIGHTS[each] for each in lanes]
        assert max(normal) - min(normal) <= max(sizes) / min(WEIGHTS[each] for each in lanes) + 1e-6
