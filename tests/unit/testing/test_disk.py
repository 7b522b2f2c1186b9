"""The simulated disk: files, faults, and SQLite databases through its VFS."""

from collections import Counter
from contextlib import suppress

import apsw
import pytest

from littoral.core.errors import StorageError, StorageFull, StorageReadOnly
from littoral.testing.disk import CutAt, Point, PowerCut, SimDisk, assert_wal
from littoral.testing.disk_file import SimFile
from littoral.testing.random import SeededRandom


def open_database(disk: SimDisk, synchronous: str = "full") -> apsw.Connection:
    connection = apsw.Connection(disk.database_path("store.db"), vfs=disk.vfs)
    try:
        connection.pragma("locking_mode", "exclusive")
        assert connection.pragma("journal_mode", "wal") == "wal"
        connection.pragma("synchronous", synchronous)
    except BaseException:
        close(connection)
        raise
    return connection


def close(connection: apsw.Connection) -> None:
    """Close also what belongs to a dead node, which is told that its power is off."""
    with suppress(apsw.Error):
        connection.close()


def present_bytes(disk: SimDisk) -> int:
    return sum(len(disk.read(path) or b"") for path in disk.paths())


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(SeededRandom(1))


class TestFiles:
    def test_are_replaced_read_and_removed(self, disk: SimDisk):
        assert disk.read("identity/key.pem") is None
        disk.write("identity/key.pem", b"one", secret=True)
        disk.write("identity/key.pem", b"two")
        assert disk.read("identity/key.pem") == b"two"
        assert disk.paths() == ["identity/key.pem"]
        disk.remove("identity/key.pem")
        disk.remove("identity/key.pem")
        assert disk.read("identity/key.pem") is None
        assert disk.counts == {"write": 2, "truncate": 0, "sync": 2, "remove": 1}
        assert disk.log[0] == Point(1, "write", "identity/key.pem", 0, 3)

    def test_a_write_that_returned_survives_every_cut(self):
        for seed in range(20):
            disk = SimDisk(SeededRandom(seed))
            disk.write("a", b"one")
            disk.write("b", b"two")
            disk.remove("b")
            disk.cut_power("lost" if seed % 2 else "seeded")
            disk.power_on()
            assert (disk.read("a"), disk.read("b")) == (b"one", None)

    @pytest.mark.parametrize("before", [None, b"old"])
    @pytest.mark.parametrize("takes_effect", [False, True])
    @pytest.mark.parametrize("number", [1, 2])
    def test_a_write_that_is_interrupted_is_whole_or_not_there(
        self, before: bytes | None, takes_effect: bool, number: int
    ):
        found = set()
        for seed in range(20):
            disk = SimDisk(SeededRandom(seed))
            if before is not None:
                disk.write("a", before)
            disk.schedule_cut(CutAt(disk.points + number, takes_effect=takes_effect))
            with pytest.raises(PowerCut):
                disk.write("a", b"new" * 1000)
            disk.power_on()
            found.add(disk.read("a"))
        certain = {(1, False): {before}, (2, True): {b"new" * 1000}}
        assert found == certain.get((number, takes_effect), {before, b"new" * 1000})

    def test_nothing_works_without_power(self, disk: SimDisk):
        cuts: list[bool] = []
        disk.on_cut = lambda: cuts.append(disk.powered)
        disk.cut_power()
        disk.cut_power()
        for operation in (lambda: disk.read("a"), lambda: disk.write("a", b""), lambda: disk.remove("a")):
            with pytest.raises(PowerCut, match="the power was cut"):
                operation()
        with pytest.raises(PowerCut):
            apsw.Connection("a", vfs=disk.vfs).pragma("user_version")
        assert cuts == [False]
        assert disk.incarnation == 1

    def test_full_read_only_and_failing_disks_say_so_and_change_nothing(self, disk: SimDisk):
        disk.write("a", b"x" * 100)
        disk.capacity_bytes = 150
        assert disk.free_bytes() == 50
        with pytest.raises(StorageFull, match=r"cannot write file a: No space left on device\. Free space"):
            disk.write("a", b"y" * 100)
        disk.read_only = True
        with pytest.raises(StorageReadOnly, match="Read-only file system"):
            disk.write("a", b"y")
        with pytest.raises(StorageReadOnly):
            disk.remove("a")
        disk.failing = True
        with pytest.raises(StorageError, match="Input/output error"):
            disk.read("a")
        disk.failing = False
        assert disk.read("a") == b"x" * 100

    def test_a_fault_counts_what_it_hits(self, disk: SimDisk):
        disk.write("a", b"x" * 100)
        disk.capacity_bytes = 150
        disk.read_only = True
        with pytest.raises(StorageReadOnly):
            disk.remove("a")
        disk.read_only = False
        with pytest.raises(StorageFull):
            disk.write("b", b"y" * 51)
        disk.failing_changes = 2
        for _ in range(2):
            with pytest.raises(StorageError, match="Input/output error"):
                disk.write("b", b"y")
        disk.write("b", b"y")
        disk.error_rate = 1
        with pytest.raises(StorageError):
            disk.remove("b")
        assert disk.read("b") == b"y"
        assert disk.hits == {"read_only": 1, "full": 1, "io_error": 3}

    def test_free_space_follows_every_change(self, disk: SimDisk):
        disk.capacity_bytes = 100_000
        used = [disk.free_bytes()]
        disk.write("a", b"x" * 100)
        disk.write("a", b"x" * 40)
        used.append(disk.free_bytes())
        disk.write("b", b"x" * 10)
        disk.remove("b")
        used.append(disk.free_bytes())
        connection = open_database(disk)
        connection.execute("create table t (x); pragma wal_checkpoint(truncate)")
        close(connection)
        assert used == [100_000, 99_960, 99_960]
        assert 100_000 - disk.free_bytes() == present_bytes(disk) > 4096
        disk.cut_power("lost")
        disk.power_on()
        assert 100_000 - disk.free_bytes() == present_bytes(disk) > 4096

    def test_changes_that_overlap_are_undone_to_what_was_synced(self):
        file = SimFile(b"0123456789", durable_entry=True)
        file.write(2, b"ab")
        file.write(3, b"cdefghijkl")
        file.truncate(5)
        file.write(9, b"x")
        file.replace(b"yz")
        file.write(0, b"-")
        assert bytes(file.content) == b"-z"
        assert file.after_cut(SeededRandom(1), "lost", Counter()) == b"0123456789"
        assert file.after_cut(SeededRandom(1), "kept", Counter()) == b"-z"

    def test_a_bit_that_rots_is_one_bit(self, disk: SimDisk):
        disk.write("a", bytes(100))
        disk.cut_power()
        offset = disk.rot("a", SeededRandom(3))
        disk.power_on()
        image = disk.read("a")
        assert image is not None
        assert [number for number, byte in enumerate(image) if byte] == [offset]
        assert image[offset].bit_count() == 1

    def test_a_slow_disk_calls_whoever_lets_time_pass(self, disk: SimDisk):
        seen: list[Point] = []
        disk.latency = seen.append
        disk.write("a", b"xy")
        assert [(point.kind, point.length) for point in seen] == [("write", 2), ("sync", 0)]


