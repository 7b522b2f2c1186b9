"""Objects on a disk, as a gateway asks for them. `drivers.cache_disk` implements it."""

from collections.abc import Awaitable, Iterable, Sequence
from typing import NamedTuple, Protocol

from littoral.gateway.cache.entry import Body, Entry
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge
from littoral.wire.caching.storing import Stored

READ_BYTES = 128 << 10
"""Read from a disk at once, for each client."""


class Found(NamedTuple):
    """An object on the disk."""

    number: int
    key: str
    variant: str
    stored: Stored
    tags: tuple[str, ...]
    size: int
    """Of its body."""
    body: Body | None
    """Where it has a file of its own."""

    def entry(self) -> Entry:
        """As it is given without being brought into memory."""
        assert self.body is not None, self.key
        return Entry(self.key, self.variant, self.stored, (), self.body)


class Spool(Protocol):
    """A body on its way to the disk, which is read meanwhile."""

    written: int
    """Bytes."""

    async def write(self, data: bytes) -> bool:
        """Whether there was room. If not, nothing more is to be written."""
        ...

    async def read(self, start: int, end: int) -> bytes:
        """Some bytes from `start` on, not beyond `end`, which was written. Raises StorageError."""
        ...

    async def finish(self) -> Body | None:
        """All is written, and is to outlive a loss of power. None where that failed."""
        ...

    def close(self) -> None:
        """Nobody reads it any more. What has not become an object is removed."""
        ...


class DiskObjects(Protocol):
    """Objects in a directory (littoral.drivers.cache_disk). What is asked for with an awaitable is in the queue when the call
    returns; what is asked for later is done later, but for purges, which come first."""

    async def open(self) -> Position | None:
        """Begin, or begin again. Returns up to where purges are done here. Raises StorageError."""
        ...

    async def close(self) -> None:
        """End, once all is done that is in the queue."""
        ...

    def resize(self, most_bytes: int) -> None:
        """Hold no more than that from now on."""
        ...

    def find(self, key: str) -> Sequence[Found]:
        """All that is stored under a key, what came last first; nothing while something of it is on its way there. Raises
        StorageError."""
        ...

    def of_url(self, url: str) -> Sequence[Found]:
        """All that is stored under the keys that begin with a URL, as many as people want to see. Raises StorageError."""
        ...

    async def load(self, found: Found) -> bytes | None:
        """Its body; None if it is not there any more. Raises StorageError."""
        ...

    def put(self, entry: Entry, before: Entry | None, known: Position) -> None:
        """Store, in place of `before`. known: up to where purges are known of which none was meant for it. What cannot be
        stored is counted, and nothing else happens."""
        ...

    def put_spooled(self, entry: Entry, before: Entry | None, known: Position) -> Awaitable[bool]:
        """The same of one whose body was spooled. Whether it was stored."""
        ...

    def drop(self, entry: Entry) -> None:
        """Forget one. What could not be forgotten, since this was not open, is so with all else when it is opened."""
        ...

    def drop_url(self, url: str) -> None:
        """Forget all that is stored under the keys that begin with a URL; as `drop`."""
        ...

    def use(self, rules: Iterable[bytes]) -> None:
        """Keys are made by these rules too (encoded `CacheKey`s): URLs are purged by all that ever were."""
        ...

    def purge(self, purges: Sequence[Purge], until: Position, known: Position | None) -> Awaitable[list[int]]:
        """Do what is still to be done of these; see `position.outstanding`. How many objects each purge was meant for. Raises
        StorageError."""
        ...

    def clear(self) -> Awaitable[None]:
        """Forget all. Raises StorageError."""
        ...

    def spool(self) -> Spool | None:
        """For a large body; None where that cannot be now."""
        ...
