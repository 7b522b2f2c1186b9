"""Spill files: the oldest batches of streams in a second place, when there is no room for them in store.db.

    write    a file with some batches of one stream, synced; then, in one transaction, its row in the table `spilled` and the
             deletion of the rows of its batches. A crash in between leaves a file without a row, of a number that was not
             committed: the next file is given the same number, and takes its place
    read     what `batches` lacks of a stream is looked for in `spilled`
    remove   the row says that the file is of no stream any more; then the file is removed, then the row

A file is written once and never changed: the batches as they lie in rows (each with its checksum and chain), encrypted
with AES-256-GCM by a key that is kept in store.db. So the place need not be trusted, and the store may be given another
key, or one for the first time, without writing them anew.
"""

import itertools
from typing import Any

import apsw
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from littoral.core.disk import Disk
from littoral.core.errors import StorageCorrupt, StorageError, Unavailable
from littoral.core.names import StreamName
from littoral.core.random import Random
from littoral.core.resources.model import Storage
from littoral.core.resources.units import parse_bytes
from littoral.store.batch import Batch
from littoral.store.database import translated
from littoral.store.meta import read_meta_value
from littoral.store.stream import StreamInfo

FILE_BYTES = 1 << 20
"""Of payload in a file, and one batch more: it is read, decrypted and checked in one piece."""
FILES_AT_ONCE = 16
"""Rows of the table that are read at once."""
MAGIC = b"LSPILL1\n"
NONCE_BYTES = 12
KEY_BYTES = 32
KEY = "spill-key"
"""Row of the table `meta`."""
SET_UP = "spill-directory"
"""Row of the table `meta`: the directory that was marked as the place, and is not marked again."""
_MARK_TEXT = b"Littoral keeps records of a node's streams here; littoral store check says of which.\n"
FILE_COLUMNS = "number, first, next, newest_ms, file"
"""Those of the table `spilled` that SpillFile has."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Batch]).decode


class SpillFile(msgspec.Struct, frozen=True, array_like=True):
    """A row of the table `spilled`."""

    number: int
    first: int
    next: int
    newest_ms: int
    """When the latest of its batches was appended."""
    file: str


class SpillPlace:
    """The second place of one node: a directory, of which everything below the node's name is its own."""

    def __init__(self, disk: Disk, node: str, directory: str, most_bytes: int, random: Random) -> None:
        """directory: for people; most_bytes: of all files together."""
        self.disk = disk
        self.random = random
        self.directory = directory
        self.most_bytes = most_bytes
        self._node = node

    @property
    def mark(self) -> str:
        """A file that tells the place from the empty directory on which it is mounted."""
        return f"{self._node}/SPILL"

    def file(self, lineage: str, number: int) -> str:
        """The path of a file. Numbers are not given again within a lineage."""
        return f"{self._node}/{lineage}/{number:012d}"

    def read(self, file: str) -> bytes | None:
        """A file's bytes, or None if there is none. Raises Unavailable where the disk does not say."""
        try:
            return self.disk.read(file)
        except StorageError as error:
            raise self.unavailable(f"read {file} in", error.cause) from error

    def check_there(self) -> None:
        """Raise Unavailable where the place is not what it was."""
        if self.read(self.mark) is None:
            raise self.unavailable("use", f"there is no file {self.mark} in it: it is not mounted, or was emptied")

    def set_up(self) -> None:
        """Mark a place that was never used before. Raises StorageError."""
        self.disk.write(self.mark, _MARK_TEXT)

    def unavailable(self, operation: str, cause: str) -> Unavailable:
        """The error for a place that is not there."""
        return Unavailable(
            operation,
            f"spill directory {self.directory}",
            cause,
            "Mount what spec.storage.spill.directory names; the node goes on by itself",
        )


def spill_place(node: str, storage: Storage | None, disk: Disk | None, random: Random) -> SpillPlace | None:
    """What a node's document names, if it does; disk: of that directory."""
    if storage is None or storage.spill is None or disk is None:
        return None
    return SpillPlace(disk, node, storage.spill.directory, parse_bytes(storage.spill.bytes), random)


