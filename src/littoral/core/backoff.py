"""Capped exponential backoff with jitter.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Of the variants compared there
this is "equal jitter": half of each delay is fixed, so that a refusing peer is never asked in a tight loop, and the
other half is drawn, so that a herd of children spreads.
"""

from littoral.core.random import Random

FIRST_DELAY_S = 0.1


class Backoff:
    """The delays of one retried operation."""

    def __init__(self, random: Random, cap_ms: int) -> None:
        """cap_ms: no delay is longer (a limit of the node's)."""
        self._random = random
        self._cap_s = cap_ms / 1000
        self._ceiling_s = FIRST_DELAY_S

    def next_delay_s(self, *, least_s: float = 0.0, spread_s: float = 0.0) -> float:
        """How long to wait before the next try.

        least_s: what the other side asked for; spread_s: over how long those that failed at the same moment, of which
        there may be thousands, are to spread besides.
        """
        ceiling = min(self._ceiling_s, self._cap_s)
        self._ceiling_s = min(self._ceiling_s * 2, self._cap_s)
        delay_s = least_s + self._random.uniform(ceiling / 2, ceiling)
        return delay_s + self._random.uniform(0.0, spread_s) if spread_s > 0 else delay_s

    def reset(self) -> None:
        """The operation succeeded."""
        self._ceiling_s = FIRST_DELAY_S
