"""Whether there is room on the disk, asked before anything is appended.

SQLite on a full disk can neither delete nor check its log in. So the last bytes (limit `free-bytes`) are kept for the
lanes control and alerts, and for what makes room. Everybody else is refused until there is space again.
"""

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.errors import StorageFull
from littoral.core.lanes import Lane
from littoral.core.limits import FREE_BYTES, Limits
from littoral.core.names import StreamName

LOOK_EVERY_S = 1.0
LOOK_AGAIN_S = 0.1
"""While there is none."""
ALWAYS: frozenset[Lane] = frozenset(("control", "alerts"))


class Room:
    """The writer's view of the disk."""

    def __init__(self, disk: Disk, clock: Clock, limits: Limits) -> None:
        self._disk = disk
        self._clock = clock
        self._limits = limits
        self._look_at_s = 0.0
        self.free_bytes = limits[FREE_BYTES]
        """When it was last looked at."""
        self.low = False

    def check(self, name: StreamName, lane: Lane) -> None:
        """Raise StorageFull where nothing of this lane may be appended now. Raises StorageError."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._look_at_s:
            self.free_bytes = self._disk.free_bytes()
            self.low = self.free_bytes < self._limits[FREE_BYTES]
            self._look_at_s = now_s + (LOOK_AGAIN_S if self.low else LOOK_EVERY_S)
        if self.low and lane not in ALWAYS:
            self._limits.hit(FREE_BYTES)
            raise StorageFull(
                "append to stream",
                str(name),
                f"{self.free_bytes} bytes are free on the disk, and the last {self._limits[FREE_BYTES]} are kept for"
                " the lanes control and alerts",
                "Free some space, lower the retention of the largest streams or limit store-bytes; the node goes on by"
                " itself, nothing was lost",
            )
