"""Chance that repeats."""

import random


class SeededRandom(random.Random):
    """Implements `littoral.core.random.Random`, and draws what simulated faults need, from one seed."""

    def __init__(self, seed: int | str = 0) -> None:
        # A string is hashed by SHA-512, an integer is used as it is: neither depends on PYTHONHASHSEED.
        super().__init__(seed)
        self.origin = seed

    def token_bytes(self, count: int) -> bytes:
        """`count` bytes; fit for tests only."""
        return self.randbytes(count)

    def chance(self, probability: float) -> bool:
        """True with this probability, in [0, 1]. Always draws, so that a change of it does not shift what follows."""
        return self.random() < probability

    def fork(self, name: str) -> "SeededRandom":
        """An independent source that depends on the seed and `name` only: one part's draws do not disturb another's."""
        return SeededRandom(f"{self.origin}/{name}")
