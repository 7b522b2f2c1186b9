"""Backups and restores of stores on real files."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from littoral.core.errors import Conflict, LittoralError, NotFound, StartupError, StorageCorrupt, StorageError
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.node import backup
from littoral.node.backup import BEFORE_RESTORE, Restored, back_up, restore, rewrite
from littoral.node.lock import locked
from littoral.security.store_key import StoreKey
from littoral.store.check import check_store
from littoral.store.database import copy_database, open_untouched
from littoral.store.lineage import is_lost, read_former
from tests.support.damage import change, tear
from tests.support.format_1 import FORMAT_1
from tests.support.stores import append, local_store, name, records_of

S = name("plant-a/s")
KEY, OTHER = StoreKey(bytes(range(32))), StoreKey(bytes(range(1, 33)))
TEXT = b"some text that anybody could read in the file"


def made(directory: Path, *records: bytes, node: str = "plant-a", key: StoreKey | None = None) -> Path:
    """A store with these records; returns its file."""

    async def main() -> None:
        async with local_store(directory, node, key=key) as store:
            stream = name(f"{node}/s")
            await store.submit(lambda tx: tx.open_stream(stream))
            await store.submit(lambda tx: tx.append(stream, records))
            await store.submit(lambda tx: tx.kv_put("ns", "key", TEXT))

    asyncio.run(main())
    return directory / "store.db"


def held(directory: Path, key: StoreKey | None = None) -> list[bytes]:
    async def main() -> list[bytes]:
        async with local_store(directory, key=key) as store:
            return records_of(store, S)

    return asyncio.run(main())


def restored(file: Path, directory: Path, key: StoreKey | None = None, *, force: bool = False) -> Restored:
    return restore(file, directory, key, SystemClock(), SystemRandom(), force=force)


def is_sound(file: Path, key: StoreKey | None = None) -> bool:
    connection = open_untouched(str(file), key)
    try:
        return check_store(connection).sound
    finally:
        connection.close()


def files(directory: Path) -> set[str]:
    """Those that hold something; who has read a store may leave an empty log."""
    names = {path.name for path in directory.iterdir() if path.is_dir() or path.stat().st_size}
    return {name for name in names if name not in ("lock", "VERSION") and not name.endswith("-shm")}


class TestBackUp:
    def test_is_one_commit_of_a_store_that_is_written_to(self, tmp_path):
        async def main() -> int:
            async with local_store(tmp_path / "a") as store:
                await store.submit(append(S, b"0", b"0"))
                copying = asyncio.create_task(
                    asyncio.to_thread(back_up, tmp_path / "a" / "store.db", tmp_path / "b.db", None)
                )
                count = 1
                while not copying.done() or count < 50:
                    await store.submit(append(S, b"%d" % count, b"%d" % count))
                    count += 1
                await copying
                return count

        count = asyncio.run(main())
        assert is_sound(tmp_path / "b.db")
        assert stat.S_IMODE((tmp_path / "b.db").stat().st_mode) == 0o600
        (tmp_path / "c").mkdir()
        restored(tmp_path / "b.db", tmp_path / "c")
        records = held(tmp_path / "c")
        assert 2 <= len(records) <= 2 * count
        assert records == [b"%d" % number for number in range(len(records) // 2) for _ in range(2)]
        assert files(tmp_path) == {"a", "b.db", "c"}

    def test_of_what_the_log_holds_and_the_file_does_not(self, tmp_path):
        async def main() -> None:
            async with local_store(tmp_path / "a") as store:
                await store.submit(append(S, TEXT))
                assert TEXT not in (tmp_path / "a" / "store.db").read_bytes()
                back_up(tmp_path / "a" / "store.db", tmp_path / "b.db", None)

        asyncio.run(main())
        assert TEXT in (tmp_path / "b.db").read_bytes()

    def test_replaces_no_file_and_leaves_none_behind_when_it_fails(self, tmp_path, monkeypatch):
        file = made(tmp_path / "a", b"1")
        (tmp_path / "b.db").write_bytes(b"kept")
        with pytest.raises(Conflict, match="there is such a file already"):
            back_up(file, tmp_path / "b.db", None)
        assert (tmp_path / "b.db").read_bytes() == b"kept"
        with pytest.raises(NotFound):
            back_up(tmp_path / "none", tmp_path / "c.db", None)
        with pytest.raises(StorageError, match="No such file or directory"):
            back_up(file, tmp_path / "none" / "c.db", None)

        def fail(aside: Path, target: Path) -> None:
            assert aside.stat().st_size
            raise StorageError("write file", str(target), "No space left on device")

        monkeypatch.setattr(backup, "put_in_place", fail)
        with pytest.raises(StorageError):
            back_up(file, tmp_path / "c.db", None)
        assert files(tmp_path) == {"a", "b.db"}


class TestRestore:
    def test_gives_the_store_a_new_lineage_and_remembers_the_old(self, tmp_path):
        file = made(tmp_path / "a", b"1", b"2")
        back_up(file, tmp_path / "b.db", None)
        done = restored(tmp_path / "b.db", tmp_path / "c")
        assert done.node == "plant-a"
        assert done.kept is None
        assert done.lineage != done.was.lineage
        assert is_sound(tmp_path / "c" / "store.db")
        assert stat.S_IMODE((tmp_path / "c" / "store.db").stat().st_mode) == 0o600

        async def main() -> None:
            async with local_store(tmp_path / "c") as store:
                assert (store.lineage, store.former) == (done.lineage, [done.was])
                assert records_of(store, S) == [b"1", b"2"]
                assert (done.was.last, done.was.restored_ms > 0) == (2, True)
                info = store.stream(S)
                assert info is not None
                assert info.lineage == f"{done.was.lineage}.1"
                await store.submit(append(S, b"3"))
                after = store.stream(S)
                assert after is not None
                assert after.lineage == f"{done.lineage}.1"
                assert await store.submit(lambda tx: tx.went_on_at(S)) == 2
                lost = [f"{done.was.lineage}.2", f"{done.was.lineage}.3", f"{done.lineage}.9", "elsewhere.1"]
                assert [is_lost(each, store.lineage, store.former) for each in lost] == [False, True, False, True]

        asyncio.run(main())
        again = restored(tmp_path / "b.db", tmp_path / "c", force=True)
        connection = open_untouched(str(tmp_path / "c" / "store.db"))
        assert read_former(connection) == [again.was], "as the backup has it"
        connection.close()

    def test_does_not_replace_a_store_unless_it_is_told_to_and_keeps_that(self, tmp_path):
        back_up(made(tmp_path / "a", b"1"), tmp_path / "b.db", None)
        made(tmp_path / "c", b"2")
        change(tmp_path / "c" / "store.db", "DELETE FROM kv")
        with pytest.raises(Conflict, match="there is a store already"):
            restored(tmp_path / "b.db", tmp_path / "c")
        assert held(tmp_path / "c") == [b"2"]
        done = restored(tmp_path / "b.db", tmp_path / "c", force=True)
        assert held(tmp_path / "c") == [b"1"]
        assert done.kept == tmp_path / "c" / BEFORE_RESTORE
        (tmp_path / "c" / BEFORE_RESTORE).rename(tmp_path / "c" / "store.db")
        assert held(tmp_path / "c") == [b"2"]

    def test_keeps_what_the_log_of_the_store_there_was_holds(self, tmp_path):
        back_up(made(tmp_path / "a", b"1"), tmp_path / "b.db", None)
        file = made(tmp_path / "c", b"2")
        left_unclosed(file, "INSERT INTO state VALUES('s', 'k', x'00')")
        restored(tmp_path / "b.db", tmp_path / "c", force=True)
        assert files(tmp_path / "c") == {"store.db", BEFORE_RESTORE}
        connection = open_untouched(str(tmp_path / "c" / BEFORE_RESTORE))
        assert connection.execute("SELECT key FROM state").fetchall() == [("k",)]
        connection.close()
        connection = open_untouched(str(file))
        assert connection.execute("SELECT key FROM state").fetchall() == []
        connection.close()

    def test_keeps_a_store_that_cannot_be_read_with_its_log_beside_it(self, tmp_path):
        back_up(made(tmp_path / "a", b"1"), tmp_path / "b.db", None)
        file = made(tmp_path / "c", b"2")
        left_unclosed(file, "INSERT INTO state VALUES('s', 'k', x'00')")
        log = Path(f"{file}-wal").read_bytes()
        file.write_bytes(b"\xa5" * 4096)
        Path(f"{file}-wal").write_bytes(log[:100])
        restored(tmp_path / "b.db", tmp_path / "c", force=True)
        assert held(tmp_path / "c") == [b"1"]
        assert (tmp_path / "c" / BEFORE_RESTORE).read_bytes() == b"\xa5" * 4096

    def test_of_another_nodes_backup_is_refused(self, tmp_path):
        back_up(made(tmp_path / "a", b"1"), tmp_path / "b.db", None)
        made(tmp_path / "c", b"2", node="plant-b")
        with pytest.raises(Conflict, match="the backup is of node plant-a, and the data directory that of plant-b"):
            restored(tmp_path / "b.db", tmp_path / "c", force=True)
        assert files(tmp_path / "c") == {"store.db"}

    @pytest.mark.parametrize("damage", ["a row", "a page", "all"])
    def test_of_a_damaged_backup_is_refused_and_nothing_changes(self, tmp_path, damage):
        back_up(made(tmp_path / "a", b"1"), tmp_path / "b.db", None)
        if damage == "a row":
            change(tmp_path / "b.db", "UPDATE batches SET crc=1")
        elif damage == "a page":
            tear(tmp_path / "b.db", "batches")
        else:
            (tmp_path / "b.db").write_bytes(b"no database, by any means")
        made(tmp_path / "c", b"2")
        with pytest.raises((StorageCorrupt, StartupError), match="damaged"):
            restored(tmp_path / "b.db", tmp_path / "c", force=True)
        assert files(tmp_path / "c") == {"store.db"}
        assert held(tmp_path / "c") == [b"2"]

    def test_of_an_older_format_is_brought_up_to_this_one(self, tmp_path):
        connection = apsw.Connection(str(tmp_path / "b.db"))
        connection.execute(FORMAT_1)
        connection.execute("INSERT INTO meta VALUES('node', 'plant-a'), ('lineage', '00')")
        connection.pragma("user_version", 1)
        connection.close()
        assert restored(tmp_path / "b.db", tmp_path / "c").was.lineage == "00"
        assert is_sound(tmp_path / "c" / "store.db")

    def test_while_the_node_runs_or_of_nothing_is_refused(self, tmp_path):
        back_up(made(tmp_path / "a", b"1"), tmp_path / "b.db", None)
        with locked(tmp_path / "a", "start node", "plant-a"), pytest.raises(StartupError, match="is in use by process"):
            restored(tmp_path / "b.db", tmp_path / "a", force=True)
        with pytest.raises(NotFound):
            restored(tmp_path / "none.db", tmp_path / "a", force=True)

    def test_that_is_interrupted_leaves_the_store_there_was_and_can_be_repeated(self, tmp_path, monkeypatch):
        back_up(made(tmp_path / "a", b"1"), tmp_path / "b.db", None)
        made(tmp_path / "c", b"2")

        def fail(aside: Path, target: Path) -> None:
            raise StorageError("write file", str(target), "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(backup, "put_in_place", fail)
            with pytest.raises(StorageError):
                restored(tmp_path / "b.db", tmp_path / "c", force=True)
        assert held(tmp_path / "c") == [b"2"]
        restored(tmp_path / "b.db", tmp_path / "c", force=True)
        assert held(tmp_path / "c") == [b"1"]
        with pytest.raises(Conflict, match="store.db.before-restore is there already"):
            restored(tmp_path / "b.db", tmp_path / "c", force=True)


def left_unclosed(file: Path, statement: str) -> None:
    """A store whose node was killed: its log holds what the file does not."""
    connection = apsw.Connection(str(file))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.execute(statement)
    connection.close()
    assert Path(f"{file}-wal").stat().st_size


def in_files(directory: Path, text: bytes = TEXT) -> bool:
    return any(text in path.read_bytes() for path in directory.iterdir() if path.is_file())


class TestEncryption:
    def test_nothing_of_what_is_stored_can_be_read_in_the_files(self, tmp_path):
        async def main(key: StoreKey | None, directory: Path) -> tuple[bool, bool]:
            async with local_store(directory, key=key) as store:
                await store.submit(append(S, TEXT))
                await store.submit(lambda tx: tx.kv_put("ns", "key", TEXT))
                in_log = in_files(directory)
            return in_log, in_files(directory)

        assert asyncio.run(main(None, tmp_path / "plain")) == (True, True)
        assert asyncio.run(main(KEY, tmp_path / "secret")) == (False, False)
        assert b"SQLite" not in (tmp_path / "secret" / "store.db").read_bytes()[:16]
        assert held(tmp_path / "secret", KEY) == [TEXT]

    def test_it_is_a_wal_that_is_synced_through_the_encrypting_vfs(self, tmp_path):
        async def main() -> None:
            async with local_store(tmp_path, key=KEY) as store:
                connection = store.committer._connection
                assert connection.pragma("journal_mode") == "wal"
                assert connection.pragma("synchronous") == 2
                assert connection.open_vfs.startswith("multipleciphers")
                assert connection.pragma("cipher") == "chacha20"

        asyncio.run(main())

    @pytest.mark.parametrize(
        ("made_with", "opened_with", "cause", "remedy"),
        [
            (KEY, None, "it is encrypted and no key is given", "spec.encryption"),
            (KEY, OTHER, "it is encrypted with another key", "the key that it was encrypted with last"),
            (None, KEY, "it is not encrypted, though a key is given", "littoral store encrypt"),
        ],
    )
    def test_a_key_that_is_not_the_stores_is_told_with_the_file_and_what_to_do(
        self, tmp_path, made_with, opened_with, cause, remedy
    ):
        file = made(tmp_path / "a", b"1", key=made_with)
        before = file.read_bytes()
        attempts: list[Callable[[], object]] = [
            lambda: held(tmp_path / "a", opened_with),
            lambda: open_untouched(str(file), opened_with),
            lambda: back_up(file, tmp_path / "b.db", opened_with),
            lambda: restored(file, tmp_path / "c", opened_with),
            lambda: rewrite(tmp_path / "a", opened_with, OTHER),
        ]
        for attempt in attempts:
            with pytest.raises(StartupError) as caught:
                attempt()
            assert cause in caught.value.cause
            assert remedy in caught.value.remedy
            assert caught.value.subject.endswith((str(file), "store.db.restoring"))
            said = f"{caught.value!r} {caught.value} {caught.value.__context__!r}"
            assert KEY.reveal() not in said
            assert OTHER.reveal() not in said
        assert file.read_bytes() == before
        assert not (tmp_path / "b.db").exists()

    def test_a_backup_is_encrypted_with_the_same_key_and_is_restored_with_it(self, tmp_path):
        back_up(made(tmp_path / "a", TEXT, key=KEY), tmp_path / "b.db", KEY)
        assert TEXT not in (tmp_path / "b.db").read_bytes()
        assert is_sound(tmp_path / "b.db", KEY)
        restored(tmp_path / "b.db", tmp_path / "c", KEY)
        assert held(tmp_path / "c", KEY) == [TEXT]

    def test_a_page_that_was_changed_is_recognised(self, tmp_path):
        file = made(tmp_path, *[TEXT] * 500, key=KEY)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        assert not is_sound(file, KEY)

    def test_a_store_is_encrypted_given_another_key_and_decrypted(self, tmp_path):
        file = made(tmp_path, TEXT)
        for old, new in ((None, KEY), (KEY, OTHER), (OTHER, None)):
            left_unclosed_with(file, old)
            rewrite(tmp_path, old, new)
            assert in_files(tmp_path) == (new is None)
            assert files(tmp_path) == {"store.db"}
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert held(tmp_path, new) == [TEXT]
            if new is not None:
                with pytest.raises(StartupError):
                    held(tmp_path, old)

    def test_it_is_the_same_store_with_another_key(self, tmp_path):
        file = made(tmp_path, TEXT)
        tables = dump(file, None)
        rewrite(tmp_path, None, KEY)
        now = dump(file, KEY)
        [(scope, _, blob_key)] = now.pop("state")
        assert (scope, len(blob_key)) == ("blobs", 32), "the key of blobs is made with it"
        assert tables.pop("state") == []
        assert now == tables

    def test_a_rewrite_that_is_interrupted_or_of_a_damaged_store_leaves_it_as_it_is(self, tmp_path, monkeypatch):
        file = made(tmp_path, TEXT)

        def fail(aside: Path, target: Path) -> None:
            raise StorageError("write file", str(target), "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(backup, "put_in_place", fail)
            with pytest.raises(StorageError):
                rewrite(tmp_path, None, KEY)
        assert (held(tmp_path), files(tmp_path)) == ([TEXT], {"store.db"})
        change(file, "UPDATE batches SET crc=1")
        with pytest.raises(StorageCorrupt):
            rewrite(tmp_path, None, KEY)
        assert files(tmp_path) == {"store.db"}
        with locked(tmp_path, "start node", "plant-a"), pytest.raises(StartupError, match="is in use"):
            rewrite(tmp_path, None, KEY)
        with pytest.raises(NotFound):
            rewrite(tmp_path / "none", None, KEY)

    def test_an_error_of_the_copy_does_not_repeat_the_key(self, tmp_path):
        file = made(tmp_path, TEXT)
        connection = open_untouched(str(file))
        with pytest.raises(LittoralError) as caught:
            copy_database(connection, str(tmp_path / "none" / "copy.db"), KEY, new_key=True)
        connection.close()
        assert KEY.reveal() not in f"{caught.value} {caught.value.__context__!r} {caught.value.__cause__!r}"


def left_unclosed_with(file: Path, key: StoreKey | None) -> None:
    """The last write is in the log only."""

    async def main() -> None:
        async with local_store(file.parent, key=key) as store:
            await store.submit(lambda tx: tx.put_state("s", "k", os.urandom(8)))
            store.abandon()

    asyncio.run(main())


def dump(file: Path, key: StoreKey | None) -> dict[str, list[Any]]:
    connection = open_untouched(str(file), key)
    tables = ["meta", "streams", "batches", "folds", "state", "kv", "horizons", "forks", "deleted", "sqlite_sequence"]
    rows = {table: list(connection.execute(f"SELECT * FROM {table}")) for table in tables}
    version = connection.pragma("user_version")
    connection.close()
    return {**rows, "version": [version]}
