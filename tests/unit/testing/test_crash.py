"""Crash at every point: what does not recover is found and can be repeated, and what is not checked is an error."""

from functools import partial

import apsw
import pytest

from littoral.core.errors import StorageCorrupt, Unavailable
from littoral.core.names import StreamName
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash, CrashError, Cut, crash_everywhere, crash_once, crash_points
from littoral.testing.disk import SimDisk
from littoral.testing.loop import run
from littoral.testing.random import SeededRandom
from littoral.testing.store import check_histories
from littoral.testing.supervision import insist
from tests.support.stores import SimStore, records_of

NOTES = StreamName("plant-a", "notes")


def put(n: int, tx: Transaction) -> None:
    if tx.open_stream(NOTES).next == n:
        tx.append(NOTES, [b"%d" % n])


async def notes(crash: Crash) -> None:
    node = crash.store("plant-a")
    for n in range(3):
        await node.insist(partial(put, n))
    assert records_of(node.running(), NOTES) == [b"0", b"1", b"2"]


async def hasty(crash: Crash) -> None:
    """It takes what it has asked for for done."""
    node = crash.store("plant-a")
    node.running()
    for n in range(3):
        if node.store is not None:
            node.running().submit(partial(put, n))
        await node.insist(lambda tx: tx.put_state("notes", "asked", b"1"))
    assert records_of(node.running(), NOTES) == [b"0", b"1", b"2"]


class TestPoints:
    def test_every_change_of_every_disk_is_one_until_the_workload_ends(self):
        points = crash_points(notes, 1)["plant-a"]
        assert [point.number for point in points] == list(range(1, len(points) + 1))
        assert {point.path for point in points} == {"VERSION", "store.db", "store.db-journal", "store.db-wal"}
        assert [point.kind for point in points].count("sync") > 3

    def test_preparation_does_not_count(self):
        async def prepared(crash: Crash) -> None:
            node = crash.store("plant-a")
            await node.insist(partial(put, 0))
            crash.count_from_here()
            await node.insist(partial(put, 1))

        points = crash_points(prepared, 1)["plant-a"]
        assert points[0].number > 1
        assert [point.kind for point in points].count("sync") == 1

    def test_each_node_of_a_tree_is_a_victim(self):
        async def joining(crash: Crash) -> None:
            tree = crash.tree()
            root = tree.add("cloud", "cloud", None)
            tree.add("plant-a", "site", root)
            supervisor = crash.supervise(tree)
            await supervisor.until(supervisor.connected)

        assert crash_points(joining, 1).keys() == {"cloud", "plant-a"}
        for victim in ("cloud", "plant-a"):
            assert crash_once(joining, 1, Cut(victim, 30)).deaths == 1


class TestRuns:
    def test_all_points_are_tried_before_and_after_and_syncs_with_every_fate_and_a_second_cut(self):
        report = crash_everywhere(notes, 1)
        (points,) = report.points.values()
        assert report.tried["plant-a"] == points
        assert report.runs == 2 * points.total() + 6 * points["sync"]
        assert 0 < report.again <= 2 * points.total()
        assert str(report).endswith("all recovered")
        assert f"{points['sync']} of {points['sync']} syncs" in str(report)

    def test_a_slice_holds_all_syncs_and_is_drawn_from_the_seed(self):
        report = crash_everywhere(notes, 1, others=4)
        (tried,) = report.tried.values()
        assert tried["sync"] == report.points["plant-a"]["sync"]
        assert tried.total() == tried["sync"] + 4
        assert report == crash_everywhere(notes, 1, others=4)

    def test_what_does_not_recover_is_found_and_the_error_says_how_to_repeat_it(self):
        crash_points(hasty, 1)
        with pytest.raises(CrashError, match="hasty does not survive a power cut at Point") as caught:
            crash_everywhere(hasty, 1)
        assert isinstance(caught.value.__cause__, AssertionError)
        call = str(caught.value).partition("Repeat it with ")[2]
        with pytest.raises(CrashError) as again:
            eval(call, {"crash_once": crash_once, "hasty": hasty, "Cut": Cut})
        assert str(again.value) == str(caught.value)

    def test_a_point_that_is_never_reached_is_an_error(self):
        with pytest.raises(CrashError, match="did not come to point 100000: the run does not repeat"):
            crash_once(notes, 1, Cut("plant-a", 100_000))

    def test_a_second_cut_comes_so_many_points_after_the_first(self):
        crash = crash_once(notes, 1, Cut("plant-a", 40, again=3))
        assert crash.deaths == 2
        assert crash.point is not None
        assert crash.point.number == 40

    def test_a_victim_that_is_not_there_is_an_error(self):
        with pytest.raises(AssertionError, match="notes has no"):
            crash_everywhere(notes, 1, victims=["cloud"])


