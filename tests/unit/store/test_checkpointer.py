"""The write-ahead log is moved beside the writer, stays small while commits go on, and loses nothing."""

import asyncio
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop

from littoral.store.checkpointer import CHECKPOINT_PAGES, MOST_PAGES
from littoral.store.store import Store
from littoral.store.stream_writes import FREE_PAGES
from littoral.store.transaction import Transaction
from littoral.testing.random import SeededRandom
from tests.support.stores import local_store, name, records_of

STREAM = name("plant-a/s")
RECORD = SeededRandom(1).token_bytes(64 << 10)
"""That is not made smaller by compression."""
RECORDS = 6 * CHECKPOINT_PAGES * 4096 // len(RECORD)
"""So many that the log is moved several times."""


def append(tx: Transaction) -> None:
    tx.open_stream(STREAM)
    tx.append(STREAM, [RECORD])


async def fill(store: Store) -> list[int]:
    """How many pages the log had after each commit."""
    assert store.checkpointer is not None
    pages = []
    for _ in range(RECORDS):
        await store.submit(append)
        pages.append(store.checkpointer.pages)
    return pages


@pytest.mark.parametrize("beside", [True, False])
def test_it_is_begun_anew_again_and_again(tmp_path: Path, beside: bool):
    async def main() -> None:
        threads: list[str] = []

        async def offload(work):
            threads.append("used")
            return await asyncio.to_thread(work)

        async with local_store(tmp_path) as store:
            assert store.checkpointer is not None
            running = asyncio.ensure_future(store.checkpointer.run(offload)) if beside else None
            pages = await fill(store)
            # A disk that is slow just now lets it grow by more than once as much, but not for ever.
            assert CHECKPOINT_PAGES <= max(pages) < (MOST_PAGES if beside else 2 * CHECKPOINT_PAGES)
            assert any(after < before for before, after in pairwise(pages))
            assert bool(threads) == beside
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            await fill(store)
        assert not (tmp_path / "store.db-wal").exists()
        async with local_store(tmp_path) as store:
            assert records_of(store, STREAM) == [RECORD] * 2 * RECORDS

    uvloop.run(main())


def test_a_store_may_be_closed_while_its_log_is_moved(tmp_path: Path):
    async def main() -> None:
        begun = asyncio.Event()
        moving: list[asyncio.Future[None]] = []

        async def offload(work):
            moving.append(asyncio.ensure_future(asyncio.to_thread(work)))
            begun.set()
            await asyncio.shield(moving[-1])

        async with local_store(tmp_path) as store:
            assert store.checkpointer is not None
            running = asyncio.ensure_future(store.checkpointer.run(offload))
            while not begun.is_set():
                await store.submit(append)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await asyncio.gather(*moving)
        async with local_store(tmp_path) as store:
            assert records_of(store, STREAM)

    uvloop.run(main())


def test_free_pages_go_back_to_the_file_system_where_they_are_many(tmp_path: Path):
    async def main() -> None:
        file = tmp_path / "store.db"
        async with local_store(tmp_path):
            pass
        empty = file.stat().st_size
        async with local_store(tmp_path) as store:
            await fill(store)
        large = file.stat().st_size
        async with local_store(tmp_path) as store:
            await store.submit(partial(Transaction.delete_stream, name=STREAM))
            assert await store.submit(lambda tx: tx.give_back(64)) == 0, "nothing is free yet"
            while await store.submit(lambda tx: tx.purge(64)):
                pass
            given = [await store.submit(lambda tx: tx.give_back(64))]
            assert given == [64]
            while count := await store.submit(lambda tx: tx.give_back(64)):
                given.append(count)
        assert sum(given) > CHECKPOINT_PAGES
        assert file.stat().st_size < empty + FREE_PAGES * 4096 < large, "what is left is kept for what comes"

    uvloop.run(main())
