"""Wheels as files of a bundle (PEP 427): what would be imported, and nothing that an installer adds."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from littoral.core.errors import InvalidInput, TooLarge
from littoral.core.function_limits import APP_UNPACKED_BYTES
from littoral.functions.worker.loader import PACKAGES

_LIBRARIES = ("purelib/", "platlib/")


def unpack(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a wheel, by their path in a bundle.

    Scripts, headers and data for elsewhere are left out, and so is the list of files, which is of use to installers only.
    Raises InvalidInput, TooLarge.
    """
    left = APP_UNPACKED_BYTES.default
    try:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                path = _place(entry.filename)
                if path is None or entry.is_dir():
                    continue
                left -= entry.file_size
                if left < 0:
                    raise TooLarge(
                        "unpack",
                        wheel.name,
                        f"it holds more than {APP_UNPACKED_BYTES.default} bytes, the most that an app may have",
                        "Choose a smaller package, or keep what needs it outside of the app",
                    )
                yield f"{PACKAGES}/{path}", archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InvalidInput(
            "unpack", wheel.name, f"it is damaged ({error})", "Empty pip's cache, and build again"
        ) from error


def _place(name: str) -> str | None:
    """Where a file of a wheel belongs, relative to the folder of modules; None for nowhere."""
    top, _, rest = name.partition("/")
    if top.endswith(".data"):
        library = next((kind for kind in _LIBRARIES if rest.startswith(kind)), None)
        return None if library is None else rest.removeprefix(library)
    if name.endswith(".pyc") or (top.endswith(".dist-info") and rest == "RECORD"):
        return None
    return name
