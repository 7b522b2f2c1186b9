"""Pages of open letters, and letters whole."""

import json
from functools import partial

import msgspec
import pytest

from littoral.core.errors import Gone, NotFound
from littoral.store.dead_letters import PART_BYTES, DeadLetter, append_dead_letters, dead_letters
from littoral.store.letter_marks import mark
from littoral.store.letter_reader import LetterReader
from littoral.store.store import Store
from littoral.testing.loop import run
from tests.support.stores import SimStore, append, name

DEAD = name("plant-a/dead-letters")
LARGE = bytes(range(256)) * (PART_BYTES // 256 * 2 + 3)


async def put(store: Store, *letters: DeadLetter) -> None:
    await store.submit(lambda tx: append_dead_letters(tx, letters))


async def put_raw(store: Store, *records: bytes) -> None:
    await store.submit(append(DEAD, *records))


def test_pages_hold_what_is_open_and_lead_to_the_end():
    async def main() -> None:
        sim = SimStore(read_bytes=2000)
        store = sim.open()
        for n in range(60):
            await put(store, *dead_letters("n/s", f"why {n}", bytes(range(n)), 7))
        info = store.stream(DEAD)
        assert info is not None
        for offset in range(0, 60, 2):
            await store.submit(partial(mark, info=info, first=offset, following=offset + 1, applied=False))
        reader = LetterReader(store, sim.limits)
        found, at, pages = [], 0, 0
        while at < info.next:
            page = reader.page(at, info.next, 7)
            assert len(page.letters) <= 7
            assert page.next > at
            found += page.letters
            at, pages = page.next, pages + 1
        assert [letter.offset for letter in found] == list(range(1, 60, 2))
        assert [letter.said.reason for letter in found] == [f"why {n}" for n in range(1, 60, 2)]
        assert pages > 4
        assert reader.page(0, 10, 100).next == 10
        assert [letter.offset for letter in reader.page(4, 10, 100).letters] == [5, 7, 9]

    run(main)


def test_a_large_record_is_one_letter():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await put(store, *dead_letters("n/s@1", "first", b"a", 7, "fold/x"))
        await put(store, *dead_letters("n/s@2", "second", LARGE, 7, "fold/x"), *dead_letters("n/s@3", "third", b"", 7))
        reader = LetterReader(store, sim.limits)
        assert [(each.offset, each.said.size) for each in reader.page(0, 99, 99).letters] == [
            (0, 1),
            (1, len(LARGE)),
            (4, 0),
        ]
        assert reader.open_count() == 3
        letter = reader.whole(1)
        assert (letter.next, letter.record, letter.said.by) == (4, LARGE, "fold/x")
        assert (reader.whole(4).next, reader.whole(4).record) == (5, b"")
        with pytest.raises(NotFound, match="dead letter 3: it is part 3 of the letter at offset 1. Name that one"):
            reader.whole(3)

    run(main)


def test_letters_of_a_version_that_knew_no_marks_are_read():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        old = {"source": "n/s@1", "reason": "why", "head": "x", "at_ms": 7}
        parts = [old | {"record": text, "part": part, "parts": 2} for part, text in ((1, "YWI="), (2, "Yw=="))]
        await put_raw(store, *(json.dumps(each).encode() for each in (old, *parts, old | {"record": "YQ=="})))
        reader = LetterReader(store, sim.limits)
        page = reader.page(0, 99, 99)
        assert [letter.offset for letter in page.letters] == [0, 1, 3]
        assert [part.offset for part in page.parts] == [2]
        assert (reader.whole(1).record, reader.whole(1).next, reader.whole(1).said.by) == (b"abc", 3, "")
        assert reader.whole(0).record is None
        assert reader.whole(3).record == b"a"

    run(main)


def test_what_is_no_letter_is_one_that_says_so():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        await put_raw(store, b'{"source": 1}', b"\xff", b'{"source":"s","reason":"r","head":"","at_ms":1,"record":"!"}')
        reader = LetterReader(store, sim.limits)
        assert [letter.is_readable for letter in reader.page(0, 99, 99).letters] == [False, False, True]
        assert "the letter itself cannot be read" in reader.whole(0).said.reason
        assert (reader.whole(1).next, reader.whole(1).record, reader.whole(2).record) == (2, None, None)

    run(main)


def test_what_was_too_large_to_be_kept_is_a_letter_without_a_record():
    async def main() -> None:
        sim = SimStore(record_bytes=512)
        store = sim.open()
        await put(store, *dead_letters("n/s@1", "first", LARGE, 7, "fold/kv"))
        reader = LetterReader(store, sim.limits)
        assert reader.open_count() == 1
        letter = reader.whole(0)
        assert (letter.record, letter.said.size, letter.said.by) == (None, len(LARGE), "fold/kv")

    run(main)


def test_a_letter_that_is_none_or_gone_is_said_to_be():
    async def main() -> None:
        sim = SimStore(batch_records=2)
        store = sim.open()
        reader = LetterReader(store, sim.limits)
        assert (reader.open_count(), reader.page(0, 99, 9).letters) == (0, [])
        with pytest.raises(NotFound, match="the letters of plant-a end before offset 0"):
            reader.whole(0)
        for n in range(6):
            await put(store, *dead_letters("n/s@1", f"{n}", b"x", 7))
        with pytest.raises(NotFound, match="end before offset 6. `littoral dlq list`"):
            reader.whole(6)
        await store.submit(lambda tx: tx.set_retention(DEAD, 1))
        await store.submit(lambda tx: tx.retain(DEAD, 0, 3))
        with pytest.raises(Gone, match="cannot find dead letter 2: retention has taken all before offset 3"):
            reader.whole(2)
        assert reader.open_count() == 3
        assert [letter.offset for letter in reader.page(0, 99, 9).letters] == [3, 4, 5]

    run(main)


def test_new_letters_are_read_by_their_names():
    """A node of a former version, asked through the stream, finds the members it knows."""
    (letter,) = dead_letters("n/s@1", "why", b"x", 7, "fold/kv")
    known = {"source": "n/s@1", "reason": "why", "head": "x", "at_ms": 7, "record": "eA==", "part": 1, "parts": 1}
    assert known.items() <= json.loads(msgspec.json.encode(letter)).items()
