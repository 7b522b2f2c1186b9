"""What could not be applied is kept whole, and never in the way."""

import asyncio
import base64
from collections.abc import Sequence

import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.names import StreamName
from littoral.core.tasks import Tasks
from littoral.store.dead_letters import PART_BYTES, DeadLetter, append_dead_letters, dead_letters
from littoral.store.folder import Folder
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore, name, records_of

DEAD = name("plant-a/dead-letters")


def kept(store: Store) -> list[DeadLetter]:
    return [msgspec.json.decode(record, type=DeadLetter) for record in records_of(store, DEAD)]


def test_a_record_is_kept_whole_however_large_it_is():
    async def main() -> None:
        store = SimStore().open()
        letters = dead_letters("n/s@1", "why", b"\xff" * 100, 7)
        letters += dead_letters("n/s@2", "why", bytes(range(256)) * 4096, 7)
        await store.submit(lambda tx: append_dead_letters(tx, letters))
        small, *large = kept(store)
        assert base64.b64decode(small.record) == b"\xff" * 100
        assert b"".join(base64.b64decode(each.record) for each in large) == bytes(range(256)) * 4096
        assert [(each.part, each.parts) for each in large] == [(1, 3), (2, 3), (3, 3)]
        assert len(large[0].record) <= PART_BYTES * 4 // 3

    run(main)


class Refuses:
    """A fold that can apply nothing."""

    name = "refuses"

    def wants(self, info: StreamInfo) -> bool:
        return info.name.path == "poison"

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        raise InvalidInput("apply", str(source), "never")


def test_what_a_fold_refuses_can_be_tried_again():
    async def main() -> None:
        store = SimStore().open()
        record = bytes(range(200))

        def put(tx: Transaction) -> None:
            tx.open_stream(name("plant-a/poison"))
            tx.append(name("plant-a/poison"), [record])

        await store.submit(put)
        sim = SimStore()
        tasks = Tasks(lambda error: None)
        tasks.start(Folder(store, Refuses(), sim.limits, sim.clock.wall_ms).run(), "fold")
        async with asyncio.timeout(60):
            while not kept(store):
                await asyncio.sleep(0.01)
        await tasks.stop()
        (letter,) = kept(store)
        assert (letter.source, base64.b64decode(letter.record)) == ("plant-a/poison@0", record)

    run(main)


def test_what_is_too_large_for_a_record_of_this_node_is_shortened():
    async def main() -> None:
        sim = SimStore(record_bytes=512)
        store = sim.open()
        letters = dead_letters("n/s@1", "first", b"x" * 5000, 7) + dead_letters("n/s@2", "second", b"y", 7)
        await store.submit(lambda tx: append_dead_letters(tx, letters))
        assert [(each.reason, bool(each.record)) for each in kept(store)] == [("first", False), ("second", True)]

    run(main)


def test_a_node_with_as_many_streams_as_it_may_have_goes_on_without():
    async def main() -> None:
        sim = SimStore(streams=1)
        store = sim.open()
        await store.submit(lambda tx: tx.open_stream(name("plant-a/other")))
        await store.submit(lambda tx: append_dead_letters(tx, dead_letters("n/s@1", "why", b"x", 7)))
        assert store.stream(DEAD) is None
        assert sim.limits.reached["streams"] == 1

    run(main)
