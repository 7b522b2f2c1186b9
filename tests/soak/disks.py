"""A small disk of a node's own: ext4 in a file, which can be filled, and which the kernel can be made to refuse writes to
as it does after an error of the device."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

from tests.soak.isolation import NOT_ISOLATED, is_isolated, run

SIZE_BYTES = 256 << 20
PIECES = (1 << 20, 4096)


class DiskError(Exception):
    """The disk could not be set up or mended: a fault of the run, not of what it tests."""


class SmallDisk:
    """Mounted at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._image = place.with_name(f"{place.name}.ext4")
        self._filler = place / "filler"

    def mount(self) -> None:
        """Make it, at first. Raises DiskError."""
        if not self._image.exists():
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._image.open("wb") as file:
                file.truncate(SIZE_BYTES)
            _must(["mkfs.ext4", "-q", "-m", "0", str(self._image)])
        _must(["mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.place)])

    def unmount(self) -> str | None:
        """None once it is; else why it cannot be yet."""
        return run(["umount", str(self.place)])

    def mend(self) -> None:
        """Play back its journal, and check it, while it is not mounted. Raises DiskError."""
        # 1: something was corrected, which is what it is for.
        complaint = run(["sh", "-c", 'e2fsck -p "$1" || [ $? = 1 ]', "sh", str(self._image)])
        if complaint is not None:
            raise DiskError(f"{self._image}: {complaint}")

    def fill(self) -> None:
        """Until no byte more goes in. Safe to call again, where something was freed."""
        with self._filler.open("ab", buffering=0) as file:
            for piece in PIECES:
                try:
                    while file.write(bytes(piece)) == piece:
                        pass
                    os.fsync(file.fileno())
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)
        # Or a file system that then refuses writes, and is mended, has it again, and is full for good.
        folder = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def refuse_writes(self) -> None:
        """From now on, also to files that are open. Only unmounting and mending end it. Raises DiskError."""
        _must(["mount", "-o", "remount,abort", str(self.place)])

    def copy_out(self) -> None:
        """Leave its files below the folder it was mounted at, for whoever looks at a failure."""
        aside = self.place.with_name(f"{self.place.name}.kept")
        # Sockets cannot be copied.
        with contextlib.suppress(shutil.Error):
            shutil.copytree(self.place, aside, symlinks=True, dirs_exist_ok=True)


def why_not() -> str | None:
    """Why this machine cannot have one; None if it can."""
    if not is_isolated():
        return NOT_ISOLATED
    if shutil.which("mkfs.ext4") is None:
        return "there is no `mkfs.ext4`"
    return run(["losetup", "--find"])


def _must(command: list[str]) -> None:
    complaint = run(command)
    if complaint is not None:
        raise DiskError(f"{' '.join(command)}: {complaint}")
