"""Files in MaxMind's format (.mmdb), in which is looked up where an address is."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from littoral.core.remembered import Remembered
from littoral.wire.client_facts import place_fields
from littoral.wire.geo_records import place_of

if TYPE_CHECKING:
    from maxminddb import Reader

KEPT = 4096
"""Of addresses whose place is remembered: about 1 MB."""
UNREADABLE = (OSError, ValueError, RuntimeError)
"""The last of them is what maxminddb.InvalidDatabaseError is."""

Fields = tuple[tuple[str, str], ...]


class _Version(NamedTuple):
    """Which file there is by a name: one that is put in its place is another one."""

    device: int
    inode: int
    size_bytes: int
    changed_ns: int


class _Opened(NamedTuple):
    version: _Version
    reader: "Reader"


class GeoDatabases:
    """Those of one gateway. They are mapped, not read: all gateways share the memory they take, which the kernel may have back."""

    def __init__(self, log: Callable[[str], None]) -> None:
        """log: is told of files that cannot be read, once for each cause."""
        self._log = log
        self._opened: dict[str, _Opened] = {}
        self._order: list[str] = []
        self._failed: dict[str, str] = {}
        self._known: Remembered[str, Fields] = Remembered(self._look_up, KEPT, lambda address: True)

    def use(self, paths: Sequence[str]) -> None:
        """Look up in these from now on, of two that say the same thing in the first; and in those that have been put in the place of
        others since, so that this is to be called from time to time. One that cannot be read says nothing of any address, or what the
        file before it said. It must be replaced as a whole (renamed to its name): what is mapped and cut short ends the process.
        """
        changed = list(paths) != self._order
        self._order = list(paths)
        for gone in self._opened.keys() - set(paths):
            self._opened.pop(gone).reader.close()
        for path in paths:
            changed |= self._open(path)
        if changed:
            self._known.clear()

    def _open(self, path: str) -> bool:
        # Gateways without a database, which are most, start without what it imports.
        from maxminddb import open_database  # noqa: PLC0415

        try:
            version = _version(path)
            held = self._opened.get(path)
            if held is not None and held.version == version:
                self._failed.pop(path, None)
                return False
            reader = open_database(path)
        except UNREADABLE as error:
            cause = str(error)
            if self._failed.get(path) != cause:
                self._failed[path] = cause
                self._log(f"cannot read geo database {path}: {cause}; where clients are is not known from it")
            return False
        if held is not None:
            held.reader.close()
        self._opened[path] = _Opened(version, reader)
        self._failed.pop(path, None)
        return True

    def fields_of(self, address: str) -> Fields:
        """Header fields that say where an address is (littoral.wire.client_facts); none where that is not known."""
        return self._known[address]

    def _look_up(self, address: str) -> Fields:
        records = []
        for path in self._order:
            opened = self._opened.get(path)
            if opened is not None:
                # A damaged file, an address that is none, or one of IPv6 where the file has only IPv4.
                with contextlib.suppress(*UNREADABLE):
                    records.append(opened.reader.get(address))
        return place_fields(place_of(records))

    def close(self) -> None:
        """Give the files back."""
        self.use([])


def _version(path: str) -> _Version:
    found = Path(path).stat()
    return _Version(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
