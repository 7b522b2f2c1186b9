"""Durations and sizes as people write them: "250ms", "5m", "64MiB"."""

import re

from littoral.core.errors import InvalidInput

_DURATION = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")
_DURATION_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST_DURATION_MS = 3650 * 86_400_000
"""Ten years: longer is a slip of the keyboard, and sums with times since the epoch stay far from 2**63."""

_BYTES = re.compile(r"([0-9]{1,19})(B|KiB|MiB|GiB)?")
_BYTE_UNITS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MOST_BYTES = 1 << 60
"""One EiB: beyond any disk, and within SQLite's 64-bit integers."""


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a duration such as "90s". Raises InvalidInput, also for more than ten years."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInput(
            "read duration", repr(text[:40]), "it is a whole number and one of ms, s, m, h, d", 'For example "250ms"'
        )
    duration_ms = int(match[1]) * _DURATION_UNITS_MS[match[2]]
    if duration_ms > LONGEST_DURATION_MS:
        raise InvalidInput("read duration", repr(text[:40]), "at most ten years (3650d) are allowed")
    return duration_ms


def parse_bytes(text: str) -> int:
    """The number of bytes of a size such as "64MiB"; no unit means bytes. Raises InvalidInput, also above 1 EiB."""
    match = _BYTES.fullmatch(text)
    if match is None:
        raise InvalidInput(
            "read size", repr(text[:40]), "it is a whole number and none or one of B, KiB, MiB, GiB", 'Say "64MiB"'
        )
    size_bytes = int(match[1]) * _BYTE_UNITS[match[2]]
    if size_bytes > MOST_BYTES:
        raise InvalidInput("read size", repr(text[:40]), "at most 1 EiB is allowed")
    return size_bytes
