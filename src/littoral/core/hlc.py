"""Hybrid logical clock.

Source: S. Kulkarni, M. Demirbas et al., "Logical Physical Clocks and Consistent Snapshots in Globally
Distributed Databases", 2014. A timestamp is one 64-bit integer: milliseconds since the Unix epoch in
the upper 48 bits, a logical counter in the lower 16. Two nodes may draw the same integer; the node's
name breaks the tie, so (hlc, node) is a total order.
"""

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput

COUNTER_BITS = 16
HLC_MOST = (1 << 63) - 1
"""What SQLite holds."""
FUTURE_SKEW_MS = 60_000
"""How far ahead of our own clock another node's timestamp may be. A record beyond it is refused, because
accepting it would let one wrong clock win every later conflict."""
LEAD_MOST_MS = FUTURE_SKEW_MS // 2
"""How far our own timestamps may run ahead of our clock. A clock that is set back further (a node that started a day
fast, and then heard of NTP) takes them back with it: else the neighbours would refuse all that is written for a day."""


def hlc_ms(timestamp: int) -> int:
    """The wall-clock part of a timestamp, in milliseconds since the epoch."""
    return timestamp >> COUNTER_BITS


def hlc_at(wall_ms: int) -> int:
    """The first timestamp of a moment, given in milliseconds since the epoch."""
    return wall_ms << COUNTER_BITS


class HybridClock:
    """Timestamps that follow what the node has seen, its own and others', up to a lead over its clock."""

    def __init__(self, clock: Clock, last: int = 0) -> None:
        """`last` is the greatest timestamp that the node's store holds: a clock set back while it was off must not
        make new writes older than old ones, as far as the lead allows."""
        self._clock = clock
        self._last = last

    @property
    def last(self) -> int:
        """The greatest timestamp issued or observed."""
        return self._last

    def now(self) -> int:
        """A timestamp greater than every one issued or observed before, unless the clock was set back by more than
        LEAD_MOST_MS since."""
        wall_ms = self._clock.wall_ms()
        if hlc_ms(self._last) - wall_ms > LEAD_MOST_MS:
            self._last = 0
        self._last = max(wall_ms << COUNTER_BITS, self._last + 1)
        return self._last

    def after(self, timestamp: int) -> int:
        """As `now`, and also greater than `timestamp`, however far ahead that is. It leaves no trace in later ones."""
        return max(self.now(), timestamp + 1)

    def observe(self, timestamp: int) -> None:
        """Take note of another node's timestamp. Raises InvalidInput if it is too far in the future."""
        ahead_ms = hlc_ms(timestamp) - self._clock.wall_ms()
        if ahead_ms > FUTURE_SKEW_MS:
            raise InvalidInput(
                "accept timestamp",
                str(timestamp),
                f"it is {ahead_ms} ms ahead of this node's clock; at most {FUTURE_SKEW_MS} ms are allowed",
                "Set the clocks of both nodes (NTP)",
            )
        self._last = max(self._last, timestamp)
