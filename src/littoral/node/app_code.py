"""The code of the apps placed on a node: brought through the tree, checked, and unpacked into an immutable folder.

    apps/APP-REVISION/            the app's own files, and in python_modules its packages
    apps/.packages/DIGEST/        packages; the files of all revisions and apps that were built with the same ones are these (hard
                                  links: a revision's folder is whole in itself, which is all that a worker sees)
    .complete in either           written last: without it the folder is what a crash left, and is made anew. In a revision's
                                  it names its packages

The last few revisions of an app stay unpacked, so that going back to one of them is a matter of starting its workers.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from littoral.core.errors import InvalidInput, LittoralError, NotFound, TooLarge, Unavailable
from littoral.core.function_limits import APP_CODE_BYTES, APP_FOLDERS, APP_UNPACKED_BYTES
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.disk import LocalDisk, storage_error
from littoral.fleet.bundles import unpack_bundle
from littoral.fleet.code_parts import CodePart, Source, unpack_part
from littoral.fleet.desired import Wanted
from littoral.functions.worker.loader import PACKAGES
from littoral.node.layout import APPS

COMPLETE = ".complete"
SHARED = f"{APPS}/.packages"
"""No app has a name that begins with a dot."""
GONE = f"{APPS}/.gone"
"""Where folders are moved that are about to be removed."""
_NO_MORE_LINKS = (errno.EMLINK, errno.EPERM, errno.ENOTSUP)
"""A file has as many names as its file system allows, and some file systems know of no second one."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0


class CodeSource(Protocol):
    """Where the blobs of code come from."""

    async def fetch(self, part: CodePart) -> None:
        """Have it here as a whole. Raises LittoralError."""
        ...

    def have(self, part: CodePart) -> int:
        """How many of its bytes are here."""
        ...

    def open(self, part: CodePart) -> Source:
        """Read one that is here, on whichever thread."""
        ...


class AppCode:
    """Folders of revisions, made in the background."""

    def __init__(
        self, disk: LocalDisk, limits: Limits, changed: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        """changed: told when a folder is there, or cannot be made. failed: receives errors that are faults of ours."""
        self.source: CodeSource | None = None
        self._disk = disk
        self._limits = limits
        self._changed = changed
        self._tasks = Tasks(failed)
        self._coming: dict[str, Wanted] = {}
        """Folders that are being made."""
        self._waiting: dict[str, LittoralError] = {}
        """Of those: why not just now, where that is tried again."""
        self._refused: dict[str, LittoralError] = {}
        """Folders that could not be made, until the next try."""
        self._locks: dict[str, asyncio.Lock] = {}
        """Of shared packages: two apps may bring the same ones."""

    @property
    def busy(self) -> bool:
        """Whether a folder is being made."""
        return bool(self._coming)

    def try_again(self) -> None:
        """What could not be made may be tried once more."""
        self._refused.clear()

    async def stop(self) -> None:
        """Make nothing more."""
        await self._tasks.stop()

    def folder(self, app: str, wanted: Wanted) -> str:
        """The folder of a revision, absolute. Raises Unavailable while it is being made, and what kept it from being made."""
        directory = folder_of(app, wanted.revision)
        if (refused := self._refused.get(directory)) is not None:
            raise refused
        if directory in self._coming:
            raise self._waiting.get(directory) or Unavailable("run app", app, f"its code is {self.progress(directory)}")
        mark = self._disk.root / directory / COMPLETE
        if not mark.exists():
            self._coming[directory] = wanted
            self._tasks.start(self._bring(app, directory, wanted), f"bring {directory}")
            raise Unavailable("run app", app, f"its code is {self.progress(directory)}")
        with suppress(OSError):
            # The order in which revisions were wanted says which of them to keep.
            os.utime(mark)
        return str(self._disk.root / directory)

    def progress(self, directory: str) -> str:
        """What is being done for a folder; empty where nothing is."""
        wanted = self._coming.get(directory)
        if wanted is None:
            return ""
        size = sum(part.bytes for part in wanted.code)
        have = sum(self.source.have(part) for part in wanted.code) if self.source is not None else 0
        return "being unpacked" if have >= size else f"being fetched: {have >> 10} of {size >> 10} KiB are here"

    async def _bring(self, app: str, directory: str, wanted: Wanted) -> None:
        delay_s = FIRST_RETRY_S
        try:
            while True:
                try:
                    await self._make(app, directory, wanted)
                except (Unavailable, NotFound) as error:
                    # The link may be cut, or the blob not have come to the parent yet.
                    self._waiting[directory] = error
                    self._changed()
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, LAST_RETRY_S)
                    self._waiting.pop(directory, None)
                else:
                    return
        except LittoralError as error:
            self._refused[directory] = error
        finally:
            del self._coming[directory]
            self._waiting.pop(directory, None)
            self._changed()

    async def _make(self, app: str, directory: str, wanted: Wanted) -> None:
        packages = None
        own = None
        for part in wanted.code:
            if part.name == "packages":
                packages = part
                async with self._locks.setdefault(part.digest, asyncio.Lock()):
                    if self._disk.read(f"{packages_of(part)}/{COMPLETE}") is None:
                        await self._fetch(app, part)
                        await asyncio.to_thread(self._unpack, app, packages_of(part), part, None, None)
            else:
                own = part
                await self._fetch(app, part)
        # In a thread: decompressing and syncing many files would hold up the hub.
        await asyncio.to_thread(self._unpack, app, directory, own, wanted.bundle, packages)

    async def _fetch(self, app: str, part: CodePart) -> None:
        if self.source is None:
            raise Unavailable("fetch the code of", app, "the node is still starting")
        if part.bytes > self._limits[APP_CODE_BYTES]:
            self._limits.hit(APP_CODE_BYTES)
            cause = f"it has {part.bytes} bytes; at most {self._limits[APP_CODE_BYTES]} are allowed here"
            raise TooLarge("fetch the code of", app, cause, f"Raise the node's limit {APP_CODE_BYTES.name}")
        await self.source.fetch(part)

    def _unpack(
        self, app: str, directory: str, part: CodePart | None, bundle: bytes | None, packages: CodePart | None
    ) -> None:
        """Make a folder; the mark that it is complete follows one sync of all of it.

        Raises: InvalidInput for code that is damaged, StorageError.
        """
        folder = self._disk.root / directory
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if part is not None:
                assert self.source is not None
                unpack_part(app, part, self.source.open(part), folder, self._limits[APP_UNPACKED_BYTES])
            else:
                for path, content in unpack_bundle(app, bundle or b"").items():
                    target = folder / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
            if packages is not None:
                _link(self._disk.root / packages_of(packages), folder / PACKAGES)
            os.sync()
        except FileExistsError as error:
            raise InvalidInput(
                "unpack app", app, f"{error.filename} is in it twice", "Build and deploy it again"
            ) from error
        except OSError as error:
            raise storage_error("unpack app into", str(folder), error) from error
        self._disk.write(f"{directory}/{COMPLETE}", packages.digest.encode() if packages is not None else b"")

    def prune(self, wanted: Mapping[str, Wanted], used: Collection[str] = ()) -> None:
        """Delete folders of revisions that nobody is going back to. wanted: the apps here, by name. used: further folders
        to keep, as `folder_of` names them."""
        if self._coming:
            return
        keep = {folder_of(name, each.revision) for name, each in wanted.items()} | set(used)
        if put_aside(self._disk.root, wanted.keys(), keep, self._limits[APP_FOLDERS]):
            self._tasks.start(asyncio.to_thread(empty, self._disk.root), "remove revisions")


