"""Packages of a project that is built again and again, as long as nothing says that it needs others."""

from contextlib import suppress
from pathlib import Path

from littoral.projects.build import Packages, pack_packages
from littoral.projects.pip import OWN_WHEELS
from littoral.projects.target import Target

Marks = dict[str, tuple[int, int]]


class RememberedPackages:
    """Gives what was packed last while the files are unchanged that say what is needed."""

    def __init__(self) -> None:
        self._last: tuple[Marks, Packages] | None = None

    def __call__(self, folder: Path, target: Target) -> Packages:
        """As `littoral.projects.build.pack_packages`, which it raises like."""
        if self._last is not None and self._last[0] == _marks(folder):
            return self._last[1]
        packages = pack_packages(folder, target)
        # Looked at after: the first build writes the lock.
        self._last = _marks(folder), packages
        return packages


def _marks(folder: Path) -> Marks:
    """Size and time of each file that may list packages, or say which ones."""
    paths = [found for kind in ("*.txt", "*.toml", "*.lock", f"{OWN_WHEELS}/*.whl") for found in folder.glob(kind)]
    marks = {}
    for path in paths:
        with suppress(OSError):
            found = path.stat()
            marks[path.name] = (found.st_mtime_ns, found.st_size)
    return marks
