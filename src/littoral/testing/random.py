"""Chance that repeats."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import apsw


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


class _Seed(apsw.VFS):
    """Where SQLite asks for its seed, while it is the default VFS."""

    def __init__(self, random: SeededRandom) -> None:
        super().__init__("littoral-sim-seed", base="", makedefault=True)
        self._random = random

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802 -- SQLite's name
        """The seed."""
        return self._random.token_bytes(numbytes)


@contextmanager
def seeded_sqlite(random: SeededRandom) -> Iterator[None]:
    """Let SQLite draw from `random`: it salts its logs, among others. It has one generator for the whole process."""
    usual = apsw.vfs_names()[0]
    seed = _Seed(random)
    try:
        apsw.randomness(0)  # forget the last seed
        apsw.randomness(1)  # ask for one
    finally:
        apsw.set_default_vfs(usual)
        seed.unregister()
    try:
        yield
    finally:
        apsw.randomness(0)
