"""What changes the index of what a node's gateways have on disk (littoral.drivers.cache_index)."""

from collections.abc import Iterator, Sequence

import apsw
import msgspec

from littoral.core.resources.web import CacheKey
from littoral.drivers.cache_index import (
    BY_PLACE,
    BY_URL,
    THERE,
    New,
    Place,
    Put,
    State,
    cost_of,
    encode_stored,
    place_of,
    read_state,
    url_range,
)
from littoral.gateway.cache.key import SEPARATOR, MakeKey, key_maker, of_app
from littoral.gateway.cache.meters import DiskMeter
from littoral.gateway.cache.position import Position, is_put_back, outstanding
from littoral.gateway.cache.purge import Aim, Purge, aim_of, decode_purge, encode_purge, tags_of
from littoral.gateway.cache.purge_log import REMEMBERED_MOST
from littoral.wire.caching.storing import Stored

RULES_MOST = 256
"""Of ways of making keys. Before there are more, all that they made is forgotten."""
EVICTED_AT_ONCE = 64
LAST = "\U0010ffff"
"""Behind whatever begins alike."""


class IndexWriter:
    """Changes the index, within transactions of the caller's. One thread uses it. Everything raises apsw.Error."""

    def __init__(self, connection: apsw.Connection, meter: DiskMeter) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._rules: dict[bytes, None] = {}
        """Those by which this process makes keys, or has."""
        self._rules_known = -1
        """`State.rules` when they were written."""
        self._meter = meter
        self._state: State | None = None

    def begin(self) -> None:
        """A transaction begins: others may have changed what is here."""
        self._state = None

    @property
    def state(self) -> State:
        """As it is now, but for what objects there are."""
        if self._state is None:
            self._state = read_state(self._connection)
        return self._state

    # Objects

    def held(self, new: New) -> int | None:
        """The object that stands where this one will, if it has the same body."""
        found = self._execute(
            f"SELECT id FROM objects WHERE {BY_PLACE} AND size = ? AND digest = ? AND {THERE}",
            (*place_of(new.key, new.variant, new.stored), new.size, new.digest),
        ).get
        return None if found is None else int(found)

    def put(self, new: New, before: Place | None, known: Position, now_s: int) -> Put:
        """Store, in place of `before` and of what stands where it will; there is room. known: see `DiskObjects.put`."""
        tags = tags_of(new.stored.fields)
        if not self._is_current(known, new.key, tags):
            return Put.REFUSED
        self._write_rules()
        place = place_of(new.key, new.variant, new.stored)
        if before is not None and before != place:
            self.drop(before)
        held = self.held(new)
        if held is not None:
            self._update(held, place, new.stored, tags, now_s)
            return Put.UPDATED
        self.drop(place)
        number = self._execute("UPDATE state SET last = last + 1 RETURNING last").get
        values = (number, *place, encode_stored(new.stored), new.size, cost_of(new), new.file, new.digest, now_s)
        self._execute(
            "INSERT INTO objects (id, key, vary, variant, stored, size, cost, file, digest, used)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        if new.body is not None:
            self._execute("INSERT INTO bodies VALUES (?, ?)", (number, new.body))
        self._insert_tags(number, tags)
        return Put.INSERTED

    def freshen(self, new: New, known: Position, now_s: int) -> Put:
        """The object whose body is in the file has other fields now; refused where it is not there any more."""
        tags = tags_of(new.stored.fields)
        number = self._execute(f"SELECT id FROM objects WHERE file = ? AND {THERE}", (new.file,)).get
        if number is None or not self._is_current(known, new.key, tags):
            return Put.REFUSED
        place = place_of(new.key, new.variant, new.stored)
        self._execute(f"DELETE FROM objects WHERE {BY_PLACE} AND id <> ?", (*place, number))
        self._update(int(number), place, new.stored, tags, now_s)
        return Put.UPDATED

    def _update(self, number: int, place: Place, stored: Stored, tags: Sequence[str], now_s: int) -> None:
        self._execute(
            "UPDATE objects SET vary = ?, variant = ?, stored = ?, expired = 0, used = ? WHERE id = ?",
            (*place[1:], encode_stored(stored), now_s, number),
        )
        self._execute("DELETE FROM tags WHERE id = ?", (number,))
        self._insert_tags(number, tags)

    def drop(self, place: Place) -> None:
        """Forget one."""
        self._execute(f"DELETE FROM objects WHERE {BY_PLACE}", place)

    def drop_url(self, url: str) -> None:
        """Forget all that is stored under the keys that begin with a URL."""
        self._execute(f"DELETE FROM objects WHERE {BY_URL}", url_range(url))

    def drop_file(self, file: str) -> None:
        """Forget the one whose body was in this file."""
        self._execute("DELETE FROM objects WHERE file = ?", (file,))

    def touch(self, number: int, now_s: int) -> None:
        """It was used."""
        self._execute("UPDATE objects SET used = ? WHERE id = ?", (now_s, number))

    def touch_file(self, file: str, now_s: int) -> None:
        """The one whose body is in this file was used."""
        self._execute("UPDATE objects SET used = ? WHERE file = ?", (now_s, file))

    def _insert_tags(self, number: int, tags: Sequence[str]) -> None:
        if tags:
            self._connection.executemany("INSERT INTO tags VALUES (?, ?)", ((tag, number) for tag in tags))

    # Purges

    def purge(self, purges: Sequence[Purge], until: Position, known: Position | None) -> list[int]:
        """What is still to be done of them; how many objects each was meant for. See `position.outstanding`."""
        position = self.state.position
        todo = outstanding(position, purges, until, known)
        counts = [0] * len(purges)
        for place, purge in enumerate(todo, len(counts) - len(todo)):
            count = self._purge(purge)
            self._meter.purged += count
            if counts:
                counts[place] += count
        following = until.next
        if position is None or position.log != until.log:
            self._execute("DELETE FROM aims")
        elif not is_put_back(known, until):
            # Another process may have been told more, before this one.
            following = max(following, position.next)
        self._execute("UPDATE state SET log = ?, next = ?", (until.log, following))
        self._state = None
        if todo:
            self._note(todo, until)
        return counts

    def _note(self, purges: Sequence[Purge], until: Position) -> None:
        """For what was asked for before them and comes afterwards."""
        first = until.next - len(purges)
        self._execute("DELETE FROM aims WHERE number < ? OR number >= ?", (until.next - REMEMBERED_MOST, first))
        self._connection.executemany(
            "INSERT INTO aims VALUES (?, ?)",
            ((number, encode_purge(purge)) for number, purge in enumerate(purges, first)),
        )

    def _is_current(self, known: Position, key: str, tags: Sequence[str]) -> bool:
        """Whether no purge was meant for it that was done here and is not among those that are known."""
        position = self.state.position
        if position == known:
            return True
        if position is None or position.log != known.log or position.next < known.next:
            return False
        records: list[bytes] = [
            purge for (purge,) in self._execute("SELECT purge FROM aims WHERE number >= ?", (known.next,))
        ]
        if len(records) < position.next - known.next:
            return False
        makers = self._makers()
        return not any(aim_of(decode_purge(record), makers).hits(key, tags) for record in records)

    def _purge(self, purge: Purge) -> int:
        aim = aim_of(purge, self._makers())
        if aim.everything and not aim.soft:
            return self.clear()
        where = list(_meant(aim))
        statement = "UPDATE objects SET expired = 1" if aim.soft else "DELETE FROM objects"
        count = 0
        for condition, values in where:
            self._execute(f"{statement} WHERE {condition} AND {THERE}", values)
            count += self._connection.changes()
        return count

    def clear(self) -> int:
        """Forget all; what it took is given back later. Returns how many objects that were."""
        count = self._execute(f"SELECT count(*) FROM objects WHERE {THERE}").get
        self._execute("UPDATE state SET horizon = last")
        self._state = None
        return int(count)

    # Rules

    def use(self, rules: Sequence[bytes]) -> None:
        """This process makes keys by these rules, too."""
        self._rules |= dict.fromkeys(rules)
        self._rules_known = -1
        self._write_rules()

    def _write_rules(self) -> None:
        if self._rules_known == self.state.rules:
            return
        known = {spec for (spec,) in self._execute("SELECT spec FROM rules")}
        if len(known | self._rules.keys()) > max(RULES_MOST, len(self._rules)):
            self.clear()
            self._execute("DELETE FROM rules")
            self._execute("UPDATE state SET rules = rules + 1")
            self._state = None
        self._connection.executemany("INSERT OR IGNORE INTO rules VALUES (?)", ((spec,) for spec in self._rules))
        self._rules_known = self.state.rules

    def _makers(self) -> list[MakeKey]:
        specs = {spec for (spec,) in self._execute("SELECT spec FROM rules")} | self._rules.keys()
        return [key_maker(msgspec.json.decode(spec, type=CacheKey)) for spec in specs]

    # Room

    def make_room(self, most_bytes: int, needed_bytes: int) -> bool:
        """Let what was used least recently go until there is room for so much. Whether there can be."""
        while (excess := self.taken_bytes() + needed_bytes - most_bytes) > 0:
            if not self.give_back() and not self.evict(excess):
                return False
        return True

    def taken_bytes(self) -> int:
        """Of all objects, and of bodies that are still coming."""
        return int(self._execute("SELECT bytes + (SELECT coalesce(sum(bytes), 0) FROM spools) FROM state").get)

    def evict(self, excess_bytes: int) -> int:
        """Let some of those go that were used least recently, of as many bytes or less. Returns how many."""
        chosen: list[tuple[int]] = []
        for number, cost in self._execute("SELECT id, cost FROM objects ORDER BY used LIMIT ?", (EVICTED_AT_ONCE,)):
            if excess_bytes <= 0:
                break
            chosen.append((number,))
            excess_bytes -= cost
        self._connection.executemany("DELETE FROM objects WHERE id = ?", chosen)
        self._meter.evicted += len(chosen)
        return len(chosen)

    def give_back(self) -> int:
        """Some of what was forgotten with all. Returns how many."""
        self._execute(
            "DELETE FROM objects WHERE id IN (SELECT id FROM objects WHERE id <= (SELECT horizon FROM state) LIMIT ?)",
            (EVICTED_AT_ONCE,),
        )
        return self._connection.changes()

    def reserve(self, instance: str, size: int) -> None:
        """A process may write so much of bodies that are still coming."""
        self._execute("INSERT OR REPLACE INTO spools VALUES (?, ?)", (instance, size))

    def end_instance(self, instance: str) -> None:
        """The process is gone."""
        self._execute("DELETE FROM spools WHERE instance = ?", (instance,))

    def garbage(self, most: int) -> list[str]:
        """Files that nothing refers to."""
        return [file for (file,) in self._execute("SELECT file FROM garbage LIMIT ?", (most,))]

    def is_known(self, file: str) -> bool:
        """Whether a file is an object's body, or garbage."""
        query = "SELECT 1 FROM objects WHERE file = ?1 UNION ALL SELECT 1 FROM garbage WHERE file = ?1"
        return self._execute(query, (file,)).get is not None

    def removed(self, files: Sequence[str]) -> None:
        """They are gone."""
        self._connection.executemany("DELETE FROM garbage WHERE file = ?", ((file,) for file in files))


def _meant(aim: Aim) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Conditions, with their values, of the objects that a purge is meant for."""
    for condition, values in _without_app(aim):
        if aim.app:
            number = len(values) + 1
            ours = f"{of_app(aim.app)}{SEPARATOR}"
            yield f"{condition} AND instr(key || char({ord(SEPARATOR)}), ?{number}) > 0", (*values, ours)
        else:
            yield condition, values


def _without_app(aim: Aim) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Whosever answers they are."""
    if aim.everything:
        yield "true", ()
    if aim.tag is not None:
        yield "id IN (SELECT id FROM tags WHERE tag = ?1)", (aim.tag,)
    for url in aim.urls:
        yield BY_URL, url_range(url)
    for prefix in aim.prefixes:
        yield "key >= ?1 AND key < ?2", (prefix, prefix + LAST)
    for path in aim.paths:
        # As `path_of`: the first slash of "http://a/" has the ninth place, and that of "https://a/" a later one.
        yield "substr(key, instr(substr(key, 9), '/') + 8, length(?1)) = ?1", (path,)
