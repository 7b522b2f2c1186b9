"""Chance as a dependency. Real: `littoral.drivers.random`; seeded: `littoral.testing.random`."""

from typing import Protocol


class Random(Protocol):
    """What Littoral draws: secrets, identities and jitter."""

    def token_bytes(self, count: int) -> bytes:
        """`count` bytes fit for secrets (from the operating system's generator when real)."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]."""
        ...
