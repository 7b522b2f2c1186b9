"""One file of a `SimDisk`: what programs see of it, and what a power cut would leave."""

from typing import Literal

import msgspec

from littoral.testing.random import SeededRandom

Survival = Literal["seeded", "lost", "kept"]
"""The fate of what was not synced when the power is cut: drawn piece by piece, all lost, or all kept."""

SECTOR_BYTES = 512
"""What a disk writes as a whole: a write may be torn between two sectors, never within one."""


class Write(msgspec.Struct, frozen=True):
    """Bytes put at an offset."""

    offset: int
    data: bytes


class Truncate(msgspec.Struct, frozen=True):
    """The size set, up or down."""

    size: int


class Replace(msgspec.Struct, frozen=True):
    """The whole content exchanged by renaming a synced file over it: never torn."""

    data: bytes


Change = Write | Truncate | Replace


class SimFile:
    """Content, and the changes since it was last synced."""

    def __init__(self, image: bytes = b"", *, durable_entry: bool = False) -> None:
        self.content = bytearray(image)
        """What programs read."""
        self.durable_entry = durable_entry
        """Whether the file's name would survive a power cut."""
        self.locks: dict[int, int] = {}
        """SQLite's lock levels, by open handle."""
        self._durable = bytearray(image)
        self._unsynced: list[Change] = []

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset; a gap before it reads as zeros."""
        self._change(Write(offset, data))

    def truncate(self, size: int) -> None:
        """Set the size."""
        self._change(Truncate(size))

    def replace(self, data: bytes) -> None:
        """Exchange the whole content."""
        self._change(Replace(data))

    def sync(self) -> None:
        """What was changed so far, and the name, will survive a power cut."""
        for change in self._unsynced:
            _apply(self._durable, change)
        self._unsynced.clear()
        self.durable_entry = True

    def after_cut(self, random: SeededRandom, survival: Survival) -> bytes | None:
        """What a power cut leaves; None where not even the name does."""
        if not self.durable_entry and not _survives(random, survival):
            return None
        image = bytearray(self._durable)
        for change in self._unsynced:
            # The new name of a replacement shows its content, which was synced before it was renamed.
            if isinstance(change, Replace) and not self.durable_entry:
                _apply(image, change)
                continue
            kept = _torn(change, random) if survival == "seeded" else change if survival == "kept" else None
            if kept is not None:
                _apply(image, kept)
        return bytes(image)

    def _change(self, change: Change) -> None:
        _apply(self.content, change)
        self._unsynced.append(change)


def _apply(image: bytearray, change: Change) -> None:
    match change:
        case Write(offset, data):
            if len(image) < offset:
                image.extend(bytes(offset - len(image)))
            image[offset : offset + len(data)] = data
        case Truncate(size):
            del image[size:]
            image.extend(bytes(size - len(image)))
        case Replace(data):
            image[:] = data


def _survives(random: SeededRandom, survival: Survival) -> bool:
    return random.chance(0.5) if survival == "seeded" else survival == "kept"


def _torn(change: Change, random: SeededRandom) -> Change | None:
    """The part of a change that reached the disk: all, nothing, or some of the first sectors of a write."""
    fate = random.choice(("kept", "lost", "torn"))
    if fate == "kept" or (fate == "torn" and not isinstance(change, Write)):
        return change
    if fate == "lost" or not isinstance(change, Write):
        return None
    first = change.offset // SECTOR_BYTES
    last = (change.offset + len(change.data) - 1) // SECTOR_BYTES
    end = random.randint(first, last) * SECTOR_BYTES
    return Write(change.offset, change.data[: end - change.offset]) if end > change.offset else None
