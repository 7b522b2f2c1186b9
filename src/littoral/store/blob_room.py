"""Whether there is room for another blob, and which ones go for it.

Only what the parent has may go, the least recently used first: everything else is here and nowhere else, as far as this
node knows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from littoral.core.disk import Disk
from littoral.core.errors import LimitReached, LittoralError, StorageFull, TooLarge
from littoral.core.limit import Limit
from littoral.core.limits import (
    BLOB_BYTES,
    BLOBS,
    BLOBS_ANNOUNCED,
    BLOBS_ANNOUNCED_PERCENT,
    BLOBS_BYTES,
    FREE_BYTES,
    Limits,
)
from littoral.store.blob_rows import BlobRow, blob_name
from littoral.store.blob_upload import Upload


class Held(NamedTuple):
    """What blobs take."""

    blobs: int
    bytes: int
    """Those included that are on their way, with all that is still to come."""
    coming_bytes: int
    """What was promised room and has not come."""

    def without(self, row: BlobRow) -> "Held":
        """Once a whole blob is dropped."""
        return Held(self.blobs - 1, self.bytes - row.size, self.coming_bytes)


class BlobRoom:
    """Of one node."""

    def __init__(self, disk: Disk, limits: Limits) -> None:
        self._disk = disk
        self._limits = limits

    def make(self, held: Held, spares: Callable[[], list[BlobRow]], digest: str, size: int) -> Iterator[str]:
        """The blobs to be dropped one by one, so that another one of `size` bytes can be taken; each is to be gone before
        the next is asked for. None is dropped where dropping all that may go would not do. spares: those, in the order in
        which they go; asked for where they are needed.

        Raises: TooLarge, LimitReached, StorageFull.
        """
        subject = blob_name(digest)
        if size > (most := self._limits[BLOB_BYTES]):
            self._limits.hit(BLOB_BYTES)
            cause = f"it has {size} bytes; at most {most} are allowed"
            raise TooLarge("take blob", subject, cause, f"The limit is {BLOB_BYTES.name}")
        if self._short(held, size) is None:
            return
        spare = spares()
        freed = sum(row.size for row in spare)
        least = Held(held.blobs - len(spare), held.bytes - freed, held.coming_bytes)
        short = self._short(least, size, freed)
        while short is None and spare:
            victim = spare.pop(0)
            yield victim.digest
            held = held.without(victim)
            if self._short(held, size) is None:
                return
        limit, error = short or (FREE_BYTES, StorageFull)
        self._limits.hit(limit)
        raise error(
            "take blob",
            subject,
            f"there is no room for its {size} bytes, also without the blobs here that the parent has",
            f"Drop some with `littoral blob drop`, free some space, or raise {limit.name}",
        )

    def check_announced(self, announced: Sequence[Upload], digest: str, size: int) -> None:
        """Whether a child that has announced so much may announce another blob. Raises: TooLarge, LimitReached."""
        coming = sum(upload.size - upload.have for upload in announced)
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
            blob_name(digest),
            f"of {len(announced)} others that were announced {coming} bytes have not come, and it has {size}",
            f"Bring those first, or raise {limit.name} at the parent",
        )

    def _short(self, held: Held, size: int, freed_bytes: int = 0) -> tuple[Limit, type[LittoralError]] | None:
        """Which limit stands against another blob of `size` bytes, and the error for that; None if none does. freed_bytes: of
        the disk, that are still to be freed."""
        if held.blobs >= self._limits[BLOBS]:
            return BLOBS, LimitReached
        if held.bytes + size > self._limits[BLOBS_BYTES]:
            return BLOBS_BYTES, LimitReached
        if self._disk.free_bytes() + freed_bytes - held.coming_bytes - size < self._limits[FREE_BYTES]:
            return FREE_BYTES, StorageFull
        return None
