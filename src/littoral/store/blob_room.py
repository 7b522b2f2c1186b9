"""Whether there is room for another blob, and which ones go for it.

Only what the parent has may go, the least recently used first: everything else is here and nowhere else, as far as this
node knows.
"""

from collections.abc import Callable, Iterator

from littoral.core.disk import Disk
from littoral.core.errors import LimitReached, LittoralError, StorageFull, TooLarge
from littoral.core.limits import BLOB_BYTES, BLOBS, BLOBS_BYTES, FREE_BYTES, Limit, Limits
from littoral.store.blob_rows import ALGORITHM, BlobRow


class BlobRoom:
    """Of one node."""

    def __init__(self, disk: Disk, limits: Limits, parent: str) -> None:
        self._disk = disk
        self._limits = limits
        self._parent = parent

    def make(
        self, rows: Callable[[], list[BlobRow]], coming_bytes: Callable[[], int], digest: str, size: int
    ) -> Iterator[str]:
        """The blobs to be dropped one by one, so that another one of `size` bytes can be taken; each is to be gone before
        the next is asked for. rows: what is here; coming_bytes: what was promised room and has not come.

        Raises: TooLarge, LimitReached, StorageFull.
        """
        subject = f"{ALGORITHM}{digest}"
        if size > (most := self._limits[BLOB_BYTES]):
            self._limits.hit(BLOB_BYTES)
            cause = f"it has {size} bytes; at most {most} are allowed"
            raise TooLarge("take blob", subject, cause, f"The limit is {BLOB_BYTES.name}")
        while (short := self._short(rows(), coming_bytes(), size)) is not None:
            limit, error = short
            self._limits.hit(limit)
            spare = [row for row in rows() if row.complete and self._parent and row.above == self._parent]
            if not spare:
                raise error(
                    "take blob",
                    subject,
                    f"there is no room for its {size} bytes, and the parent has none of the blobs that are here",
                    f"Drop some with `littoral blob drop`, free some space, or raise {limit.name}",
                )
            yield min(spare, key=lambda row: (row.used_ms, row.digest)).digest

    def _short(self, rows: list[BlobRow], coming_bytes: int, size: int) -> tuple[Limit, type[LittoralError]] | None:
        """Which limit stands against another blob of `size` bytes, and the error for that; None if none does."""
        if len(rows) >= self._limits[BLOBS]:
            return BLOBS, LimitReached
        if sum(row.size for row in rows) + size > self._limits[BLOBS_BYTES]:
            return BLOBS_BYTES, LimitReached
        if self._disk.free_bytes() - coming_bytes - size < self._limits[FREE_BYTES]:
            return FREE_BYTES, StorageFull
        return None
