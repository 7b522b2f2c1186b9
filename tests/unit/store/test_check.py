"""The check of a whole store: sound ones pass, and each kind of damage is found and named."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest

from littoral.core.errors import IncompatibleStore, NotFound, StartupError
from littoral.core.names import StreamName
from littoral.store.batch import CHAIN_START, StoredBatch, make_batch, trim
from littoral.store.check import CheckReport, check_store
from littoral.store.database import open_untouched
from littoral.store.replica import Verdict
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from tests.support.damage import change, flip, tear
from tests.support.stores import append, local_store, name

OWN, FORK, ORPHAN, COPY = name("plant-a/s"), name("plant-a/f"), name("plant-a/of-deleted"), name("cell-1/s")
PLAIN = name("plant-a/plain")
RECORD = b"a record that is not compressed, and is there once: "


def fork(stream: StreamName, source: StreamName, at: int) -> Callable[[Transaction], object]:
    return lambda tx: tx.fork_stream(stream, source, at, asked="")


def copied(lineage: str, *numbers: int) -> list[StoredBatch]:
    """Batches of another node's stream, which has no others any more."""
    batches = []
    chain = CHAIN_START
    for number in range(6):
        batch = make_batch(COPY, lineage, number * 3, [b"%d" % number] * 3, 1, chain)
        chain = batch.chain
        if number in numbers:
            batches.append(StoredBatch(batch, "text/plain", "telemetry", "root", batch.first))
    return batches


async def fill(store: Store) -> None:
    """All that a store may hold: own streams, retention, forks, of deleted streams as well, copies, folds, keys."""
    submit = store.submit
    for number in range(8):
        await submit(append(OWN, *[b"%d" % number] * 3))
        await submit(append(PLAIN, RECORD + b"%d" % number))
        await submit(partial(put, f"k{number}"))
    await submit(lambda tx: tx.kv_put("ns", "k0", None))
    await submit(lambda tx: tx.set_fold("windows", OWN, 24))
    await submit(lambda tx: tx.set_fold("uplink", OWN, 99))
    await submit(fork(FORK, OWN, 12))
    await submit(append(FORK, b"own"))
    await submit(append(name("plant-a/gone"), b"1", b"2"))
    await submit(fork(ORPHAN, name("plant-a/gone"), 2))
    await submit(fork(name("plant-a/fork-of-fork"), FORK, 9))
    await submit(lambda tx: tx.delete_stream(name("plant-a/gone")))
    await submit(lambda tx: tx.set_retention(OWN, 60))
    assert await submit(lambda tx: tx.retain(OWN, 0, 64))
    beginning, after_hole, last = copied("l.2", 1, 3, 4)
    trimmed = msgspec.structs.replace(beginning, batch=trim(beginning.batch, 4), earliest=4)
    for stored in (*copied("l.1", 0), trimmed, after_hole, last):
        await submit(partial(take, stored))
    await submit(lambda tx: tx.open_stream(name("plant-a/empty")))


def put(key: str, tx: Transaction) -> None:
    tx.kv_put("ns", key, b"v")


def take(stored: StoredBatch, tx: Transaction) -> None:
    assert tx.append_replica(stored, "cell-1").verdict in (Verdict.APPEND, Verdict.SKIP)


def report_of(file: Path) -> CheckReport:
    connection = open_untouched(str(file))
    try:
        return check_store(connection)
    finally:
        connection.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store that is closed."""

    async def main() -> None:
        async with local_store(tmp_path) as store:
            await fill(store)

    asyncio.run(main())
    return tmp_path / "store.db"


def found(file: Path) -> list[str]:
    return [str(problem) for problem in report_of(file).problems]


def number_of(stream: StreamName) -> str:
    return f"(SELECT id FROM streams WHERE origin='{stream.origin}' AND path='{stream.path}')"


class TestASoundStore:
    def test_has_no_problems_and_everything_is_counted(self, file):
        report = report_of(file)
        assert report.problems == []
        assert (report.node, len(report.lineage)) == ("plant-a", 16)
        assert (report.streams, report.forks, report.held) == (9, 3, 1)
        assert (report.folds, report.keys) == (2, 8)
        assert report.batches == rows(file)
        assert report.records > report.batches

    def test_is_checked_while_it_is_written_to_and_nothing_of_it_changes(self, tmp_path):
        async def main() -> None:
            async with local_store(tmp_path) as store:
                await fill(store)
                file = tmp_path / "store.db"
                connection = open_untouched(str(file))
                before = content(file)
                sizes = []

                def meanwhile(done: int, of: int) -> None:
                    """Called between the streams: a commit there is none of the check's business."""
                    sizes.append(store.committer.commit([append(PLAIN, b"more"), append(FORK, b"more")]))

                assert check_store(connection).problems == []
                assert content(file) == before
                assert check_store(connection, meanwhile).problems == []
                assert len(sizes) > 5
                connection.close()

        asyncio.run(main())

    def test_that_was_not_closed_is_read_with_its_log_which_stays(self, file):
        connection = apsw.Connection(str(file))
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("UPDATE meta SET value='other' WHERE key='lineage'")
        connection.close()
        log = Path(f"{file}-wal").read_bytes()
        assert log
        assert report_of(file).lineage == "other"
        assert Path(f"{file}-wal").read_bytes() == log

    def test_of_another_format_or_that_is_not_there_is_refused(self, file):
        change(file, "PRAGMA user_version=1")
        with pytest.raises(IncompatibleStore, match="Start the node with this version once"):
            report_of(file)
        with pytest.raises(NotFound, match="there is no store"):
            report_of(file.with_name("other.db"))
        assert not file.with_name("other.db").exists()


