"""The cache's first tier: objects in the memory of one gateway process."""

from collections.abc import Iterable, Iterator, Mapping

from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.eviction import Held, Queues
from littoral.gateway.cache.key import SEPARATOR
from littoral.gateway.cache.purge import Aim
from littoral.gateway.cache.purge_log import PurgeLog
from littoral.wire.caching.selection import variant_key

LET_GO = 32
"""Shelves that are let go of with each entry that comes, while there are some."""


class Shelf:
    """All that is stored under one key. Responses that vary by different fields lie apart, those that came last first."""

    __slots__ = ("expired", "groups", "only")

    def __init__(self, expired: int) -> None:
        """expired: the last time that everything was let be stale."""
        self.expired = expired
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

    def has_like(self, entry: Entry) -> bool:
        """Whether there is one already where this one would stand."""
        return entry.variant in self.groups.get(entry.stored.vary, ())

    def entries(self) -> Iterator[Entry]:
        """All."""
        for group in self.groups.values():
            yield from group.values()

    def expire(self, expired: int) -> None:
        """Everything was let be stale once more, and what is here has not been yet."""
        for entry in self.entries():
            entry.expire()
        self.expired = expired

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
        self._tagged: dict[str, dict[Entry, None]] = {}
        """Entries by tag."""
        self._leaving: list[dict[str, Shelf]] = []
        """What was forgotten with all, and takes memory still: giving it back takes longer than forgetting it."""
        self._expired = 0
        """How often everything was let be stale. Each shelf is when it is looked at next: all at once would hold up whoever wants
        an answer meanwhile."""
        self.purges = PurgeLog()
        self.evicted = 0
        """Entries that had to leave for others."""
        self.purged = 0
        """Entries that a purge was meant for."""

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
        shelf = self._shelves.get(key)
        if shelf is not None and shelf.expired != self._expired:
            shelf.expire(self._expired)
        return shelf

    def put(self, entry: Entry) -> None:
        """Store, in place of what it replaces. What is larger than all there is room for is not stored."""
        shelf = self.get(entry.key)
        if shelf is None:
            shelf = self._shelves[entry.key] = Shelf(self._expired)
            url, more, _ = entry.key.partition(SEPARATOR)
            if more:
                self._longer.setdefault(url, {})[entry.key] = None
        before = shelf.put(entry)
        if before is not None:
            self._queues.remove(before)
            self._untag(before)
        for tag in entry.tags:
            self._tagged.setdefault(tag, {})[entry] = None
        self._leave(self._queues.add(entry))
        if self._leaving:
            self._let_go()

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
        entries = list(self.of_url(url))
        for entry in entries:
            self.drop(entry)
        return len(entries)

    def purge(self, aim: Aim) -> int:
        """Forget what a purge is meant for, or let it be stale; what is being fetched of it is not going to be stored.
        Returns how many entries it was meant for."""
        self.purges.note(aim)
        if aim.everything:
            count = self._expire_all() if aim.soft else self._clear()
        else:
            meant = list(self._meant(aim))
            for entry in meant:
                if aim.soft:
                    entry.expire()
                else:
                    self.drop(entry)
            count = len(meant)
        self.purged += count
        return count

    def shelves(self) -> list[Shelf]:
        """All, as they are now: who goes through them may do so bit by bit."""
        return list(self._shelves.values())

    def of_url(self, url: str) -> Iterator[Entry]:
        """All variants, and all keys that begin with it."""
        for key in (url, *self._longer.get(url, ())):
            if (shelf := self.get(key)) is not None:
                yield from shelf.entries()

    def _expire_all(self) -> int:
        """Let all be stale."""
        self._expired += 1
        return self.count

    def _clear(self) -> int:
        """Forget all, many times faster than one by one: meanwhile nobody is answered."""
        count = self.count
        self._queues.clear()
        self._leaving.append(self._shelves)
        self._shelves, self._longer, self._tagged = {}, {}, {}
        return count

    def _let_go(self) -> None:
        """Give back the memory of some that were forgotten with all."""
        shelves = self._leaving[-1]
        for _ in range(min(LET_GO, len(shelves))):
            shelves.popitem()
        if not shelves:
            self._leaving.pop()

    def _meant(self, aim: Aim) -> Iterator[Entry]:
        if aim.tag is not None:
            yield from (each for each in self._tagged.get(aim.tag, ()) if aim.hits(each.key, each.tags))
        for url in aim.urls:
            yield from (each for each in self.of_url(url) if aim.hits(each.key, ()))
        if aim.prefixes or aim.paths:
            for key, shelf in self._shelves.items():
                if aim.hits(key, ()):
                    yield from shelf.entries()

    def _leave(self, left: Iterable[Held]) -> None:
        for each in left:
            assert isinstance(each, Entry)
            self.evicted += 1
            self._unshelve(each)

    def _untag(self, entry: Entry) -> None:
        for tag in entry.tags:
            tagged = self._tagged[tag]
            del tagged[entry]
            if not tagged:
                del self._tagged[tag]

    def _unshelve(self, entry: Entry) -> None:
        self._untag(entry)
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