def folder_of(app: str, revision: str) -> str:
    """Where a revision's files are, below the place of code."""
    return f"{APPS}/{app}-{revision}"


def packages_of(part: CodePart) -> str:
    """Where packages are, below the place of code."""
    return f"{SHARED}/{part.digest}"


def _link(source: Path, target: Path) -> None:
    """Let all files of a folder be in another one, which is made. Raises OSError."""
    target.mkdir()
    for place, folders, names in os.walk(source):
        there = target / Path(place).relative_to(source)
        for name in folders:
            (there / name).mkdir()
        for name in names:
            if name != COMPLETE:
                try:
                    os.link(Path(place, name), there / name)
                except OSError as error:
                    if error.errno not in _NO_MORE_LINKS:
                        raise
                    shutil.copyfile(Path(place, name), there / name)


def put_aside(root: Path, apps: Collection[str], keep: Collection[str], most: int) -> bool:
    """Keep these folders, and the ones used last, up to `most` of each of these apps; what goes is out of the way at once.

    Returns whether there is something to remove (`empty`), which takes longer.
    """
    folder = root / APPS
    if not folder.is_dir():
        return False
    found: dict[str, list[Path]] = {}
    for each in folder.iterdir():
        found.setdefault(each.name.rpartition("-")[0], []).append(each)
    found.pop("", None)
    kept: list[Path] = []
    for app, folders in found.items():
        folders.sort(key=lambda each: (f"{APPS}/{each.name}" in keep, _used_ns(each)), reverse=True)
        stay = [
            each
            for number, each in enumerate(folders)
            if f"{APPS}/{each.name}" in keep or (app in apps and number < most and _used_ns(each))
        ]
        kept += stay
        _move_away(root, (each for each in folders if each not in stay))
    linked = {(each / COMPLETE).read_text(encoding="ascii") for each in kept if _used_ns(each)}
    shared = root / SHARED
    if shared.is_dir():
        _move_away(root, (each for each in shared.iterdir() if each.name not in linked))
    return (root / GONE).exists()


def empty(root: Path) -> None:
    """Remove what was put aside."""
    shutil.rmtree(root / GONE, ignore_errors=True)


def _used_ns(folder: Path) -> int:
    """When a whole folder was last wanted; 0 of one that is not whole."""
    try:
        return (folder / COMPLETE).stat().st_mtime_ns
    except OSError:
        return 0


def _move_away(root: Path, folders: Iterable[Path]) -> None:
    for each in folders:
        # What cannot be moved just now is left where it is, not whole any more, and moved another time.
        with suppress(OSError):
            (each / COMPLETE).unlink(missing_ok=True)
            (root / GONE).mkdir(exist_ok=True)
            each.rename(root / GONE / f"{each.name}.{each.stat().st_ino}")