class TestDatabases:
    def test_run_in_wal_mode_and_sync_the_wal_once_per_commit(self, disk: SimDisk):
        connection = open_database(disk)
        assert_wal(connection, disk.vfs)
        connection.execute("create table t (x)")
        syncs = disk.counts["sync"]
        for number in range(10):
            connection.execute("insert into t values (?)", (number,))
        assert disk.counts["sync"] == syncs + 10
        assert disk.log[-1].kind == "sync"
        assert disk.log[-1].path == "store.db-wal"
        connection.close()

    def test_without_exclusive_locking_sqlite_refuses_wal_silently_and_the_assertion_does_not(self, disk: SimDisk):
        with apsw.Connection("store.db", vfs=disk.vfs) as connection:
            assert connection.pragma("journal_mode", "wal") == "delete"
            with pytest.raises(AssertionError, match="the journal mode is 'delete'"):
                assert_wal(connection, disk.vfs)
        connection.close()

    def test_the_assertion_notices_a_lax_sync_and_another_vfs(self, disk: SimDisk):
        connection = open_database(disk, "normal")
        with pytest.raises(AssertionError, match="synchronous is 1"):
            assert_wal(connection, disk.vfs)
        connection.pragma("synchronous", "full")
        with pytest.raises(AssertionError, match="the VFS is"):
            assert_wal(connection, "unix")
        connection.close()

    def test_a_second_connection_is_kept_out(self, disk: SimDisk):
        first = open_database(disk)
        first.execute("create table t (x)")
        second = apsw.Connection("store.db", vfs=disk.vfs)
        with pytest.raises(apsw.BusyError):
            second.execute("select * from t").fetchall()
        second.close()
        first.close()

    def test_a_connection_from_before_a_cut_is_dead_for_ever(self, disk: SimDisk):
        old = open_database(disk)
        old.execute("create table t (x)")
        disk.cut_power()
        disk.power_on()
        with pytest.raises(PowerCut):
            old.execute("insert into t values (1)")
        new = open_database(disk)
        new.execute("insert into t values (2)")
        assert new.execute("select x from t").fetchall() == [(2,)]
        close(old)
        assert new.execute("pragma integrity_check").get == "ok"
        new.close()

    def test_a_full_disk_fails_the_commit_and_keeps_what_was_there(self, disk: SimDisk):
        connection = open_database(disk)
        connection.execute("create table t (x)")
        connection.execute("insert into t values ('kept')")
        disk.capacity_bytes -= disk.free_bytes() - 2000
        with pytest.raises(apsw.FullError):
            connection.execute("insert into t values (zeroblob(100000))")
        disk.capacity_bytes += 1_000_000
        connection.execute("insert into t values ('after')")
        assert connection.execute("select x from t").fetchall() == [("kept",), ("after",)]
        connection.close()

    def test_a_read_only_disk_and_a_failing_disk_fail_the_commit(self, disk: SimDisk):
        connection = open_database(disk)
        connection.execute("create table t (x)")
        disk.read_only = True
        with pytest.raises(apsw.ReadOnlyError):
            connection.execute("insert into t values (1)")
        disk.read_only, disk.failing = False, True
        with pytest.raises(apsw.IOError):
            connection.execute("insert into t values (1)")
        disk.failing = False
        connection.execute("insert into t values (2)")
        assert connection.execute("select x from t").fetchall() == [(2,)]
        connection.close()

    def test_one_that_fails_now_and_then_fails_some_commits_and_loses_none(self, disk: SimDisk):
        connection = open_database(disk)
        connection.execute("create table t (x)")
        disk.error_rate = 0.1
        kept = []
        for number in range(100):
            with suppress(apsw.IOError):
                connection.execute("insert into t values (?)", (number,))
                kept.append(number)
        disk.error_rate = 0
        assert 10 < disk.hits["io_error"] < 60
        assert [number for (number,) in connection.execute("select x from t")] == kept
        close(connection)

    def test_know_the_time_and_the_chance_of_their_disk(self, disk: SimDisk):
        connection = open_database(disk)
        disk.wall_ms = lambda: 1_700_000_000_250
        assert connection.execute("select strftime('%F %R:%f')").get == "2023-11-14 22:13:20.250"
        close(connection)

    def test_the_fate_of_what_was_not_synced_is_counted(self):
        hits = {}
        for survival in ("lost", "kept", "seeded"):
            disk = SimDisk(SeededRandom(2))
            connection = open_database(disk)
            connection.execute("create table t (x); pragma synchronous=off")
            for _ in range(20):
                connection.execute("insert into t values (zeroblob(10000))")
            disk.cut_power(survival)
            close(connection)
            hits[survival] = dict(disk.hits)
        assert set(hits["lost"]) == {"cut", "lost"}
        assert set(hits["kept"]) == {"cut", "kept"}
        assert set(hits["seeded"]) == {"cut", "lost", "kept", "torn"}
        assert hits["seeded"]["cut"] == 1

    def test_temporary_files_are_no_points(self, disk: SimDisk):
        connection = open_database(disk)
        points = disk.points
        connection.execute("pragma cache_size=10; pragma temp_store=file; create temp table t (x)")
        connection.execute(
            "with recursive n(i) as (select 1 union all select i+1 from n where i<5000) "
            "insert into t select randomblob(100) from n order by random()"
        )
        assert disk.points == points
        connection.close()


