"""Tests for Transaction.release: records at a stream's beginning that nobody needs any more."""

import pytest

from littoral.core.errors import NotFound
from littoral.testing.loop import run
from littoral.testing.store import check_histories
from tests.support.stores import SimStore, append, name, records_of

STREAM = name("plant-a/queues/work")


def test_whole_batches_go_and_what_is_needed_stays() -> None:
    async def scenario() -> None:
        sim = SimStore()
        store = sim.open()
        for number in range(6):
            await store.submit(append(STREAM, b"%d-a" % number, b"%d-b" % number, lane="state"))
        assert await store.submit(lambda tx: tx.release(STREAM, 5, 64)) is False
        assert records_of(store, STREAM)[0] == b"2-a"
        info = store.stream(STREAM)
        assert info is not None
        assert (info.first, info.next) == (4, 12)
        check_histories(store)
        assert await store.submit(lambda tx: tx.release(STREAM, 5, 64)) is False
        await sim.close()

    run(scenario)


def test_much_goes_in_pieces_up_to_the_end() -> None:
    async def scenario() -> None:
        sim = SimStore()
        store = sim.open()
        for number in range(5):
            await store.submit(append(STREAM, b"%d" % number))
        assert await store.submit(lambda tx: tx.release(STREAM, 5, 2)) is True
        assert records_of(store, STREAM) == [b"2", b"3", b"4"]
        assert await store.submit(lambda tx: tx.release(STREAM, 5, 3)) is True
        assert await store.submit(lambda tx: tx.release(STREAM, 5, 3)) is False
        info = store.stream(STREAM)
        assert info is not None
        assert (info.first, info.next, info.bytes) == (5, 5, 0)
        await store.submit(append(STREAM, b"5"))
        sim.cut_power()
        assert records_of(sim.open(), STREAM) == [b"5"]
        check_histories(sim.running())
        await sim.close()

    run(scenario)


def test_a_stream_that_is_not_there_is_said() -> None:
    async def scenario() -> None:
        sim = SimStore()
        with pytest.raises(NotFound):
            await sim.open().submit(lambda tx: tx.release(STREAM, 5, 2))
        await sim.close()

    run(scenario)
