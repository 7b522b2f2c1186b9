"""When a stream is over: of one that has a lifetime."""

import msgspec
import pytest

from littoral.store.batch import CHAIN_START
from littoral.store.stream import StreamInfo
from littoral.streams.expiry import Expiry
from tests.support.fakes import FakeClock
from tests.support.stores import name

FOREVER = StreamInfo(
    id=1,
    name=name("plant-a/s"),
    lineage="l",
    content_type="text/plain",
    lane="telemetry",
    first=0,
    next=0,
    chain=CHAIN_START,
    bytes=0,
    created_ms=0,
    closed=False,
    retention_bytes=1,
)


class CountedClock(FakeClock):
    """A clock that knows how often it was looked at."""

    looks = 0

    def wall_ms(self) -> int:
        self.looks += 1
        return super().wall_ms()


@pytest.mark.parametrize(
    ("lifetime", "looks"), [({}, 0), ({"ttl_s": 1}, 1), ({"expires_at": "2123-01-01T00:00:00Z"}, 1)]
)
def test_the_clock_is_looked_at_for_streams_that_end(lifetime: dict[str, object], looks: int) -> None:
    clock = CountedClock()
    expiry = Expiry(clock)
    clock.looks = 0
    assert not expiry.is_over(msgspec.structs.replace(FOREVER, **lifetime))
    assert clock.looks == looks


def test_use_renews_a_time_to_live_and_no_moment() -> None:
    clock = FakeClock()
    expiry = Expiry(clock)
    lives = msgspec.structs.replace(FOREVER, ttl_s=10)
    ends = msgspec.structs.replace(FOREVER, expires_at="2023-11-14T22:13:30Z")
    assert (expiry.left_ms(lives), expiry.left_ms(ends), expiry.left_ms(FOREVER)) == (10_000, 10_000, None)
    clock.advance(seconds=6)
    for info in (lives, ends, FOREVER):
        expiry.use(info)
    clock.advance(seconds=6)
    assert (expiry.left_ms(lives), expiry.left_ms(ends), expiry.left_ms(FOREVER)) == (4_000, -2_000, None)
    assert [expiry.is_over(info) for info in (lives, ends, FOREVER)] == [False, True, False]
