"""The numbers of a bandwidth budget: the bucket of the rate, and the counts of days and months."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from littoral.core.resources.model import Bandwidth
from littoral.streams.bandwidth import DAY_MS, DAYS_KEPT, Terms, TokenBucket, Usage, terms_of

MIB = 1 << 20


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_a_document_in_numbers():
    assert terms_of(Bandwidth(rate="1MiB")) == Terms(MIB, MIB // 2, {}, stops=False)
    assert terms_of(Bandwidth(rate="1KiB")).burst == 4096, "enough for a session to be opened"
    assert terms_of(Bandwidth(rate="1MiB", burst="3MiB", at_end="stop")) == Terms(MIB, 3 * MIB, {}, stops=True)
    assert terms_of(Bandwidth(per_day="2MiB", per_month="9MiB")).most == {"day": 2 * MIB, "month": 9 * MIB}


@given(
    st.integers(1, 10_000),
    st.integers(1, 10_000),
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 10_000)), max_size=60),
)
def test_no_stretch_of_time_carries_more_than_the_burst_and_the_rate(
    rate: int, burst: int, asked: list[tuple[float, int]]
):
    """Whoever waits as long as he is told. What is larger than the burst counts with what was there when it went."""
    bucket, now_s = TokenBucket(rate, burst, 0.0), 0.0
    sent: list[tuple[float, int]] = []
    for pause_s, size in asked:
        now_s += pause_s
        while wait_s := bucket.wait_s(size, now_s):
            now_s += wait_s
        bucket.take(size, now_s)
        sent.append((now_s, size))
    for begin, (from_s, _) in enumerate(sent):
        carried = 0
        for to_s, size in sent[begin:]:
            assert carried + min(size, burst) <= burst + rate * (to_s - from_s) + 2
            carried += size


def test_what_was_not_sent_after_all_is_given_back_and_never_makes_more_than_a_burst():
    bucket = TokenBucket(10, 100, 0.0)
    bucket.take(100, 0.0)
    assert bucket.wait_s(50, 0.0) == 5
    bucket.take(-60, 0.0)
    assert bucket.wait_s(50, 0.0) == 0
    bucket.take(-1000, 0.0)
    bucket.take(100, 0.0)
    assert bucket.wait_s(1, 0.0) > 0


def test_a_day_and_a_month_end_where_the_calendar_says():
    usage = Usage({"day": 100, "month": 150}, {})
    usage.add(100, at("2024-02-28T10:00"))
    assert usage.spent_until_ms(at("2024-02-28T23:59")) == at("2024-02-29T00:00")
    assert usage.left(at("2024-02-29T00:00")) == 50
    usage.add(50, at("2024-02-29T01:00"))
    assert usage.spent_until_ms(at("2024-02-29T02:00")) == at("2024-03-01T00:00"), "the month"
    assert usage.left(at("2024-02-29T02:00")) == 0
    assert usage.spent_until_ms(at("2024-03-01T00:00")) is None
    assert (usage.used("day", at("2024-03-01T00:00")), usage.used("month", at("2024-03-01T00:00"))) == (0, 0)
    usage.add(150, at("2024-12-31T12:00"))
    assert usage.spent_until_ms(at("2024-12-31T12:00")) == at("2025-01-01T00:00")


def test_a_period_without_a_bound_is_not_counted():
    usage = Usage({}, {})
    usage.add(1 << 60, 0)
    assert usage.left(0) is None
    assert usage.changes() == {}


def test_a_clock_that_jumps_comes_back_to_what_it_had_counted():
    usage = Usage({"day": 100}, {})
    today, tomorrow = at("2024-05-01T12:00"), at("2024-05-02T12:00")
    usage.add(100, today)
    usage.add(30, tomorrow)
    assert usage.spent_until_ms(today) is not None
    assert usage.used("day", tomorrow) == 30
    again = Usage({"day": 100}, {label: value for label, value in usage.changes().items() if value is not None})
    assert again.spent_until_ms(today) is not None
    assert again.used("day", tomorrow) == 30
    assert again.changes() == {}, "nothing is kept that is kept already"


def test_counts_of_long_ago_are_forgotten_and_those_of_the_present_are_not():
    usage = Usage({"day": 100}, {})
    kept: dict[str, bytes | None] = {}
    for day in range(1, 100):
        usage.add(day, day * DAY_MS)
        kept |= usage.changes()
    left = {label: value for label, value in kept.items() if value is not None}
    assert len(left) == DAYS_KEPT + 1
    assert Usage({"day": 100}, left).used("day", 99 * DAY_MS) == 99
    usage.add(7, DAY_MS)
    assert usage.changes()["1970-01-02"] == b"7"
