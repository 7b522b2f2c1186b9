"""Checking a whole store: SQLite's own check of the file, then everything that Littoral knows must be true of what is
in it. Reads only, also while the node runs, and holds no more than one batch at a time.

Each stream is looked at in a read transaction of its own: it is seen as of one commit, and the node's log of writes
need not grow for as long as the whole check takes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import msgspec

from littoral.core.errors import StorageCorrupt, Unavailable
from littoral.core.names import StreamName
from littoral.store import forks
from littoral.store.batch import BATCH_COLUMNS, MOST_OFFSET, Batch
from littoral.store.database import DATABASE
from littoral.store.heads import load_stream
from littoral.store.history import RESTORE, History, Problem
from littoral.store.spill import SpillPlace, SpillReader
from littoral.store.stream import StreamInfo

PROBLEMS_MOST = 1_000
"""So many are kept and shown; further ones are counted."""
MARKS_FOLD = "uplink"
"""Holds what the parent has (littoral.streams.outbox), which may be more than is here: the one fold that is none of ours
to judge."""
_HELD = (
    "SELECT stream, origin, path FROM deleted WHERE EXISTS (SELECT 1 FROM forks WHERE source=deleted.stream)"
    " ORDER BY stream"
)
HARMLESS = "Nothing reads it, and nothing is lost by it; a restored backup is without it"


class CheckReport(msgspec.Struct, kw_only=True):
    """What was checked, and what is wrong."""

    node: str = ""
    lineage: str = ""
    streams: int = 0
    forks: int = 0
    held: int = 0
    """Deleted streams that forks still read."""
    batches: int = 0
    records: int = 0
    payload_bytes: int = 0
    spill_files: int = 0
    unread_files: int = 0
    """Of those, where it was not known where they are: in a backup's check."""
    blobs: int = 0
    """Whole ones, each read to its end."""
    blob_bytes: int = 0
    folds: int = 0
    keys: int = 0
    """Of all namespaces, tombstones included."""
    mqtt_sessions: int = 0
    """Of MQTT clients; these three are looked at by `littoral.iot.session_check`."""
    mqtt_messages: int = 0
    """That wait for sessions."""
    mqtt_retained: int = 0
    mqtt_leftovers: int = 0
    """Rows of sessions that are no more, and messages that nobody waits for: the node removes them when it starts."""
    problems: list[Problem] = msgspec.field(default_factory=list)
    left_out: int = 0
    """Problems beyond PROBLEMS_MOST."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(self, problem: Problem) -> None:
        """Take note of a problem."""
        if len(self.problems) < PROBLEMS_MOST:
            self.problems.append(problem)
        else:
            self.left_out += 1


def check_store(
    connection: apsw.Connection,
    progress: Callable[[int, int], None] = lambda done, of: None,
    place: SpillPlace | None = None,
) -> CheckReport:
    """Check the store that `connection` reads. progress: told how many streams of how many are done; place: where its spill
    files are, which are not looked at otherwise.

    Raises what is not damage of the store: apsw.IOError, apsw.BusyError.
    """
    report = CheckReport()
    check = _Check(connection, report, place)
    check.file()
    with check.damage_noted(DATABASE):
        check.tables()
    names: list[Any] = []
    with check.damage_noted(DATABASE):
        names = check.rows("SELECT id, origin, path FROM streams ORDER BY id")
    for done, (number, *name) in enumerate(names):
        progress(done, len(names))
        check.stream(number, StreamName(*name))
    deleted: list[Any] = []
    with check.damage_noted(DATABASE):
        deleted = check.rows(_HELD)
    for number, *name in deleted:
        check.held(number, StreamName(*name))
    progress(len(names), len(names))
    return report


class _Check:
    """One check, step by step."""

    def __init__(self, connection: apsw.Connection, report: CheckReport, place: SpillPlace | None) -> None:
        self._connection = connection
        self._spilled = SpillReader(connection, place)
        self._reads_files = place is not None
        self._report = report
        self._history: History | None = None
        """The one that is being followed."""

    @contextmanager
    def damage_noted(self, subject: str) -> Iterator[None]:
        """What of the block cannot be read is a problem of `subject`."""
        self._history = None
        try:
            with _snapshot(self._connection):
                yield
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, msgspec.ValidationError) as error:
            self._add(subject, f"it cannot be read{self._where()}: {error}")

    def file(self) -> None:
        """SQLite's own check: every page, every index against its table."""
        with self.damage_noted(DATABASE):
            for (text,) in self._connection.execute(f"PRAGMA integrity_check({PROBLEMS_MOST})"):
                if text != "ok":
                    self._add(DATABASE, f"SQLite finds: {text}")

    def tables(self) -> None:
        """What rows say of rows in other tables."""
        report = self._report
        meta = dict(self.rows("SELECT key, value FROM meta"))
        report.node, report.lineage = meta.get("node", ""), meta.get("lineage", "")
        if not report.node or not report.lineage:
            self._add(DATABASE, "it does not say whose store it is: the table meta lacks node or lineage")
        ((report.streams,),) = self.rows("SELECT count(*) FROM streams")
        ((report.forks,),) = self.rows("SELECT count(*) FROM forks")
        ((report.folds,),) = self.rows("SELECT count(*) FROM folds")
        ((report.keys,),) = self.rows("SELECT count(*) FROM kv")
        self._check_numbers()
        self._check_folds()
        for namespace, key in self.rows("SELECT namespace, key FROM kv WHERE node='' AND value IS NOT NULL"):
            self._add(f"key {key} of namespace {namespace}", "it has a value, and nobody who wrote it")

    def _check_numbers(self) -> None:
        """Every number of a stream is that of a stream that is there, or is still read by forks."""
        known = "(SELECT id FROM streams UNION SELECT stream FROM deleted)"
        for number, source in self.rows(f"SELECT stream, source FROM forks WHERE source NOT IN {known}"):
            self._add(DATABASE, f"stream {number} is a fork of stream {source}, which is not there")
        for (number,) in self.rows(f"SELECT stream FROM forks WHERE stream NOT IN {known}"):
            self._add(DATABASE, f"a row of forks is of stream {number}, which is not there", remedy=HARMLESS)
        for (number,) in self.rows("SELECT stream FROM deleted WHERE stream IN (SELECT id FROM streams)"):
            self._add(DATABASE, f"stream {number} is there, and noted as deleted")
        last = next(iter(self.rows("SELECT seq FROM sqlite_sequence WHERE name='streams'")), (0,))[0]
        for (number,) in self.rows(
            "SELECT max(id) FROM (SELECT id FROM streams UNION SELECT stream FROM deleted) HAVING max(id)>?", last
        ):
            self._add(DATABASE, f"stream number {number} is in use, and would be given again: the last is {last}")
        number = -1
        # From index entry to index entry: as many steps as there are streams, not as there are batches.
        while (number := self.rows("SELECT min(stream) FROM batches WHERE stream>?", number)[0][0]) is not None:
            if not self.rows(f"SELECT 1 WHERE ? IN {known}", number):
                self._add(DATABASE, f"there are batches of stream {number}, which is not there", remedy=HARMLESS)

        for (number,) in self.rows(f"SELECT DISTINCT stream FROM spilled WHERE stream NOT IN {known}"):
            self._add(DATABASE, f"there are spill files of stream {number}, which is not there", remedy=HARMLESS)

    def _check_folds(self) -> None:
        rows = self.rows(
            "SELECT fold, stream, folds.next, origin, path, streams.next FROM folds LEFT JOIN streams ON id=stream"
        )
        for fold, number, offset, origin, path, tail in rows:
            if tail is None:
                self._add(f"fold {fold}", f"it is of a stream {number} that there is not", remedy=HARMLESS)
            elif offset > tail and fold != MARKS_FOLD:
                self._add(
                    f"fold {fold}", f"it has applied {origin}/{path} up to {offset}, which ends at {tail}", tail, offset
                )

    def stream(self, number: int, name: StreamName) -> None:
        """One stream: its batches, its head, and what it has from others."""
        with self.damage_noted(str(name)):
            info = load_stream(self._connection, number)
            if info is None:
                return  # deleted meanwhile
            first, chain = info.first, None
            if info.fork is not None and info.first < info.fork.inherited:
                first, chain = info.fork.inherited, self._check_inherited(info)
            inherited = self.rows("SELECT coalesce(max(next), 0) FROM spilled WHERE stream=?", number)[0][0]
            gapless = name.origin == self._report.node
            history = History(str(name), first, chain, gapless=gapless, inherited=inherited)
            self._follow(name, number, history)
            for problem in history.end(info):
                self._report.add(problem)

    def held(self, number: int, name: StreamName) -> None:
        """The batches of a deleted stream that forks still read."""
        subject = f"{name} (deleted, read by forks)"
        with self.damage_noted(subject):
            self._follow(name, number, History(subject, None, gapless=True))
            self._report.held += 1

    def _follow(self, name: StreamName, number: int, history: History) -> None:
        self._history = history
        self._follow_files(name, number, history)
        rows = self._connection.execute(f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? ORDER BY first", (number,))
        for row in rows:
            for problem in history.follow(msgspec.convert((*name, *row), Batch)):
                self._report.add(problem)
        # The statement ends with its cursor. Not by close(): apsw 3.54 then keeps the cursor for ever.
        del rows
        report = self._report
        report.batches += history.batches
        report.records += history.records
        report.payload_bytes += history.bytes

    def _follow_files(self, name: StreamName, number: int, history: History) -> None:
        """What was spilled of a stream: the oldest it has."""
        at = 0
        while files := self._spilled.files(number, at, MOST_OFFSET):
            for file in files:
                self._report.spill_files += 1
                batches: list[Batch] = []
                try:
                    batches = self._spilled.batches(file) if self._reads_files else []
                except (StorageCorrupt, Unavailable) as error:
                    cause = f"{error.operation} {error.subject}: {error.cause}"
                    self._add(str(name), cause, file.first, file.next, remedy=error.remedy)
                if not batches:
                    self._report.unread_files += not self._reads_files
                    history.step_over(file.next)
                for batch in batches:
                    for problem in history.follow(batch):
                        self._report.add(problem)
            at = files[-1].next

    def _check_inherited(self, info: StreamInfo) -> bytes | None:
        """That what a fork reads of others is there; returns the chain hash where its own batches begin. The batches in
        between are checked with the stream that has them."""
        assert info.fork is not None
        subject, inherited = str(info.name), info.fork.inherited
        oldest = forks.segments(self._connection, info, info.first)[0].stream
        begins = (
            "SELECT 1 FROM batches WHERE stream=? AND first=? UNION SELECT 1 FROM spilled WHERE stream=? AND first=?"
        )
        if not self.rows(begins, oldest, info.first, oldest, info.first):
            self._add(subject, f"stream {oldest}, its source, has no batch at {info.first}", info.first, inherited)
        latest = forks.segments(self._connection, info, inherited - 1)[0].stream
        rows = self.rows(
            "SELECT next, chain FROM batches WHERE stream=? AND first<? ORDER BY first DESC LIMIT 1", latest, inherited
        )
        if not rows and self._spilled.files(latest, inherited - 1, inherited):
            return None  # Compared when the fork reads on; the files are checked with the stream that they are of.
        if not rows or rows[0][0] != inherited:
            self._add(subject, f"stream {latest}, its source, has no batch up to {inherited}", info.first, inherited)
            return None
        chain: bytes = rows[0][1]
        return chain

    def _where(self) -> str:
        history = self._history
        return "" if history is None or history.next is None else f" from {history.next} on"

    def rows(self, query: str, *values: object) -> list[Any]:
        """All rows of a query."""
        # Any: SQLite's values, of which each query knows its own.
        return self._connection.execute(query, values).fetchall()

    def _add(
        self, subject: str, cause: str, first: int | None = None, following: int | None = None, *, remedy: str = RESTORE
    ) -> None:
        self._report.add(Problem(subject=subject, first=first, next=following, cause=cause, remedy=remedy))


@contextmanager
def _snapshot(connection: apsw.Connection) -> Iterator[None]:
    """All reads of the block see one commit."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
