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

    def next_delay_s(self) -> float:
        """How long to wait before the next try."""
        ceiling = min(self._ceiling_s, self._cap_s)
        self._ceiling_s = min(self._ceiling_s * 2, self._cap_s)
        return self._random.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """The operation succeeded."""
        self._ceiling_s = FIRST_DELAY_S
