"""Hybrid logical clock.

Source: S. Kulkarni, M. Demirbas et al., "Logical Physical Clocks and Consistent Snapshots in Globally
Distributed Databases", 2014. A timestamp is one 64-bit integer: milliseconds since the Unix epoch in
the upper 48 bits, a logical counter in the lower 16. Two nodes may draw the same integer; the node's
name breaks the tie, so (hlc, node) is a total order.
"""

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput

COUNTER_BITS = 16
FUTURE_SKEW_MS = 60_000
"""How far ahead of our own clock another node's timestamp may be. A record beyond it is refused, because
accepting it would let one wrong clock win every later conflict."""


def hlc_ms(timestamp: int) -> int:
    """The wall-clock part of a timestamp, in milliseconds since the epoch."""
    return timestamp >> COUNTER_BITS


class HybridClock:
    """Timestamps that never repeat or go back at one node, and that follow what it has seen of others."""

    def __init__(self, clock: Clock, last: int = 0) -> None:
        """`last` is the greatest timestamp that the node's store holds: a clock set back while it was off must not
        make new writes older than old ones."""
        self._clock = clock
        self._last = last

    @property
    def last(self) -> int:
        """The greatest timestamp issued or observed."""
        return self._last

    def now(self) -> int:
        """A timestamp greater than every one issued or observed before."""
        self._last = max(self._clock.wall_ms() << COUNTER_BITS, self._last + 1)
        return self._last

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
