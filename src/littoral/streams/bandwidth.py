"""How much the link to the parent may carry: a rate, and an amount a day and a month. Times come in; nothing waits here.

    rate        a token bucket: it fills with `rate` bytes a second up to `burst`, and what is sent is taken out of it.
                What is larger than the whole bucket (one batch cannot be divided) goes when the bucket is full, and
                leaves it in debt: nothing else goes until that is paid.
    per period  what was carried is counted by UTC day and month of the wall clock. A clock that jumps back comes to a
                day that has its count already; one that jumps ahead spends of a day to come.

What is counted are the bodies of requests and answers, and for what HTTP and TLS add the two constants below. What TCP
and IP add is not known here: about 3 % of full packets.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from littoral.core.resources import parse_bytes
from littoral.core.resources.checks import BANDWIDTH_LEAST
from littoral.core.resources.model import Bandwidth

Period = Literal["day", "month"]

REQUEST_BYTES = 700
"""Estimate of what a request and its answer are besides their bodies: heads, of which the node token is half, and TLS
records. Measured: 669 with names of 20 characters (tests/unit/streams/test_link_overhead.py)."""
CONNECTION_BYTES = 3_000
"""Estimate of a TLS handshake with certificates at both ends. Measured: 2,926."""
EVENT_BYTES = 30
"""Estimate of what carries an event of the notification channel: one chunk in one TLS record."""
BURST_S = 0.5
"""Where no burst is given, it is what the rate gives in so long: over any ten seconds that is 5 % of it."""
DAYS_KEPT, MONTHS_KEPT = 40, 14
"""Counts that are remembered, for clocks that jump."""
DAY_MS = 86_400_000


class Terms(msgspec.Struct, frozen=True):
    """A budget in numbers."""

    rate: int | None
    """Bytes per second; None for any."""
    burst: int
    """Bytes."""
    most: dict[Period, int]
    """Bytes per period; those that are not in it have no bound."""
    stops: bool
    """At the end of a period's budget nothing is sent; otherwise what is urgent goes on."""


def terms_of(document: Bandwidth) -> Terms:
    """What a node's document says, which was checked before."""
    rate = None if document.rate is None else parse_bytes(document.rate)
    burst_least, _ = BANDWIDTH_LEAST["burst"]
    default = max(burst_least, int((rate or 0) * BURST_S))
    burst = default if document.burst is None else parse_bytes(document.burst)
    most: dict[Period, int] = {}
    if document.per_day is not None:
        most["day"] = parse_bytes(document.per_day)
    if document.per_month is not None:
        most["month"] = parse_bytes(document.per_month)
    return Terms(rate, burst, most, document.at_end == "stop")


class TokenBucket:
    """Full at first."""

    def __init__(self, rate: int, burst: int, now_s: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at_s = now_s

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """How long until so much may be sent; 0 for now."""
        self._fill(now_s)
        missing = min(size_bytes, self._burst) - self._tokens
        # Less than a byte is rounding: without this, a wait could end a moment too early for ever.
        return missing / self._rate if missing >= 1 else 0.0

    def take(self, size_bytes: int, now_s: float) -> None:
        """So much is sent, or if negative was not sent after all."""
        self._fill(now_s)
        self._tokens = min(self._burst, self._tokens - size_bytes)

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s


class Usage:
    """What was carried in each period."""

    def __init__(self, most: dict[Period, int], kept: dict[str, bytes]) -> None:
        """kept: what `changes` gave, all of it."""
        self._most = most
        self._used = {label: int(value) for label, value in kept.items()}
        self._changed: set[str] = set()
        self._labels: dict[Period, str] = {}
        self._ends_ms: dict[Period, int] = {}
        self._day = -1
        """Of the labels, days since the epoch."""

    def add(self, size_bytes: int, wall_ms: int) -> None:
        """So much was carried, or if negative was not after all."""
        self._turn(wall_ms)
        for label in self._labels.values():
            self._used[label] = max(0, self._used.get(label, 0) + size_bytes)
            self._changed.add(label)

    def used(self, period: Period, wall_ms: int) -> int:
        """In the present one."""
        self._turn(wall_ms)
        return self._used.get(self._labels[period], 0)

    def left(self, wall_ms: int) -> int | None:
        """What may still be carried, at least 0; None for any amount."""
        self._turn(wall_ms)
        left = [self._most[period] - self._used.get(label, 0) for period, label in self._labels.items()]
        return max(0, min(left)) if left else None

    def spent_until_ms(self, wall_ms: int) -> int | None:
        """When there is something to spend again; None while there is."""
        self._turn(wall_ms)
        ends = [
            self._ends_ms[period]
            for period, label in self._labels.items()
            if self._used.get(label, 0) >= self._most[period]
        ]
        return max(ends, default=None)

    def changes(self) -> dict[str, bytes | None]:
        """What has changed since this was asked last: to be kept, or if None not to be kept any more."""
        changes: dict[str, bytes | None] = {label: b"%d" % self._used[label] for label in self._changed}
        self._changed.clear()
        current = set(self._labels.values())
        for length, kept in ((len("2023-11-14"), DAYS_KEPT), (len("2023-11"), MONTHS_KEPT)):
            labels = sorted(label for label in self._used if len(label) == length and label not in current)
            for label in labels[: max(0, len(labels) - kept)]:
                del self._used[label]
                changes[label] = None
        return changes

    def _turn(self, wall_ms: int) -> None:
        """Come to the periods of the present, if they are others."""
        day = wall_ms // DAY_MS
        if day == self._day:
            return
        self._day = day
        today = datetime.fromtimestamp(day * DAY_MS // 1000, tz=UTC)
        next_month = (today.replace(day=1) + timedelta(days=31)).replace(day=1)
        labels: dict[Period, str] = {"day": today.strftime("%Y-%m-%d"), "month": today.strftime("%Y-%m")}
        ends_ms: dict[Period, int] = {"day": (day + 1) * DAY_MS, "month": int(next_month.timestamp()) * 1000}
        self._labels = {period: labels[period] for period in self._most}
        self._ends_ms = ends_ms
