"""What a node remembers of its bridges through a restart: that the other broker has a session for one, and what it subscribed to."""

import msgspec
from msgspec import Struct

from littoral.core.disk import Disk
from littoral.core.undecodable import UNDECODABLE

FILE = "bridges.json"


class Remembered(Struct, frozen=True, rename="camel"):
    """Of one bridge."""

    address: str
    client_id: str
    lineage: str
    """Of this node's store. A restored one has an older session than the other broker, and the two say nothing about each other."""
    filters: frozenset[str]
    """What the other broker may have subscriptions of."""
    subscribed: dict[str, int] = {}
    """See BridgeTerms."""

    def is_of(self, address: str, client_id: str, lineage: str) -> bool:
        """Whether it is about this."""
        return (self.address, self.client_id, self.lineage) == (address, client_id, lineage)


class BridgeMemory:
    """By the names of bridges. Written when something of it is new, which is seldom: when a document has changed."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        data = disk.read(FILE)
        self._known: dict[str, Remembered] = {}
        if data is not None:
            self._known = _decode(data)

    def get(self, name: str) -> Remembered | None:
        """Of a bridge."""
        return self._known.get(name)

    def put(self, name: str, remembered: Remembered) -> None:
        """On disk when this returns. Raises StorageError."""
        if self._known.get(name) != remembered:
            self._write({**self._known, name: remembered})

    def forget(self, name: str) -> None:
        """Nothing is known of a bridge. Raises StorageError."""
        if name in self._known:
            self._write({other: each for other, each in self._known.items() if other != name})

    def names(self) -> list[str]:
        """Bridges that something is known of."""
        return list(self._known)

    def _write(self, known: dict[str, Remembered]) -> None:
        self._disk.write(FILE, msgspec.json.encode(known, order="deterministic"))
        self._known = known


def _decode(data: bytes) -> dict[str, Remembered]:
    """A file that cannot be read is as good as none: the sessions begin anew."""
    try:
        return msgspec.json.decode(data, type=dict[str, Remembered])
    except UNDECODABLE:
        return {}
