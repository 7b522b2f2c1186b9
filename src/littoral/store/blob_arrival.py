"""A blob on its way in: how much of it is in its file, and how much of that is in its digest.

The file survives a restart, the running digest does not. It is then made up from the file once all has come, which also
checks every block again; a block that is not what was written is where the sender goes on.
"""

import asyncio
import hashlib

from littoral.core.errors import StorageCorrupt
from littoral.store.blob_file import BLOCK_BYTES, SYNC_BYTES, BlobFile


class Arrival:
    """One blob that is not here as a whole. Its lock is held by whoever changes it."""

    def __init__(self, file: BlobFile, digest: str, size: int, have: int) -> None:
        self.file = file
        self.digest = digest
        self.size = size
        self.have = have
        """Synced, from the beginning on."""
        self.lock = asyncio.Lock()
        self.in_place = False
        """Its file has its final name."""
        self._hash = hashlib.sha256()
        self._hashed = 0

    @property
    def is_hashed(self) -> bool:
        """Whether the digest of all of it is known."""
        return self._hashed == self.size

    @property
    def is_right(self) -> bool:
        """Whether what has come is what was announced."""
        return self._hash.hexdigest() == self.digest

    def write(self, data: bytes) -> None:
        """Add to it, durably. Not on the event loop."""
        self.file.write(self.have, data)
        if self._hashed == self.have:
            self._hash.update(data)
            self._hashed += len(data)
        self.have += len(data)

    def catch_up(self) -> None:
        """Make up some more of the digest. Where the file is damaged, what follows has not come. Not on the event loop."""
        end = min(self.size, self._hashed + SYNC_BYTES)
        while self._hashed < end:
            try:
                block = self.file.read(self._hashed, BLOCK_BYTES, self.size)
            except StorageCorrupt:
                self.have = self._hashed
                return
            self._hash.update(block)
            self._hashed += len(block)
