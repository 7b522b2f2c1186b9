"""A node's wall clock, which can be set: libfaketime in its processes reads a file. Monotonic time stays real.

The library has its price: processes under it use more of the processor, and Python's `time.sleep` fails in them, which no
process of a node calls.
"""

from pathlib import Path

from tests.soak.isolation import NOT_ISOLATED, is_isolated

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
JUMPS_S = (25, 30, -20, -25)
"""Two clocks differ by less than FUTURE_SKEW_MS then, beyond which a node refuses its neighbours' writes, by design. By
more than LEEWAY_S of tokens they may: the link is down until they agree."""


class WallClock:
    """The clock of one node."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, ahead_s: int) -> None:
        aside = self._file.with_name(f"{self._file.name}~")
        aside.write_text(f"{ahead_s:+d}\n", encoding="ascii")
        aside.rename(self._file)

    def environment(self) -> dict[str, str]:
        """Of processes that go by it."""
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # its name in older versions
        }


def why_not() -> str | None:
    """Why clocks cannot be set here; None if they can."""
    if not is_isolated():
        return NOT_ISOLATED
    return None if LIBRARIES else "there is no libfaketime (Debian package faketime)"
