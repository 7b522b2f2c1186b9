"""Whether there is room for another blob, and which ones go for it.

Only what the parent has may go, the least recently used first: everything else is here and nowhere else, as far as this
node knows.
"""

from collections.abc import Callable, Iterator, Sequence

from littoral.core.disk import Disk
from littoral.core.errors import LimitReached, LittoralError, StorageFull, TooLarge
from littoral.core.limits import (
    BLOB_BYTES,
    BLOBS,
    BLOBS_ANNOUNCED,
    BLOBS_ANNOUNCED_PERCENT,
    BLOBS_BYTES,
    FREE_BYTES,
    Limit,
    Limits,
)
from littoral.store.blob_arrival import Arrival
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
        the next is asked for. None is dropped where dropping all that may go would not do. rows: what is here; coming_bytes:
        what was promised room and has not come.

        Raises: TooLarge, LimitReached, StorageFull.
        """
        subject = f"{ALGORITHM}{digest}"
        if size > (most := self._limits[BLOB_BYTES]):
            self._limits.hit(BLOB_BYTES)
            cause = f"it has {size} bytes; at most {most} are allowed"
            raise TooLarge("take blob", subject, cause, f"The limit is {BLOB_BYTES.name}")
        while self._short(here := rows(), coming_bytes(), size) is not None:
            spare = [row for row in here if self._is_spare(row)]
            kept = [row for row in here if not self._is_spare(row)]
            freed = sum(row.size for row in spare)
            if (short := self._short(kept, coming_bytes(), size, freed)) is not None or not spare:
                limit, error = short or (FREE_BYTES, StorageFull)
                self._limits.hit(limit)
                raise error(
                    "take blob",
                    subject,
                    f"there is no room for its {size} bytes, also without the blobs here that the parent has",
                    f"Drop some with `littoral blob drop`, free some space, or raise {limit.name}",
                )
            yield min(spare, key=lambda row: (row.used_ms, row.digest)).digest

    def check_announced(self, announced: Sequence[Arrival], digest: str, size: int) -> None:
        """Whether a child that has announced so much may announce another blob. Raises: TooLarge, LimitReached."""
        coming = sum(arrival.size - arrival.have for arrival in announced)
        most = self._limits[BLOBS_BYTES] * self._limits[BLOBS_ANNOUNCED_PERCENT] // 100
        if size > most or coming + size > most:
            limit, error = BLOBS_ANNOUNCED_PERCENT, TooLarge if size > most else LimitReached
        elif len(announced) >= self._limits[BLOBS_ANNOUNCED]:
            limit, error = BLOBS_ANNOUNCED, LimitReached
        else:
            return
        self._limits.hit(limit)
        raise error(
            "take blob",
            f"{ALGORITHM}{digest}",
            f"of {len(announced)} others that were announced {coming} bytes have not come, and it has {size}",
            f"Bring those first, or raise {limit.name} at the parent",
        )

    def _is_spare(self, row: BlobRow) -> bool:
        return row.complete and bool(self._parent) and row.above == self._parent

    def _short(
        self, rows: list[BlobRow], coming_bytes: int, size: int, freed_bytes: int = 0
    ) -> tuple[Limit, type[LittoralError]] | None:
        """Which limit stands against another blob of `size` bytes, and the error for that; None if none does."""
        if len(rows) >= self._limits[BLOBS]:
            return BLOBS, LimitReached
        if sum(row.size for row in rows) + size > self._limits[BLOBS_BYTES]:
            return BLOBS_BYTES, LimitReached
        if self._disk.free_bytes() + freed_bytes - coming_bytes - size < self._limits[FREE_BYTES]:
            return FREE_BYTES, StorageFull
        return None
