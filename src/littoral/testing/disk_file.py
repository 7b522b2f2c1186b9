"""One file of a `SimDisk`: what programs see of it, and what a power cut would leave."""

from collections import Counter
from typing import Literal

import msgspec

from littoral.testing.random import SeededRandom

Survival = Literal["seeded", "lost", "kept"]
"""The fate of what was not synced when the power is cut: drawn piece by piece, all lost, or all kept."""

Hit = Literal[
    "full",
    "read_only",
    "io_error",
    "slow",  # a sync took its time
    "cut",  # the power went
    "kept",  # a change that was not synced was there after a cut
    "lost",  # it was not
    "torn",  # a part of it was
    "rotten",  # a byte changed at rest
]
"""How a fault shows."""

SECTOR_BYTES = 512
"""What a disk writes as a whole: a write may be torn between two sectors, never within one."""


class Write(msgspec.Struct, frozen=True, gc=False):
    """Bytes put at an offset."""

    offset: int
    data: bytes


class Truncate(msgspec.Struct, frozen=True, gc=False):
    """The size set, up or down."""

    size: int


class Replace(msgspec.Struct, frozen=True, gc=False):
    """The whole content exchanged by renaming a synced file over it: never torn."""

    data: bytes


Change = Write | Truncate | Replace


class _Undo(msgspec.Struct, frozen=True, gc=False):
    """What brings back the content as it was before a change."""

    offset: int
    data: bytes
    size: int
    """Of the whole content."""


class SimFile:
    """Content, and the changes since it was last synced."""

    def __init__(self, image: bytes = b"", *, durable_entry: bool = False) -> None:
        self.content = bytearray(image)
        """What programs read."""
        self.durable_entry = durable_entry
        """Whether the file's name would survive a power cut."""
        self.locks: dict[int, int] = {}
        """SQLite's lock levels, by open handle."""
        self._unsynced: list[tuple[Change, _Undo]] = []

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset; a gap before it reads as zeros."""
        content, size = self.content, len(self.content)
        if offset >= size:
            # As most writes are. Extending copies the bytes once, assigning to a slice twice.
            self._unsynced.append((Write(offset, data), _Undo(offset, b"", size)))
            content += bytes(offset - size)
            content += data
            return
        with memoryview(content) as view:
            old = bytes(view[offset : offset + len(data)])
        self._unsynced.append((Write(offset, data), _Undo(offset, old, size)))
        content[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        """Set the size."""
        self._change(Truncate(size), size)

    def replace(self, data: bytes) -> None:
        """Exchange the whole content."""
        self._change(Replace(data), 0)

    def sync(self) -> None:
        """What was changed so far, and the name, will survive a power cut."""
        self._unsynced.clear()
        self.durable_entry = True

    def after_cut(self, random: SeededRandom, survival: Survival, hits: Counter[Hit]) -> bytes | None:
        """What a power cut leaves; None where not even the name does. Counts the fate of every change in `hits`."""
        if not self.durable_entry and not _survives(random, survival):
            hits["lost"] += 1
            return None
        image = self._durable()
        for change, _ in self._unsynced:
            # The new name of a replacement shows its content, which was synced before it was renamed.
            if isinstance(change, Replace) and not self.durable_entry:
                _apply(image, change)
                continue
            kept = _torn(change, random) if survival == "seeded" else change if survival == "kept" else None
            hits["lost" if kept is None else "kept" if kept is change else "torn"] += 1
            if kept is not None:
                _apply(image, kept)
        return bytes(image)

    def _durable(self) -> bytearray:
        """The content as it was last synced."""
        image = bytearray(self.content)
        for _, undo in reversed(self._unsynced):
            del image[undo.size :]
            image[undo.offset : undo.offset + len(undo.data)] = undo.data
        return image

    def _change(self, change: Change, offset: int) -> None:
        """Any change of what lies behind `offset`."""
        self._unsynced.append((change, _Undo(offset, bytes(self.content[offset:]), len(self.content))))
        _apply(self.content, change)


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
