"""A blob on its way in: how much of it is in its file, and how much of that is in its digest.

The file survives a restart, the running digest does not. It is then made up from the file once all has come, which also
checks every block again; a block that is not what was written is where the sender goes on.

It belongs to its source, who began it: nobody else adds to it, and nobody else begins anew what is getting further. What the
node was given by its operator goes before what it fetches, and that before what a child brings.
"""

import asyncio
import hashlib

from littoral.core.errors import StorageCorrupt
from littoral.store.blob_file import BLOCK_BYTES, SYNC_BYTES, BlobFile

OPERATOR, PARENT = "an operator", "the parent"
"""Sources of blobs. The others are children, by their names, which have no blanks."""
UNKNOWN = ""
"""The source of what was brought before a restart: whoever goes on with it first, other than the parent."""
IDLE_S = 600.0
"""What nothing was added to for so long may be begun anew by anybody."""
_RANKS = {OPERATOR: 2, PARENT: 1}


class Upload:
    """One blob that is not here as a whole. Its lock is held by whoever changes it."""

    def __init__(self, file: BlobFile, digest: str, size: int, have: int, source: str, now_s: float) -> None:
        self.file = file
        self.source = source
        self.moved_s = now_s
        """When it was begun, found after a restart, or added to; monotonic."""
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

    def claim(self, source: str) -> bool:
        """Whether `source` may add to it."""
        if self.source == UNKNOWN and source != PARENT:
            self.source = source
        return self.source == source

    def gives_way(self, source: str, now_s: float) -> bool:
        """Whether `source`, to whom it does not belong, may begin it anew."""
        return _RANKS.get(source, 0) > _RANKS.get(self.source, 0) or now_s - self.moved_s > IDLE_S

    def write(self, offset: int, data: bytes) -> None:
        """Add to its end, which is at `offset`, durably. Not on the event loop."""
        assert offset == self.have, (offset, self.have)
        self.file.write(offset, data)
        if self._hashed == offset:
            self._hash.update(data)
            self._hashed += len(data)
        self.have = offset + len(data)

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
