"""Moving the oldest of a stream to spill files, and removing files, without holding up the writer: the place may be slow.

    begin    a job takes the oldest batches, and the number of a file: a row of no stream
    write    the file is written and synced, on a thread
    end      a job gives the row to the stream and deletes the rows of the batches, if they are still its oldest

Whatever ends this in between leaves a row of no stream, whose file is removed as any other such.
"""

from functools import partial

from littoral.core.errors import Unavailable
from littoral.core.names import StreamName
from littoral.core.offload import Offload
from littoral.store.retention_writes import Spilling
from littoral.store.spill import NONCE_BYTES, SpillPlace, sealed
from littoral.store.store import Store
from littoral.store.transaction import Transaction

FILES_AT_ONCE = 16
"""Removed before their rows are deleted in one transaction."""


class Spiller:
    """Of one store. One thing is done at a time."""

    def __init__(self, store: Store, offload: Offload) -> None:
        self._store = store
        self._offload = offload

    async def spill(self, name: StreamName, most_bytes: int) -> int:
        """Move the oldest batches of a stream to a spill file, as long as it has more than `most_bytes` in the store, and no
        more than one file holds; returns their bytes. The last batch stays. Files over the place's own budget are
        dropped, the oldest first.

        Raises: NotFound, Unavailable where the place is not there, StorageError where it takes nothing.
        """
        place = await self._place_there()
        spilling = await self._store.submit(lambda tx: tx.begin_spill(name, most_bytes))
        if spilling is None:
            return 0
        size = await self._offload(partial(_write, place, spilling))
        return await self._store.submit(lambda tx: tx.end_spill(spilling, size))

    async def sweep(self) -> None:
        """Remove all files that are of no stream any more. Raises as `spill`."""
        while files := self._store.spilled.dropped(FILES_AT_ONCE):
            place = await self._place_there()
            await self._offload(partial(_remove, place, [path for _, path in files]))
            await self._store.submit(partial(_forget, [number for number, _ in files]))

    async def _place_there(self) -> SpillPlace:
        """The place, marked where it is used for the first time: what is not there later is not mounted, also where nothing
        of it is needed. Raises Unavailable, StorageError."""
        place = self._store.bounds.spill
        if place is None:
            raise Unavailable("spill", "the oldest records", "the node's document names no spill directory")
        is_known = self._store.spilled.directory() == place.directory
        await self._offload(place.check_there if is_known or self._store.spilled.has_any() else place.set_up)
        if not is_known:
            await self._store.submit(lambda tx: tx.note_spill_directory(place.directory))
        return place


def _forget(numbers: list[int], tx: Transaction) -> None:
    tx.forget_spill_files(numbers)


def _write(place: SpillPlace, spilling: Spilling) -> int:
    data = sealed(spilling.key, place.random.token_bytes(NONCE_BYTES), spilling.file, spilling.batches)
    place.disk.write(spilling.file, data, secret=True)
    return len(data)


def _remove(place: SpillPlace, paths: list[str]) -> None:
    for path in paths:
        if path:
            place.disk.remove(path)
