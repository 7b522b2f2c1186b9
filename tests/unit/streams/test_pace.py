"""What is asked of a link at once follows what it carries."""

from littoral.streams.pace import FLOOR_BYTES, REQUEST_TIMEOUT_S, Pace

MOST = 1 << 20


def settled(rate: float, round_trip_s: float, *, parent_s: float = 0.0) -> Pace:
    """After a while at a link of so many bytes a second, with a small frame now and then."""
    pace = Pace(MOST, 4)
    for n in range(40):
        size = 500 if n % 5 == 0 else pace.bytes
        took_s = round_trip_s + parent_s + size * pace.frames / rate
        if took_s > pace.timeout_s:
            pace.failed()
        else:
            pace.answered(took_s)
    return pace


def test_a_quick_link_carries_large_frames_and_several_at_once():
    pace = settled(100e6, 0.02)
    assert (pace.bytes, pace.frames) == (MOST, 4)


def test_a_long_link_that_is_quick_is_not_idle_between_frames():
    pace = settled(10e6, 0.15)
    assert pace.bytes == MOST
    assert pace.frames >= 3


def test_at_a_slow_link_what_is_on_its_way_takes_about_a_second():
    pace = settled(50e3, 0.05)
    assert pace.frames == 1
    assert 25_000 <= pace.bytes <= 130_000


def test_a_parent_that_answers_late_is_not_sent_smaller_frames_for_it():
    assert settled(100e6, 0.02, parent_s=6.0).bytes == MOST


def test_what_is_never_answered_in_time_is_made_smaller_and_then_waited_for():
    pace = Pace(MOST, 4)
    for _ in range(6):
        pace.failed()
    assert (pace.bytes, pace.timeout_s) == (FLOOR_BYTES, REQUEST_TIMEOUT_S)
    pace.failed()
    assert (pace.bytes, pace.timeout_s) == (FLOOR_BYTES, REQUEST_TIMEOUT_S * 2)
