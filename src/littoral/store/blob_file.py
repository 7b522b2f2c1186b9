"""The file of one blob: a header of 32 bytes, then blocks of 16 KiB with a tag each, the last one shorter.

    header   "LITBLOB", version 1, kind (0 plain, 1 encrypted), 7 zeros, salt (16 bytes)
    block n  at 32 + n × (16 KiB + 16): see littoral.security.blob_seal

Where a byte of the blob lies follows from its offset, so a file can be read anywhere; and a file that ends early says by
its length, and the tags of its last blocks, how much of the blob it holds. Plain functions: whoever calls them decides on
which thread.
"""

from collections.abc import Sequence

from littoral.core.disk import Disk
from littoral.core.errors import StartupError, StorageCorrupt
from littoral.core.random import Random
from littoral.security.blob_seal import SALT_BYTES, TAG_BYTES, EncryptedSeal, PlainSeal, Seal, Unsealable
from littoral.store.blob_rows import blob_name

BLOCK_BYTES = 16 << 10
"""What is read and checked as a whole, and the least that a broken transfer goes on from: as little as one piece of a
slow link holds."""
HEADER_BYTES = 32
SYNC_BYTES = 1 << 20
"""Written between two syncs, at most: so much at the end of a file may be anything after a power cut."""
MAGIC = b"LITBLOB\x01"
PLAIN, ENCRYPTED = 0, 1
_SEALED_BYTES = BLOCK_BYTES + TAG_BYTES
FINISHED, PARTIAL = "blobs/sha256", "blobs/partial"


def finished_path(digest: str) -> str:
    """Where a whole blob is."""
    return f"{FINISHED}/{digest[:2]}/{digest}"


def partial_path(digest: str) -> str:
    """Where a blob is that has not come as a whole."""
    return f"{PARTIAL}/{digest}"


def blob_bytes(file_bytes: int) -> int:
    """How much of a blob a file of this size holds."""
    blocks, rest = divmod(file_bytes - HEADER_BYTES, _SEALED_BYTES)
    return max(0, blocks * BLOCK_BYTES + max(0, rest - TAG_BYTES))


class BlobFile:
    """One file, which exists."""

    def __init__(self, disk: Disk, path: str, digest: str, *, kind: int, salt: bytes, blob_key: bytes | None) -> None:
        """Use `create_blob_file` and `open_blob_file`."""
        self.path = path
        self.kind = kind
        self._disk = disk
        self._digest = digest
        self._seal = _seal(kind, salt, digest, path, blob_key)

    def read(self, offset: int, length: int, size: int) -> bytes:
        """Bytes of the blob from `offset` on, up to `length` or its size. Raises StorageCorrupt, NotFound."""
        end = min(size, offset + length)
        if offset >= end:
            return b""
        first, following = offset // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        sealed = self._disk.read_at(self.path, _place(first), (following - first) * _SEALED_BYTES)
        blocks = [self._open(number, sealed, number - first, size) for number in range(first, following)]
        return b"".join(blocks)[offset - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def write(self, offset: int, data: bytes) -> None:
        """Put whole blocks, or the last ones of the blob, at an offset, and sync them."""
        assert offset % BLOCK_BYTES == 0, offset
        for at in range(0, len(data), SYNC_BYTES):
            part, first = data[at : at + SYNC_BYTES], (offset + at) // BLOCK_BYTES
            sealed = [
                self._seal.seal(first + n // BLOCK_BYTES, part[n : n + BLOCK_BYTES])
                for n in range(0, len(part), BLOCK_BYTES)
            ]
            self._disk.write_at(self.path, _place(first), b"".join(sealed))
            self._disk.sync(self.path)

    def held(self, size: int) -> int:
        """Of a file that may end early: how much of a blob of this size it holds. Only what a power cut may have left is
        looked at; the digest tells the rest."""
        there = min(size, blob_bytes(self._disk.size(self.path) or 0))
        if there < size:
            there -= there % BLOCK_BYTES
        first = max(0, (there - SYNC_BYTES) // BLOCK_BYTES * BLOCK_BYTES)
        for at in range(first, there, BLOCK_BYTES):
            try:
                self.read(at, BLOCK_BYTES, size)
            except StorageCorrupt:
                return at
        return there

    def _open(self, number: int, sealed: bytes, place: int, size: int) -> bytes:
        part = sealed[place * _SEALED_BYTES : (place + 1) * _SEALED_BYTES]
        try:
            if len(part) != min(BLOCK_BYTES, size - number * BLOCK_BYTES) + TAG_BYTES:
                raise Unsealable
            return self._seal.unseal(number, part)
        except Unsealable:
            raise StorageCorrupt(
                "read blob",
                blob_name(self._digest),
                f"its bytes from {number * BLOCK_BYTES} on are not what was written to {self.path}",
                "Drop it with `littoral blob drop`, and send it again, or let it be fetched from the parent",
            ) from None


def create_blob_file(disk: Disk, path: str, digest: str, random: Random, blob_key: bytes | None) -> BlobFile:
    """Begin a file anew, encrypted if a key is given; it is synced, and holds nothing yet. Raises StorageError."""
    disk.remove(path)
    kind, salt = PLAIN if blob_key is None else ENCRYPTED, random.token_bytes(SALT_BYTES)
    disk.write_at(path, 0, _header(kind, salt))
    disk.sync(path)
    return BlobFile(disk, path, digest, kind=kind, salt=salt, blob_key=blob_key)


def open_blob_file(disk: Disk, path: str, digest: str, blob_key: bytes | None) -> BlobFile:
    """Open a file. Raises NotFound, StorageCorrupt, StartupError for one that is encrypted where no key is given."""
    header = disk.read_at(path, 0, HEADER_BYTES)
    kind = header[len(MAGIC)] if len(header) == HEADER_BYTES else -1
    if not header.startswith(MAGIC) or kind not in (PLAIN, ENCRYPTED):
        raise StorageCorrupt(
            "open blob",
            blob_name(digest),
            f"{path} does not begin as the file of a blob does",
            "Drop it with `littoral blob drop`, and send it again, or let it be fetched from the parent",
        )
    return BlobFile(disk, path, digest, kind=kind, salt=header[-SALT_BYTES:], blob_key=blob_key)


def digests_of(paths: Sequence[str]) -> dict[str, str]:
    """The blobs whose files these are: path -> digest."""
    found = {}
    for path in paths:
        digest = path.rpartition("/")[2]
        if path in (finished_path(digest), partial_path(digest)):
            found[path] = digest
    return found


def _header(kind: int, salt: bytes) -> bytes:
    return MAGIC + bytes([kind]) + bytes(HEADER_BYTES - len(MAGIC) - 1 - SALT_BYTES) + salt


def _place(number: int) -> int:
    return HEADER_BYTES + number * _SEALED_BYTES


def _seal(kind: int, salt: bytes, digest: str, path: str, blob_key: bytes | None) -> Seal:
    if kind == PLAIN:
        return PlainSeal(salt, bytes.fromhex(digest))
    if blob_key is None:
        raise StartupError(
            "open blob",
            blob_name(digest),
            f"{path} is encrypted, and the store has no key of it",
            "Restore the store that it was written with, or remove the file",
        )
    return EncryptedSeal(blob_key, salt, bytes.fromhex(digest))
