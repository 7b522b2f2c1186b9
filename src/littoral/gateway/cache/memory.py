"""The cache's first tier: objects in the memory of one gateway process."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.eviction import Held, Queues
from littoral.gateway.cache.key import SEPARATOR
from littoral.wire.caching.selection import variant_key


class Shelf:
    """All that is stored under one key. Responses that vary by different fields lie apart, those that came last first."""

    __slots__ = ("groups", "only")

    def __init__(self) -> None:
        self.groups: dict[tuple[str, ...], dict[str, Entry]] = {}
        self.only: Entry | None = None
        """The one entry there is, where it does not vary."""

    def find(self, asked: Mapping[str, str]) -> Entry | None:
        """What answers a request with these fields (RFC 9111, section 4.1)."""
        for vary in reversed(self.groups):
            found = self.groups[vary].get(variant_key(vary, asked))
            if found is not None:
                return found
        return None

    def entries(self) -> Iterator[Entry]:
        """All."""
        for group in self.groups.values():
            yield from group.values()

    def put(self, entry: Entry) -> Entry | None:
        """Returns what it takes the place of."""
        vary = entry.stored.vary
        group = self.groups.pop(vary, {})
        before = group.get(entry.variant)
        group[entry.variant] = entry
        self.groups[vary] = group
        self._look()
        return before

    def drop(self, entry: Entry) -> None:
        """It is here."""
        group = self.groups[entry.stored.vary]
        del group[entry.variant]
        if not group:
            del self.groups[entry.stored.vary]
        self._look()

    def _look(self) -> None:
        groups = self.groups
        self.only = groups[()][""] if len(groups) == 1 and () in groups else None


class MemoryTier:
    """Shelves by key, within a bound."""

    def __init__(self, most_bytes: int) -> None:
        self._queues = Queues(most_bytes)
        self._shelves: dict[str, Shelf] = {}
        self._longer: dict[str, dict[str, None]] = {}
        """Keys that begin with a URL and say more, by the URL."""
        self.evicted = 0
        """Entries that had to leave for others."""

    @property
    def bytes(self) -> int:
        """Of all entries."""
        return self._queues.bytes

    @property
    def count(self) -> int:
        """Of entries."""
        return self._queues.count

    def get(self, key: str) -> Shelf | None:
        """What is stored under a key."""
        return self._shelves.get(key)

    def put(self, entry: Entry) -> None:
        """Store, in place of what it replaces. What is larger than all there is room for is not stored."""
        shelf = self._shelves.get(entry.key)
        if shelf is None:
            shelf = self._shelves[entry.key] = Shelf()
            url, more, _ = entry.key.partition(SEPARATOR)
            if more:
                self._longer.setdefault(url, {})[entry.key] = None
        before = shelf.put(entry)
        if before is not None:
            self._queues.remove(before)
        self._leave(self._queues.add(entry))

    def resize(self, most_bytes: int) -> None:
        """Go by another bound from now on."""
        self._leave(self._queues.resize(most_bytes))

    def drop(self, entry: Entry) -> None:
        """Forget one, if it is still there."""
        if entry.is_in:
            self._queues.remove(entry)
            self._unshelve(entry)

    def drop_url(self, url: str) -> int:
        """Forget all of a URL: all variants, and all keys that begin with it. Returns how many that were."""
        keys = [url, *self._longer.get(url, ())]
        return sum(self._drop_all(shelf) for key in keys if (shelf := self._shelves.get(key)) is not None)

    def drop_where(self, is_meant: Callable[[Entry], bool]) -> int:
        """Forget those that are meant; returns how many that were."""
        meant = [entry for shelf in self._shelves.values() for entry in shelf.entries() if is_meant(entry)]
        for entry in meant:
            self.drop(entry)
        return len(meant)

    def _drop_all(self, shelf: Shelf) -> int:
        entries = list(shelf.entries())
        for entry in entries:
            self.drop(entry)
        return len(entries)

    def _leave(self, left: Iterable[Held]) -> None:
        for each in left:
            assert isinstance(each, Entry)
            self.evicted += 1
            self._unshelve(each)

    def _unshelve(self, entry: Entry) -> None:
        shelf = self._shelves[entry.key]
        shelf.drop(entry)
        if not shelf.groups:
            del self._shelves[entry.key]
            url, more, _ = entry.key.partition(SEPARATOR)
            if more:
                keys = self._longer[url]
                del keys[entry.key]
                if not keys:
                    del self._longer[url]