COMMITS = 8


def workload(disk: SimDisk, acknowledged: list[int], synchronous: str) -> None:
    """Commit numbers one by one, with a checkpoint and a big transaction in between; note each that was committed."""
    connection = open_database(disk, synchronous)
    try:
        connection.execute("create table if not exists t (x, filler)")
        for number in range(COMMITS):
            connection.execute("insert into t values (?, zeroblob(?))", (number, 20_000 if number == 3 else 10))
            acknowledged.append(number)
            if number == 5:
                connection.execute("pragma wal_checkpoint(truncate)")
    finally:
        close(connection)


def recovered(disk: SimDisk) -> list[int]:
    disk.power_on()
    connection = open_database(disk)
    try:
        assert connection.execute("pragma integrity_check").get == "ok"
        if not connection.table_exists("main", "t"):
            return []
        return [number for (number,) in connection.execute("select x from t order by rowid")]
    finally:
        connection.close()


def lost_at_some_point(synchronous: str, seeds: int) -> tuple[int, list[str]]:
    """Cut the power at each point, before and after it takes effect; what was acknowledged and is not there."""
    counting = SimDisk(SeededRandom(0))
    workload(counting, [], synchronous)
    lost = []
    for point in range(1, counting.points + 1):
        for takes_effect in (False, True):
            for seed in range(seeds):
                disk = SimDisk(SeededRandom(seed))
                disk.schedule_cut(CutAt(point, takes_effect=takes_effect))
                acknowledged: list[int] = []
                with suppress(PowerCut, apsw.Error):
                    workload(disk, acknowledged, synchronous)
                assert not disk.powered, f"point {point} was not reached"
                try:
                    found = recovered(disk)
                except (apsw.Error, AssertionError) as error:
                    lost.append(f"point {point}, seed {seed}: {error!r}")
                    continue
                # One commit more than was acknowledged may have reached the disk.
                if found[: len(acknowledged)] != acknowledged or len(found) > len(acknowledged) + 1:
                    lost.append(f"point {point}, seed {seed}: {acknowledged} acknowledged, {found} found")
    return counting.points, lost


