"""A revision as a file: what `littoral build` writes and `littoral apply` submits."""

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.bundles import unpack_bundle
from littoral.fleet.desired import DesiredRecord

_REMEDY = "Build it again; what runs now goes on"
_MAGIC = b"littoral revision 1\n"


class RevisionFile(msgspec.Struct, frozen=True):
    """What a built project makes desired."""

    records: list[DesiredRecord]
    """An app with its code, and what else its project wants."""
    defaults: list[DesiredRecord] = []
    """What is applied only where the tree has nothing of that kind and name."""
    blobs: dict[str, bytes] = {}
    """Code that is too large for its record, by digest."""


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(RevisionFile).decode


def write_revision(path: Path, revision: RevisionFile) -> None:
    """Write the file, whole or not at all. Raises InvalidInput."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside, name = tempfile.mkstemp(prefix=f".{path.name}", dir=path.parent)
        try:
            with os.fdopen(aside, "wb") as file:
                file.write(_MAGIC + _encode(revision))
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.rename(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InvalidInput("write", str(path), error.strerror or str(error)) from error


def read_revision(path: Path) -> RevisionFile:
    """Read a file, and compare what it holds with what its records say they are. Raises InvalidInput."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput("read", str(path), error.strerror or str(error), "Check the name of the file") from error
    if not data.startswith(_MAGIC):
        raise InvalidInput("read", str(path), "it is no revision that this version of Littoral built", _REMEDY)
    try:
        revision = _decode(data[len(_MAGIC) :])
    except UNDECODABLE as error:
        raise InvalidInput("read", str(path), f"it is damaged or cut off ({error})", _REMEDY) from error
    for record in (*revision.records, *revision.defaults):
        if record.document is None or not record.named_rightly():
            raise InvalidInput("read", str(path), f"{record.key} in it is not what was built", _REMEDY)
        for part in record.code:
            if hashlib.sha256(revision.blobs.get(part.digest, b"")).hexdigest() != part.digest:
                raise InvalidInput("read", str(path), f"the code of {record.key} in it is not what was built", _REMEDY)
        if record.bundle is not None:
            unpack_bundle(record.name, record.bundle)
    return revision
