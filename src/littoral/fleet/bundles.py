"""An app's code as one blob, and as an immutable folder at a node."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec
import zstandard

from littoral.core.errors import InvalidInput, TooLarge
from littoral.core.function_limits import APP_BUNDLE_BYTES
from littoral.core.undecodable import UNDECODABLE
from littoral.wire.compression import Undecodable, decompress

UNPACKED_MOST_BYTES = 16 * APP_BUNDLE_BYTES.default
"""A bundle that claims to hold more is refused before it is unpacked."""
REMAINS_A_BUNDLE_BYTES = 128 << 10
"""Code that is not larger, unpacked, travels in its record: for a blob a node would have to ask once more."""
REVISION_CHARACTERS = 16

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode


def pack_bundle(app: str, files: Mapping[str, bytes]) -> bytes:
    """One blob of `files` (path relative to the source folder -> content); the same files give the same blob.

    Raises: InvalidInput for a path that leaves the folder, TooLarge.
    """
    for path in files:
        check_path(app, path)
    packed = zstandard.ZstdCompressor(level=10).compress(_encode(dict(files)))
    if len(packed) > APP_BUNDLE_BYTES.default:
        raise TooLarge(
            "pack app",
            app,
            f"its code is {len(packed)} bytes compressed; at most {APP_BUNDLE_BYTES.default} are allowed",
            "Leave out what is not needed to run it: data, tests, virtual environments",
        )
    return packed


def unpack_bundle(app: str, bundle: bytes) -> dict[str, bytes]:
    """The files of a bundle. Raises InvalidInput."""
    try:
        files = _decode(decompress(bundle, UNPACKED_MOST_BYTES))
    except (Undecodable, *UNDECODABLE) as error:
        raise InvalidInput("unpack app", app, f"its bundle is damaged ({error})", "Apply it again") from error
    for path in files:
        check_path(app, path)
    return files


def revision_of(*parts: bytes) -> str:
    """The name of a revision: a hash of all that makes it up."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:REVISION_CHARACTERS]


def check_path(app: str, path: str) -> None:
    """Raises InvalidInput for what is no path of a file below an app's folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path or str(pure) != path:
        raise InvalidInput("pack app", app, f"{path!r} is no plain path below its folder")
