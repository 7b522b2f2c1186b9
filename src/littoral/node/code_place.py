"""Where the code of apps is unpacked: below the data directory; or, where the node's store is encrypted, in memory, so that
whoever takes the disk does not have it either. The bundles are in the store.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from littoral.core.errors import StartupError
from littoral.drivers.disk import DIRECTORY_MODE
from littoral.node.layout import APPS

RUNTIME_VARIABLE = "XDG_RUNTIME_DIR"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made there is checked to be ours
IN_MEMORY = ("tmpfs", "ramfs")
NAME_DIGITS = 16


def code_place(data_dir: Path, environment: Mapping[str, str], *, encrypted: bool) -> Path:
    """The directory that holds the folder of apps, which exists. encrypted: whether the store is.

    Raises StartupError where there is no file system in memory, or where somebody else has made such a directory.
    """
    if not encrypted:
        return data_dir
    place = _place_in_memory(data_dir, environment)
    if place is None:
        raise StartupError(
            "unpack apps of",
            str(data_dir),
            f"its store is encrypted, and there is no file system in memory for their code: neither ${RUNTIME_VARIABLE}"
            f" nor {SHARED_MEMORY} is one",
            f"Mount a tmpfs at {SHARED_MEMORY}, or say where one is with {RUNTIME_VARIABLE}",
        )
    try:
        place.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise StartupError("make directory", str(place), error.strerror or str(error)) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != DIRECTORY_MODE:
        raise StartupError(
            "unpack apps into",
            str(place),
            "it is not a directory that only this node's user can use",
            "Remove it, and find out who made it",
        )
    return place


def remove_code(data_dir: Path, environment: Mapping[str, str]) -> None:
    """Remove what was unpacked in memory, when the node has stopped."""
    place = _place_in_memory(data_dir, environment)
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)


def remove_plain_code(data_dir: Path) -> None:
    """Remove what was unpacked on the disk before the store was encrypted."""
    shutil.rmtree(data_dir / APPS, ignore_errors=True)


def _place_in_memory(data_dir: Path, environment: Mapping[str, str]) -> Path | None:
    """The node's directory in memory, whether it exists or not; None where there is no such file system."""
    name = f"littoral-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:NAME_DIGITS]}"
    given = environment.get(RUNTIME_VARIABLE)
    for parent in (*([Path(given)] if given else []), SHARED_MEMORY):
        if parent.is_dir() and _file_system(parent) in IN_MEMORY:
            return parent / name
    return None


def _file_system(directory: Path) -> str:
    """The type of the file system that a directory is on; empty if it cannot be found out."""
    best, kind = -1, ""
    real = directory.resolve()
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, where, found, *_ = line.split(" ")
        # A blank is written as an octal escape there; later lines lie over earlier ones.
        mounted = Path(where.encode().decode("unicode_escape"))
        if real.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), found
    return kind
