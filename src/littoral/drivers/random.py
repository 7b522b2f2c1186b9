"""The operating system's random generator."""

import os
import secrets

_GENERATOR = secrets.SystemRandom()


class SystemRandom:
    """Implements `littoral.core.random.Random`."""

    def token_bytes(self, count: int) -> bytes:
        """`count` bytes fit for secrets."""
        return os.urandom(count)

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]."""
        return _GENERATOR.uniform(low, high)