class TestChecks:
    def test_a_journal_that_is_no_wal_is_found(self):
        async def rollback_journal(crash: Crash) -> None:
            disk = SimDisk(SeededRandom(1))
            crash.watch("plant-a", disk)
            connection = apsw.Connection("other.db", vfs=disk.vfs)
            connection.execute("CREATE TABLE t(x)")

        with pytest.raises(AssertionError, match="the journal mode is 'delete'"):
            crash_points(rollback_journal, 1)

    def test_a_database_that_was_closed_cannot_be_checked(self):
        async def closed(crash: Crash) -> None:
            node = crash.store("plant-a")
            await node.insist(partial(put, 0))
            await node.close()

        with pytest.raises(AssertionError, match="no database is open in the end on plant-a"):
            crash_points(closed, 1)

    def test_a_damaged_history_is_found(self):
        async def damaging(crash: Crash) -> None:
            node = crash.store("plant-a")
            for n in range(3):
                await node.insist(partial(put, n))
            node.running().committer._connection.execute("UPDATE batches SET chain=zeroblob(16) WHERE first=1")

        with pytest.raises(Exception, match="its chain hash does not match"):
            crash_points(damaging, 1)

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("DELETE FROM batches WHERE first=1", "its batches end at 1, its head says 3"),
            ("DELETE FROM batches WHERE first=2", "its batches end at 2, its head says 3"),
            ("DELETE FROM batches WHERE first=0", r"its records \[0, 1\) are missing"),
        ],
    )
    def test_a_history_with_a_hole_is_found(self, statement: str, message: str):
        async def main() -> None:
            node = SimStore()
            for n in range(3):
                await node.insist(partial(put, n))
            check_histories(node.running())
            node.running().committer._connection.execute(statement)
            with pytest.raises((AssertionError, StorageCorrupt), match=message):
                check_histories(node.running())

        run(main)


class TestSurroundings:
    def test_a_store_that_cannot_be_opened_though_the_power_is_on_says_so(self):
        async def main() -> None:
            node = SimStore()
            node.disk.write("VERSION", b"99\n")
            with pytest.raises(Exception, match="VERSION says '99'"):
                await node.insist(partial(put, 0))

        run(main)

    def test_what_a_start_cannot_mend_is_raised_where_the_workload_waits(self):
        async def spoiled(crash: Crash) -> None:
            tree = crash.tree()
            root = tree.add("cloud", "cloud", None)
            supervisor = crash.supervise(tree)
            await supervisor.until(supervisor.connected)
            root.kill()
            root.disk.power_on()
            root.disk.remove("identity/key.pem")
            await supervisor.until(supervisor.connected)

        with pytest.raises(Exception, match="the file is missing"):
            crash_points(spoiled, 1)

    def test_a_node_that_never_does_it_is_given_up_with_its_last_refusal(self):
        async def refused(crash: Crash) -> None:
            tree = crash.tree()
            root = tree.add("cloud", "cloud", None)
            crash.supervise(tree)

            async def refuse(hub: object) -> None:
                raise Unavailable("do", "it", "this is a test")

            await insist(root, refuse, limit_s=10)

        with pytest.raises(TimeoutError, match="cloud did not do it within 10 s: .*this is a test"):
            crash_points(refused, 1)
