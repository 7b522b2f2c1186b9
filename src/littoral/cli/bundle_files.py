"""An app's source folder as a bundle."""

import os
from collections.abc import Iterator
from pathlib import Path

from littoral.core.errors import InvalidResource, TooLarge
from littoral.core.resources import App
from littoral.fleet.bundles import UNPACKED_MOST_BYTES, pack_bundle

SKIPPED_FOLDERS = ("__pycache__", "node_modules")
SKIPPED_SUFFIXES = (".pyc", ".pyo")


def bundle_of(app: App, document: Path) -> bytes:
    """The app's code, packed. document: the file the app stands in; its source folder is relative to it.

    Hidden files and folders and what Python compiled are left out.
    Raises: InvalidResource where there is no such folder or entry point, TooLarge.
    """
    name = app.metadata.name
    folder = document.parent / app.spec.source
    if not folder.is_dir():
        raise InvalidResource(
            "pack app",
            name,
            f"{folder} is no folder",
            f"Correct spec.source in {document}; it is relative to that file",
        )
    files: dict[str, bytes] = {}
    left = UNPACKED_MOST_BYTES
    for path in _files(folder):
        left -= path.stat().st_size
        if left < 0:
            raise TooLarge(
                "pack app",
                name,
                f"the files in {folder} are larger than {UNPACKED_MOST_BYTES} bytes together",
                "Leave out what is not needed to run it: data, tests, virtual environments",
            )
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    if app.spec.main not in files:
        raise InvalidResource(
            "pack app", name, f"{folder} has no file {app.spec.main}", f"Correct spec.main in {document}"
        )
    return pack_bundle(name, files)


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        # What is taken out of the list is not walked.
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix not in SKIPPED_SUFFIXES and path.is_file():
                yield path
