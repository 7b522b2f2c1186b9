"""Which numbers of a device were seen: how duplicates are recognised.

Rules:

- A number above the greatest seen is new. Gaps are fine: the numbers need only grow.
- Of the 1024 numbers up to the greatest seen, each is remembered; one that was not seen is new. So readings may
  overtake each other by that much.
- A number further below counts as a duplicate. A device that sends its whole history again (it lost its note of
  what was acknowledged) changes nothing by that. The price: a device that begins to count from 0 again is not heard
  until it passes its old mark, and `duplicates` grows meanwhile. A device without memory that survives a restart
  should begin at the time of its start, for instance in seconds since the epoch.
"""

import msgspec

REMEMBERED = 1024
NUMBER_MOST = 2**63 - 1

_MASK = (1 << REMEMBERED) - 1


class SeenState(msgspec.Struct, frozen=True, array_like=True):
    """All that `SeenNumbers` knows, at rest."""

    high: int
    bits: bytes


class SeenNumbers:
    """The numbers of one key that were seen."""

    __slots__ = ("_bits", "_high")

    def __init__(self) -> None:
        self._high = -1
        """The greatest number seen; numbers are not negative."""
        self._bits = 0
        """Bit i: `_high` - i was seen."""

    def add(self, number: int) -> bool:
        """True if `number` is new; it is seen from now on."""
        ahead = number - self._high
        if ahead > 0:
            self._bits = ((self._bits << ahead) & _MASK) | 1 if ahead < REMEMBERED else 1
            self._high = number
            return True
        bit = 1 << -ahead if ahead > -REMEMBERED else 0
        if not bit or self._bits & bit:
            return False
        self._bits |= bit
        return True

    def save(self) -> SeenState:
        """What `load` needs to go on exactly from here."""
        return SeenState(self._high, self._bits.to_bytes((self._bits.bit_length() + 7) // 8, "big"))

    def load(self, state: SeenState | None) -> None:
        """Become what was saved; None for what a new key has."""
        self._high, self._bits = (-1, 0) if state is None else (state.high, int.from_bytes(state.bits, "big"))
