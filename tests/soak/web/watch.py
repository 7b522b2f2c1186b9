"""What a gateway process takes, as the kernel tells it, while a run goes on; and what is left of it afterwards."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GROWTH_BYTES = 24 << 20
"""That memory may have grown by from the second quarter of a run to its last: what allocators keep, and chance."""


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def lives(pid: int) -> bool:
    """Whether it does anything still: one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def sockets(pid: int) -> int:
    """Open ones."""
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(each).startswith("socket:")
        except OSError:
            continue
    return count


@dataclass(slots=True)
class Watch:
    """Of one process that lives through the whole run."""

    pid: int
    resident: list[int] = field(default_factory=list)
    """One sample after another, without what the process has been told to keep."""

    def look(self, kept_bytes: int) -> None:
        """kept_bytes: in its cache, which has a bound of its own and fills as the run goes on."""
        self.resident.append(resident_bytes(self.pid) - kept_bytes)

    @property
    def growth_bytes(self) -> int:
        """From the second quarter to the last."""
        quarter = len(self.resident) // 4
        if not quarter:
            return 0
        return int(median(self.resident[-quarter:]) - median(self.resident[quarter : 2 * quarter]))