DAMAGES = {
    "a chain": (
        f"UPDATE batches SET chain=zeroblob(16) WHERE stream={number_of(PLAIN)} AND first=2",
        "plant-a/plain [2, 3): its chain hash does not match",
        "plant-a/plain [3, 4): it does not go on from the batch before: its chain is another",
    ),
    "a chain before": (
        f"UPDATE batches SET chain_before=zeroblob(16) WHERE stream={number_of(PLAIN)} AND first=2",
        "plant-a/plain [2, 3): its chain hash does not match",
        "plant-a/plain [2, 3): it does not go on from the batch before: its chain is another",
    ),
    "a checksum": (
        f"UPDATE batches SET crc=1 WHERE stream={number_of(PLAIN)} AND first=2",
        "plant-a/plain [2, 3): its checksum does not match",
    ),
    "a codec": (
        f"UPDATE batches SET codec=7 WHERE stream={number_of(PLAIN)} AND first=2",
        "plant-a/plain [2, 3): codec 7 is unknown",
    ),
    "a row of an own stream": (
        f"DELETE FROM batches WHERE stream={number_of(PLAIN)} AND first=2",
        "plant-a/plain [2, 3): these records are missing",
        "plant-a/plain [0, 8): its batches have 392 bytes of payload, its head says 448; what is missing may be [2, 3)",
    ),
    "the last row": (
        f"DELETE FROM batches WHERE stream={number_of(PLAIN)} AND first=7",
        "plant-a/plain [7, 8): its batches end at 7, its head says 8",
        "plant-a/plain [0, 8): its batches have 392 bytes of payload, its head says 448",
    ),
    "all rows": (
        f"DELETE FROM batches WHERE stream={number_of(PLAIN)}",
        "plant-a/plain [0, 8): its batches end at 0, its head says 8",
        "plant-a/plain [0, 8): its batches have 0 bytes of payload, its head says 448",
    ),
    "a row of a copy": (
        f"DELETE FROM batches WHERE stream={number_of(COPY)} AND first=9",
        "cell-1/s [4, 15): its batches have 17 bytes of payload, its head says 27; what is missing may be [6, 12)",
    ),
    "first": (
        f"UPDATE streams SET first=0 WHERE id={number_of(OWN)}",
        "plant-a/s [0, 6): these records are missing",
    ),
    "next": (
        f"UPDATE streams SET next=9 WHERE id={number_of(PLAIN)}",
        "plant-a/plain [8, 9): its batches end at 8, its head says 9",
    ),
    "next before the end": (
        f"UPDATE streams SET next=7 WHERE id={number_of(PLAIN)}",
        "plant-a/plain [7, 8): its batches end at 8, its head says 7",
    ),
    "first beyond next": (
        f"UPDATE streams SET first=9 WHERE id={number_of(PLAIN)}",
        "plant-a/plain [0, 9): these offsets are held twice",
        "plant-a/plain [9, 8): the offsets of its head are impossible",
    ),
    "the head's chain": (
        f"UPDATE streams SET chain=zeroblob(16) WHERE id={number_of(PLAIN)}",
        "plant-a/plain [0, 8): its head is of another history: the chain at its end differs",
    ),
    "the head's bytes": (
        f"UPDATE streams SET bytes=bytes+1 WHERE id={number_of(PLAIN)}",
        "plant-a/plain [0, 8): its batches have 448 bytes of payload, its head says 449",
    ),
    "the head's lane": (
        f"UPDATE streams SET lane='fast' WHERE id={number_of(PLAIN)}",
        "plant-a/plain: it cannot be read: Invalid enum value 'fast' - at `$.lane`",
    ),
    "the source of a fork": (
        "DELETE FROM deleted",
        "store.db: stream 6 is a fork of stream 5, which is not there",
        "store.db: there are batches of stream 5, which is not there",
    ),
    "what a fork inherits": (
        "DELETE FROM batches WHERE stream=5",
        "plant-a/of-deleted [0, 2): stream 5, its source, has no batch at 0",
        "plant-a/of-deleted [0, 2): stream 5, its source, has no batch up to 2",
    ),
    "a batch of a deleted stream": (
        "UPDATE batches SET crc=1 WHERE stream=5",
        "plant-a/gone (deleted, read by forks) [0, 2): its checksum does not match",
    ),
    "where a fork begins": (
        f"UPDATE streams SET first=3 WHERE id={number_of(FORK)}",
        "plant-a/f [3, 12): stream 1, its source, has no batch at 3",
    ),
    "a fork of nothing": (
        "INSERT INTO forks VALUES(99, 1, 3, '')",
        "store.db: a row of forks is of stream 99, which is not there",
    ),
    "a stream": ("DELETE FROM streams WHERE path='empty'",),
    "a stream with rows": (
        f"DELETE FROM streams WHERE id={number_of(PLAIN)}",
        "store.db: there are batches of stream 2, which is not there",
    ),
    "a fold of nothing": (
        "UPDATE folds SET stream=77 WHERE fold='windows'",
        "fold windows: it is of a stream 77 that there is not",
    ),
    "a fold beyond the end": (
        "UPDATE folds SET next=25 WHERE fold='windows'",
        "fold windows [24, 25): it has applied plant-a/s up to 25, which ends at 24",
    ),
    "a key": (
        "UPDATE kv SET node='' WHERE key='k1'",
        "key k1 of namespace ns: it has a value, and nobody who wrote it",
    ),
    "whose it is": (
        "DELETE FROM meta WHERE key='node'",
        "store.db: it does not say whose store it is: the table meta lacks node or lineage",
    ),
    "the numbers": (
        "UPDATE sqlite_sequence SET seq=3",
        "store.db: stream number 10 is in use, and would be given again: the last is 3",
    ),
    "deleted and there": (
        "INSERT INTO deleted VALUES(1, 'plant-a', 's', 0)",
        "store.db: stream 1 is there, and noted as deleted",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_the_tables_is_found_and_named(file, damage):
    statement, *problems = DAMAGES[damage]
    change(file, statement)
    assert found(file) == problems


def test_a_flipped_bit_in_a_payload_is_found_and_named(file):
    flip(file, RECORD + b"5")
    (problem,) = report_of(file).problems
    assert (problem.subject, problem.first, problem.next) == ("plant-a/plain", 5, 6)
    assert problem.cause == "its checksum does not match"
    assert "littoral store restore" in problem.remedy


def test_an_index_that_lacks_a_key_is_found_and_named(file):
    index = "CREATE INDEX kv_tombstones ON kv(namespace, hlc) WHERE value IS NULL"
    connection = apsw.Connection(str(file))
    ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name='kv_tombstones'").fetchall()
    connection.close()
    change(file, "PRAGMA writable_schema=on", "DELETE FROM sqlite_schema WHERE name='kv_tombstones'")
    change(
        file,
        "INSERT INTO kv(namespace, key, hlc, node) VALUES('ns', 'unseen', 1, 'plant-a')",
        "PRAGMA writable_schema=on",
        f"INSERT INTO sqlite_schema VALUES('index', 'kv_tombstones', 'kv', {page}, '{index}')",
    )
    assert any("kv_tombstones" in problem for problem in found(file))


@pytest.mark.parametrize("table", ["batches", "streams", "kv", "meta", "sqlite_autoindex_batches_1"])
def test_a_torn_page_is_found_whatever_it_was_of(file, table):
    tear(file, table)
    problems = found(file)
    assert any(problem.startswith("store.db: SQLite finds: ") for problem in problems), problems


def test_a_torn_first_page_is_no_database(file):
    file.write_bytes(b"\xa5" * 100 + file.read_bytes()[100:])
    with pytest.raises(StartupError, match="it is encrypted and no key is given, or its beginning is damaged"):
        report_of(file)


def test_what_is_shown_is_bounded(file, monkeypatch):
    monkeypatch.setattr("littoral.store.check.PROBLEMS_MOST", 2)
    change(file, f"UPDATE batches SET crc=1 WHERE stream={number_of(PLAIN)}")
    report = report_of(file)
    assert (len(report.problems), report.left_out, report.sound) == (2, 6, False)


def content(file: Path) -> list[bytes]:
    """Of the store and its log."""
    return [file.read_bytes(), Path(f"{file}-wal").read_bytes()]


def rows(file: Path) -> int:
    connection = apsw.Connection(str(file))
    ((count,),) = connection.execute("SELECT count(*) FROM batches").fetchall()
    connection.close()
    return int(str(count))