class SpillReader:
    """Reads spilled batches for one connection to the store. Keeps the file that was read last."""

    def __init__(self, connection: apsw.Connection, place: SpillPlace | None) -> None:
        """place: None where the node's document names none (any more)."""
        self._connection = connection
        self._place = place
        self._last: tuple[str, list[Batch]] | None = None

    def files(self, stream: int, first: int, following: int) -> list[SpillFile]:
        """The first files with records [first, following) of a stream, by the number of its row."""
        rows = self._connection.execute(
            f"SELECT {FILE_COLUMNS} FROM spilled WHERE stream=? AND next>? AND first<? ORDER BY first LIMIT ?",
            (stream, first, following, FILES_AT_ONCE),
        ).fetchall()
        return msgspec.convert(rows, list[SpillFile])

    def read(self, stream: int, name: StreamName, first: int, following: int, max_bytes: int) -> list[Batch]:
        """The spilled batches of a stream within [first, following): at least one if there is any, then up to
        `max_bytes` of payload. A batch that holds `first` is one of them.

        Raises: Unavailable where the place is not there, StorageCorrupt for a file that is damaged or missing.
        """
        batches: list[Batch] = []
        size, at = 0, first
        while files := self.files(stream, at, following):
            for batch in itertools.chain.from_iterable(map(self.batches, files)):
                if batch.next <= first:
                    continue
                size += len(batch.payload)
                if batch.first >= following or (batches and size > max_bytes):
                    return batches
                batches.append(msgspec.structs.replace(batch, origin=name.origin, path=name.path))
            at = files[-1].next
        return batches

    def batches(self, file: SpillFile) -> list[Batch]:
        """All batches of a file, as they were when it was written; none where the file was dropped since its row was read.
        Raises as `read`."""
        if self._last is not None and self._last[0] == file.file:
            return self._last[1]
        if self._place is None:
            raise Unavailable(
                "read spill file",
                f"{file.file} with offsets [{file.first}, {file.next})",
                "it is in a spill directory, and spec.storage.spill names none",
                "Name the directory that it named before",
            )
        data = self._place.read(file.file)
        if data is None:
            self._place.check_there()
            if not self._is_held(file):
                return []
            raise _damaged(file, "it is missing")
        batches = _opened(self.key(), file, data)
        self._last = (file.file, batches)
        return batches

    def _is_held(self, file: SpillFile) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM spilled WHERE number=? AND file=? AND stream IS NOT NULL", (file.number, file.file)
        ).fetchone()
        return row is not None

    # What there is, as committed

    def directory(self) -> str | None:
        """The directory that was set up as the place of spill files; None if none was. Raises StorageError."""
        with translated("look for", "spill files"):
            return read_meta_value(self._connection, SET_UP)

    def has_any(self) -> bool:
        """Whether spill files were written, of which some may have been dropped. Raises StorageError."""
        with translated("look for", "spill files"):
            return self._connection.execute("SELECT 1 FROM spilled LIMIT 1").fetchone() is not None

    def size(self) -> tuple[int, int]:
        """How many spill files hold something of streams, and their bytes. Raises StorageError."""
        with translated("count", "spill files"):
            row = self._connection.execute(
                "SELECT count(*), coalesce(sum(bytes), 0) FROM spilled WHERE stream IS NOT NULL"
            ).fetchone()
        return msgspec.convert(row, tuple[int, int])

    def dropped(self, most: int) -> list[tuple[int, str]]:
        """The first spill files that are of no stream (any more): number and path. Raises StorageError."""
        with translated("look for", "spill files"):
            rows = self._connection.execute(
                "SELECT number, file FROM spilled WHERE stream IS NULL ORDER BY number LIMIT ?", (most,)
            ).fetchall()
        return msgspec.convert(rows, list[tuple[int, str]])

    def end(self, info: StreamInfo) -> int:
        """Up to where a stream's own batches are in spill files; 0 if none is. Raises StorageError."""
        with translated("look for spill files of", str(info.name)):
            row: Any = self._connection.execute("SELECT max(next) FROM spilled WHERE stream=?", (info.id,)).fetchone()
        return row[0] if row is not None and row[0] is not None else 0

    def key(self) -> bytes:
        """The key of the files; without one there are none yet."""
        return bytes.fromhex(read_meta_value(self._connection, KEY) or "")


def sealed(key: bytes, nonce: bytes, file: str, batches: list[Batch]) -> bytes:
    """The bytes of a file."""
    # The tag covers the name: a file in another one's place is recognised.
    return MAGIC + nonce + AESGCM(key).encrypt(nonce, _encode(batches), file.encode())


def _opened(key: bytes, file: SpillFile, data: bytes) -> list[Batch]:
    head = len(MAGIC) + NONCE_BYTES
    if not data.startswith(MAGIC) or len(key) != KEY_BYTES:
        raise _damaged(file, "its beginning is not that of a spill file")
    try:
        batches = _decode(AESGCM(key).decrypt(data[len(MAGIC) : head], data[head:], file.file.encode()))
    except (InvalidTag, ValueError, msgspec.DecodeError) as error:
        raise _damaged(file, "it is not what was written") from error
    if not batches or batches[0].first != file.first or batches[-1].next != file.next:
        raise _damaged(file, "it holds other records than the store says")
    return batches


def _damaged(file: SpillFile, cause: str) -> StorageCorrupt:
    return StorageCorrupt(
        "read spill file",
        f"{file.file} with offsets [{file.first}, {file.next})",
        cause,
        "Put the file back from a copy, or let the node fetch the stream again from its neighbour",
    )
