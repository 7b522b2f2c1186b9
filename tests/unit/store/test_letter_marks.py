"""Which letters are done with, in little room, and never of another stream."""

import random
from functools import partial

import msgspec
import pytest

from littoral.store.dead_letters import DeadLetter, append_dead_letters
from littoral.store.letter_marks import CHUNK, SCOPE, TALLY, Chunk, LetterMarks, mark, marks_in, prune
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore, name

DEAD = name("plant-a/dead-letters")


def info_of(store: Store) -> StreamInfo:
    info = store.stream(DEAD)
    assert info is not None
    return info


def marks_of(store: Store) -> LetterMarks:
    return LetterMarks(info_of(store), lambda key: store.state_value(SCOPE, key))


def put(*reasons: str):
    letters = [DeadLetter("n/s", reason, "", 7) for reason in reasons]
    return lambda tx: append_dead_letters(tx, letters)


def drop(info: StreamInfo, offset: int, tx: Transaction) -> bool:
    return mark(tx, info, offset, offset + 1, applied=False)


async def filled(count: int, **limits: int) -> Store:
    store = SimStore(**limits).open()
    for start in range(0, count, 1000):
        await store.submit(put(*(f"{n}" for n in range(start, min(count, start + 1000)))))
    return store


def test_what_was_done_is_found_and_what_is_open_is_counted(seed: int):
    async def main() -> None:
        count = CHUNK * 2 + 100
        store = await filled(count)
        info = info_of(store)
        chance = random.Random(seed)
        handled = {chance.randrange(count): chance.random() < 0.5 for _ in range(3000)}

        def job(tx: Transaction) -> None:
            for offset, applied in handled.items():
                assert mark(tx, info, offset, offset + 1, applied=applied)

        await store.submit(job)
        marks = marks_of(store)
        for offset in range(count):
            found = marks.find(offset)
            assert (found.is_applied if found is not None else None) == handled.get(offset)
        assert marks.open_count() == count - len(handled)
        at, still_open = 0, []
        while (at := marks.next_open(at, count)) < count:
            still_open.append(at)
            at += 1
        assert still_open == [offset for offset in range(count) if offset not in handled]

    run(main)


def test_a_letter_is_done_with_once():
    async def main() -> None:
        store = await filled(3)
        info = info_of(store)
        assert await store.submit(lambda tx: mark(tx, info, 1, 2, applied=True))
        assert not await store.submit(lambda tx: mark(tx, info, 1, 2, applied=False))
        found = marks_of(store).find(1)
        assert found is not None
        assert found.is_applied
        assert marks_of(store).open_count() == 2

    run(main)


@pytest.mark.parametrize("first", [5, CHUNK - 2])
def test_all_parts_of_a_letter_are_done_with_and_counted_once(first: int):
    async def main() -> None:
        store = await filled(CHUNK + 10)
        info = info_of(store)
        await store.submit(lambda tx: mark(tx, info, first + 1, first + 2, applied=False))
        assert await store.submit(lambda tx: mark(tx, info, first, first + 4, applied=True))
        assert marks_of(store).open_count() == CHUNK + 10 - 4
        assert marks_of(store).next_open(first, CHUNK + 10) == first + 4

    run(main)


def test_a_million_letters_dropped_one_by_one_take_a_quarter_of_a_megabyte():
    async def main() -> None:
        store = SimStore().open()
        info = await store.submit(lambda tx: tx.open_stream(DEAD))
        count = 1_000_000

        def job(tx: Transaction) -> int:
            # A bit for each of them; every second one is retried.
            for start in range(0, count, CHUNK):
                most = min(CHUNK, count - start)
                assert mark(tx, info, start, start + most, applied=False)
            for offset in range(1, 2 * CHUNK, 2):
                mark(tx, info, offset, offset + 1, applied=True)
            return marks_in(tx, info).tally.done

        assert await store.submit(job) == count
        kept = store.state(SCOPE)
        assert sum(len(key) + len(value) for key, value in kept.items()) < 256 * 1024

    run(main)


def test_what_retention_takes_of_the_stream_is_taken_of_the_marks():
    async def main() -> None:
        store = await filled(CHUNK * 3, batch_records=512)
        info = info_of(store)
        for offset in range(0, CHUNK * 3, 3):
            await store.submit(partial(drop, info, offset))
        await store.submit(lambda tx: tx.set_retention(DEAD, info.bytes // 3))
        while await store.submit(lambda tx: tx.retain(DEAD, 0, 4)):
            count = sum(marks_of(store).find(offset) is None for offset in range(info_of(store).first, CHUNK * 3))
            assert marks_of(store).open_count() == count
        first = info_of(store).first
        assert first > CHUNK
        before = len(store.state(SCOPE))
        while await store.submit(lambda tx: prune(tx, DEAD)):
            pass
        assert len(store.state(SCOPE)) < before
        assert marks_of(store).tally.lowest == first // CHUNK
        assert marks_of(store).open_count() == sum(offset % 3 != 0 for offset in range(first, CHUNK * 3))
        # And nothing is noted of what is gone.
        assert not await store.submit(lambda tx: mark(tx, info, 0, 1, applied=False))

    run(main)


def test_of_a_stream_that_was_deleted_and_made_anew_nothing_is_done_with():
    async def main() -> None:
        store = await filled(5)
        former = info_of(store)
        for offset in range(5):
            await store.submit(partial(drop, former, offset))

        def renew(tx: Transaction) -> None:
            tx.delete_stream(DEAD)
            put("new", "newer")(tx)

        await store.submit(renew)
        marks = marks_of(store)
        assert marks.open_count() == 2
        assert marks.find(0) is None
        assert not await store.submit(lambda tx: mark(tx, former, 0, 1, applied=False)), "it is another letter"
        assert await store.submit(lambda tx: mark(tx, info_of(store), 1, 2, applied=False))
        assert marks_of(store).open_count() == 1
        assert marks_of(store).find(4) is None
        # Deleted for good, nothing is left.
        await store.submit(lambda tx: tx.delete_stream(DEAD))
        await store.submit(lambda tx: prune(tx, DEAD))
        assert store.state(SCOPE) == {}

    run(main)


def test_the_first_version_of_the_values_can_be_read():
    chunk = msgspec.msgpack.decode(msgspec.msgpack.encode([b"\x05", b"\x01", 7]), type=Chunk)
    assert (chunk.bits, chunk.at_ms) == (5, 7)
    assert TALLY == "tally"
