"""Which keys an index may have something of: a Bloom filter that a node's gateways share in memory.

Most requests for what is not stored end here, after a microsecond; asking the index takes several calls of the system. Whoever holds
the index's lock for writing sets bits, before what they stand for can be found; none is ever cleared. So it may say yes in vain. It
says no in vain only of what was written just before a loss of power: that is fetched again, and found from then on.
"""

import hashlib
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

BYTES = 4 << 20
BITS = BYTES * 8
FULL_PART = 4
"""With one bit in so many set it says yes too often: one time in the square of that."""


class CacheSummary:
    """One process's view of it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.is_new = os.fstat(descriptor).st_size != BYTES
            """Whether nothing is in it yet."""
            if self.is_new:
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, BYTES)
            self._map = mmap.mmap(descriptor, BYTES)
        finally:
            os.close(descriptor)

    @property
    def is_full(self) -> bool:
        """Whether it is of little use."""
        return int.from_bytes(self._map, "little").bit_count() > BITS // FULL_PART

    def fill(self, keys: Iterable[str]) -> None:
        """Begin anew, with these. Nobody else uses it."""
        self._map[:] = bytes(BYTES)
        for key in keys:
            self.add(key)
        self.is_new = False

    def add(self, key: str) -> None:
        """There is going to be something."""
        for place in _places(key):
            self._map[place >> 3] |= 1 << (place & 7)

    def may_have(self, key: str) -> bool:
        """Whether there may be something."""
        bits = self._map
        one, other = _places(key)
        return bool(bits[one >> 3] & (1 << (one & 7)) and bits[other >> 3] & (1 << (other & 7)))

    def close(self) -> None:
        """It is not wanted any more."""
        self._map.close()


def _places(key: str) -> tuple[int, int]:
    """Of its bits. The same in all processes, and not to be chosen by clients at will."""
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    return number % BITS, (number >> 32) % BITS