def test_what_was_acknowledged_survives_a_cut_at_every_point():
    points, lost = lost_at_some_point("full", seeds=3)
    assert points > 50
    assert lost == []


def test_without_syncs_the_same_cuts_lose_what_was_acknowledged():
    _, lost = lost_at_some_point("off", seeds=1)
    assert len(lost) > 10


class TestLargeFiles:
    def test_what_was_synced_survives_and_what_was_not_may_not(self):
        found = set()
        for seed in range(100):
            disk = SimDisk(SeededRandom(seed))
            disk.write_at("a", 0, b"kept" * 300)
            disk.sync("a")
            disk.write_at("a", 1200, b"more" * 300)
            disk.write_at("new", 0, b"x")
            disk.cut_power()
            disk.power_on()
            content = disk.read("a")
            assert content is not None
            assert content[:1200] == b"kept" * 300
            found.add((len(content), disk.read("new")))
        assert {length for length, _ in found} >= {1200, 2400}
        assert {new for _, new in found} == {None, b"", b"x"}

    @pytest.mark.parametrize("takes_effect", [False, True])
    def test_a_rename_happens_or_does_not(self, takes_effect: bool):
        disk = SimDisk(SeededRandom(1))
        disk.write("a", b"one")
        disk.schedule_cut(CutAt(disk.points + 1, takes_effect=takes_effect))
        with pytest.raises(PowerCut):
            disk.move("a", "b/c")
        disk.power_on()
        assert disk.paths() == (["b/c"] if takes_effect else ["a"])
        assert present_bytes(disk) == 3

    def test_a_full_or_failing_disk_says_so(self, disk: SimDisk):
        disk.write("a", b"x" * 100)
        disk.capacity_bytes = 150
        with pytest.raises(StorageFull):
            disk.write_at("a", 100, b"y" * 51)
        disk.write_at("a", 50, b"y" * 100)
        assert disk.free_bytes() == 0
        disk.move("a", "b")
        disk.read_only = True
        with pytest.raises(StorageReadOnly):
            disk.write_at("b", 0, b"z")
        with pytest.raises(StorageReadOnly):
            disk.move("b", "a")
        disk.failing = True
        with pytest.raises(StorageError):
            disk.read_at("b", 0, 1)
