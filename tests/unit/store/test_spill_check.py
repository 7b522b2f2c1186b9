"""The check of a store looks into its spill files, on real files, whatever key the store has."""

import asyncio
import contextlib
from pathlib import Path

import apsw
import pytest

from littoral.core.errors import LittoralError
from littoral.core.limits import Limits
from littoral.core.resources.model import SpillPlace as Document
from littoral.core.resources.model import Storage, StreamBudget
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.node.backup import rewrite
from littoral.security.store_key import StoreKey
from littoral.store.check import CheckReport, check_store
from littoral.store.database import open_untouched
from littoral.store.opening import open_store
from littoral.store.spill import spill_place
from littoral.store.spiller import Spiller
from littoral.store.writer import ThreadWriter
from tests.support.stores import append, name, records_of

A, FORK = name("plant-a/a"), name("plant-a/fork")
RECORDS = [b"%04d the plain text of a record" % n * 40 for n in range(60)]
KEYS = {"plain": None, "encrypted": StoreKey(bytes(range(32)))}


@contextlib.asynccontextmanager
async def opened(folder: Path, key: StoreKey | None):
    budget = StreamBudget(streams=["*"], bytes="4000", policy="spill")
    storage = Storage(streams=[budget], spill=Document(directory=str(folder / "slow"), bytes="16MiB"))
    limits = Limits()
    store = open_store(
        "plant-a",
        LocalDisk(folder / "data"),
        SystemClock(),
        SystemRandom(),
        limits,
        ThreadWriter(limits),
        key,
        storage,
        LocalDisk(folder / "slow", create=False),
    )
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=KEYS)
def key(request):
    return KEYS[request.param]


@pytest.fixture
def folder(tmp_path, key):
    async def main() -> None:
        async with opened(tmp_path, key) as store:
            for record in RECORDS:
                await store.submit(append(A, record))
            spiller = Spiller(store, asyncio.to_thread)
            while await spiller.spill(A, 3000):
                pass
            await store.submit(lambda tx: tx.fork_stream(FORK, A, 20, asked=""))

    asyncio.run(main())
    return tmp_path


def report_of(folder: Path, key: StoreKey | None, *, look: bool = True) -> CheckReport:
    storage = Storage(spill=Document(directory=str(folder / "slow"), bytes="16MiB"))
    place = spill_place("plant-a", storage, LocalDisk(folder / "slow", create=False), SystemRandom())
    with contextlib.closing(open_untouched(str(folder / "data" / "store.db"), key)) as connection:
        return check_store(connection, place=place if look else None)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "slow").rglob("*") if path.is_file() and path.name != "SPILL")


def test_a_sound_one(folder, key):
    report = report_of(folder, key)
    assert report.problems == []
    assert (report.spill_files, report.unread_files) == (len(files(folder)), 0)
    assert report.records == len(RECORDS)


def test_where_the_place_is_not_known_the_rest_is_checked(folder, key):
    report = report_of(folder, key, look=False)
    assert report.problems == []
    assert report.unread_files == report.spill_files > 0


@pytest.mark.parametrize("damage", ["changed", "missing", "unmounted"])
def test_what_is_wrong_is_found_and_named(folder, key, damage):
    path = files(folder)[0]
    if damage == "changed":
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
    elif damage == "missing":
        path.unlink()
    else:
        (folder / "slow").rename(folder / "away")
        (folder / "slow").mkdir()
    problems = report_of(folder, key).problems
    assert problems
    assert all(problem.subject == "plant-a/a" and problem.first is not None for problem in problems)
    words = {"changed": "not what was written", "missing": "it is missing", "unmounted": "it is not mounted"}
    assert words[damage] in problems[0].cause
    assert "Mount what" in problems[0].remedy or "Put the file back" in problems[0].remedy


def test_files_of_no_stream(folder, key):
    if key is not None:
        pytest.skip("the table is changed by hand")
    connection = apsw.Connection(str(folder / "data" / "store.db"))
    connection.execute("UPDATE spilled SET stream=77 WHERE number=(SELECT max(number) FROM spilled)")
    connection.close()
    causes = [problem.cause for problem in report_of(folder, key).problems]
    assert "there are spill files of stream 77, which is not there" in causes


def test_nothing_of_what_was_written_can_be_read_there_and_only_the_owner_may_try(folder):
    for path in files(folder):
        assert b"plain text" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("other", [None, StoreKey(b"another key of thirty-two bytes!")], ids=["none", "another"])
def test_the_store_may_be_given_another_key_or_none(folder, key, other):
    before = [path.read_bytes() for path in files(folder)]
    rewrite(folder / "data", key, other)
    assert [path.read_bytes() for path in files(folder)] == before

    async def main() -> None:
        async with opened(folder, other) as store:
            assert records_of(store, A) == RECORDS
            assert records_of(store, FORK) == RECORDS[:20]

    asyncio.run(main())


def test_a_place_that_may_not_be_written_is_said_to_be_so(folder, key):
    async def main() -> None:
        async with opened(folder, key) as store:
            (folder / "slow").rename(folder / "away")
            (folder / "slow").write_text("a file in the way")
            with pytest.raises(LittoralError, match="spill directory .*/slow: Not a directory"):
                await Spiller(store, asyncio.to_thread).spill(A, 0)

    asyncio.run(main())
