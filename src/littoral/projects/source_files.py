"""The files of an app's folder, as they go into a bundle: names and contents, and nothing else of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from littoral.core.errors import InvalidInput, InvalidResource, TooLarge
from littoral.fleet.bundles import UNPACKED_MOST_BYTES
from littoral.projects.ignored import IGNORE_FILE, Ignored


def source_files(app: str, root: Path, base: str = "") -> dict[str, bytes]:
    """The files below `root`/`base` that are no matter of this machine only, by their path from `root`.

    Raises: InvalidResource for a link that leads out of `root`, InvalidInput for what cannot be read, TooLarge.
    """
    try:
        return dict(_read(app, root, base))
    except OSError as error:
        cause = f"{error.filename or root} cannot be read: {error.strerror}"
        raise InvalidInput("pack app", app, cause, f"Correct its rights, or list it in {IGNORE_FILE}") from error


def _read(app: str, root: Path, base: str) -> Iterator[tuple[str, bytes]]:
    left = UNPACKED_MOST_BYTES
    inside = root.resolve()
    for path in _paths(root, base):
        name = path.relative_to(root).as_posix()
        if not path.resolve().is_relative_to(inside):
            cause = f"{name} is a link to {path.resolve()}, which is not in {root}"
            raise InvalidResource("pack app", app, cause, f"Copy what it leads to, or list the link in {IGNORE_FILE}")
        left -= path.stat().st_size
        if left < 0:
            raise TooLarge(
                "pack app",
                app,
                f"the files in {root / base} are larger than {UNPACKED_MOST_BYTES} bytes together",
                f"List what is not needed to run it in {IGNORE_FILE}: data, tests",
            )
        yield name, path.read_bytes()


def _paths(root: Path, base: str) -> Iterator[Path]:
    ignored = Ignored(_lines(root / IGNORE_FILE))
    for place, folders, names in os.walk(root / base, onerror=_fail):
        at = Path(place)
        # What is taken out of the list is not walked.
        folders[:] = sorted(
            each
            for each in folders
            if not ignored.folder(
                (at / each).relative_to(root).as_posix(), has_environment=(at / each / "pyvenv.cfg").exists()
            )
        )
        for name in sorted(names):
            path = at / name
            if not ignored.file(path.relative_to(root).as_posix()) and path.is_file():
                yield path


def _fail(error: OSError) -> None:
    raise error


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
