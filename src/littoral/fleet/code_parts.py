"""An app's code in parts, each a blob of the tree: what other people wrote, and what is its own.

A change of a line then moves little, and apps with the same packages share them, on the way and on the disk. A part is a
tar archive of plain files, compressed with zstd; the same files give the same blob.
"""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Annotated, Literal, Protocol, Self, cast

import msgspec
import zstandard
from msgspec import Meta

from littoral.core.errors import InvalidInput, TooLarge
from littoral.core.function_limits import APP_CODE_BYTES, APP_UNPACKED_BYTES
from littoral.fleet.bundles import check_path

LEVEL = 6
"""The next ones take three times as long, for two percent less."""
WINDOW_MOST_BYTES = 1 << 23
"""Memory that a blob may ask of whoever unpacks it; what we pack asks for less."""
READ_BYTES = 1 << 20
NAME_BYTES = 4096
"""Of a file's path, as in Linux."""
DEPTH = 64
"""Folders around a file: a long path is none of its own for each byte of it."""
FILES_MOST = 100_000
"""Of a part. Each is an inode at every node that runs the app, and takes longer to unlink than to pack."""
_MOST = APP_CODE_BYTES.most


class CodePart(msgspec.Struct, frozen=True):
    """One part, as a record of the desired state names it."""

    name: Literal["own", "packages"]
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the blob."""
    bytes: Annotated[int, Meta(ge=1, le=_MOST)]
    """Of the blob."""
    files: Annotated[int, Meta(ge=0, le=FILES_MOST)]
    """How many are in it: an archive may be cut off between two of them, and nothing else would say so."""


class Source(Protocol):
    """A blob, read from its beginning to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; empty at the end."""
        ...


def pack_part(app: str, name: Literal["own", "packages"], files: Mapping[str, bytes]) -> tuple[CodePart, bytes]:
    """A part of `files` (path -> content), and its blob. Raises: InvalidInput for a path that leaves the folder, TooLarge."""
    for path in files:
        _check_path(app, path)
    if len(files) > FILES_MOST:
        raise TooLarge(
            "pack app",
            app,
            f"it has {len(files)} files; at most {FILES_MOST} are allowed",
            "Leave out what is not needed to run it: data, tests, virtual environments",
        )
    packed = io.BytesIO()
    with (
        zstandard.ZstdCompressor(level=LEVEL).stream_writer(packed, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in sorted(files):
            entry = tarfile.TarInfo(path)
            entry.size = len(files[path])
            archive.addfile(entry, io.BytesIO(files[path]))
    blob = packed.getvalue()
    if len(blob) > APP_CODE_BYTES.default:
        raise TooLarge(
            "pack app",
            app,
            f"its code is {len(blob)} bytes compressed; at most {APP_CODE_BYTES.default} are allowed",
            "Leave out what is not needed to run it: data, tests, virtual environments",
        )
    return CodePart(name, hashlib.sha256(blob).hexdigest(), len(blob), len(files)), blob


def unpack_part(
    app: str, part: CodePart, source: Source, folder: Path, most_bytes: int = APP_UNPACKED_BYTES.default
) -> None:
    """Write the files of a blob below `folder`, which is empty. Memory does not grow with them. most_bytes: of all files.

    Raises: InvalidInput for what is no part of an app's code, TooLarge; OSError; what `source` raises.
    """
    left, files = most_bytes, 0
    # All that the decompressor asks of it is `read`.
    stream = cast("IO[bytes]", source)
    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_MOST_BYTES).stream_reader(stream, read_size=READ_BYTES)
    try:
        with reader, tarfile.open(fileobj=reader, mode="r|", tarinfo=_Entry) as archive:
            for entry in archive:
                if files == part.files:
                    raise _damaged(app, f"more than {part.files} files are in it")
                _check_path(app, entry.name)
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is None:
                    raise _damaged(app, f"{entry.name} in it is no plain file")
                files += 1
                left -= entry.size
                if left < 0:
                    cause = f"it holds more than {most_bytes} bytes ({APP_UNPACKED_BYTES.name})"
                    raise TooLarge("unpack app", app, cause)
                _write(folder / entry.name, content)
    except (tarfile.TarError, zstandard.ZstdError, UnicodeError, EOFError, RecursionError) as error:
        # RecursionError: a long name that has a long name, and so on.
        raise _damaged(app, str(error)) from error
    if files != part.files:
        raise _damaged(app, f"{files} of {part.files} files are in it")


class _Entry(tarfile.TarInfo):
    """An entry of a part: a plain file, or a name of one that is too long for the entry itself.

    Others are refused before their content is read: `tarfile` reads that of extended headers and of sparse files whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        entry = super().frombuf(buf, encoding, errors)
        is_name = entry.type == tarfile.GNUTYPE_LONGNAME and entry.size <= NAME_BYTES
        if not is_name and entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise tarfile.ReadError(f"{entry.name} in it is no plain file")
        return entry


def _check_path(app: str, path: str) -> None:
    check_path(app, path)
    if len(path.encode("utf-8", "surrogateescape")) >= NAME_BYTES or path.count("/") > DEPTH:
        cause = f"{path[:80]!r}... has more than {NAME_BYTES - 1} bytes or {DEPTH} folders"
        raise InvalidInput("pack app", app, cause)


def _write(path: Path, content: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while piece := content.read(READ_BYTES):
            file.write(piece)


def _damaged(app: str, cause: str) -> InvalidInput:
    return InvalidInput("unpack app", app, f"its code is damaged or cut off ({cause})", "Build and deploy it again")
