"""The files of an app's folder, as they go into a bundle: names and contents, and nothing else of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from littoral.core.errors import InvalidInput, InvalidResource, TooLarge
from littoral.core.function_limits import APP_UNPACKED_BYTES
from littoral.projects.finding import Finding, refuse
from littoral.projects.ignored import IGNORE_FILE, Ignored
from littoral.projects.project import Project


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
    left = APP_UNPACKED_BYTES.default
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
                f"the files in {root / base} are larger than {APP_UNPACKED_BYTES.default} bytes together",
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


def asset_files(project: Project) -> dict[str, bytes]:
    """The files that travel with a project's app and are not in the folder of its code, by their path from the project's root.

    Raises: as `source_files`, and InvalidResource where there is no such folder.
    """
    assets = project.app.spec.assets
    if assets is None:
        return {}
    if not (project.root / assets.directory).is_dir():
        finding = Finding(
            project.config, None, f"assets: there is no folder {assets.directory}", "Make it, or correct the path"
        )
        raise refuse(str(project.folder), [finding])
    return source_files(project.app.metadata.name, project.root, assets.directory)
