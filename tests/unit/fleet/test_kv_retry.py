"""Refused key-value writes, retried at the node that refused them."""

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from littoral.core.errors import InvalidInput
from littoral.core.hlc import FUTURE_SKEW_MS, hlc_at
from littoral.core.kv import KvEntry
from littoral.core.resources import Namespace
from littoral.core.resources.namespace import NamespaceSpec
from littoral.core.resources.part import Metadata
from littoral.fleet.desired import DESIRED, encode_record, record_of
from littoral.fleet.kv_fold import APPLIED, OUTDONE, KvFold
from littoral.store.kv import kv_stream
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.wire.peer import Member
from tests.support.stores import SimStore, name, records_of

LINES = Namespace(api_version="littoral/v1", metadata=Metadata(name="lines"), spec=NamespaceSpec())
BELOW, ABOVE = name("plant-a/kv/lines"), name("cloud/kv/lines")
ANEW = "written anew by eu"


class Region:
    """`eu`, whose child plant-a wrote in `lines` before a deletion of every key was forgotten."""

    def __init__(self) -> None:
        self.sim = SimStore("eu")
        self.store: Store = self.sim.open()
        self.fold = KvFold("eu", "cloud")
        self.past = hlc_at(self.sim.clock.wall_ms())
        """The horizon is 100 later."""

    async def begin(self) -> None:
        await self.store.submit(know)
        await self.store.submit(lambda tx: tx.kv_raise_horizon("lines", self.past + 100))

    async def refuse(self, entry: KvEntry) -> bytes:
        """Have the fold put it aside; returns the record of the letter."""
        record = msgspec.msgpack.encode(entry)
        before = self.fold.refused_entries
        await self.store.submit(lambda tx: self.fold.apply(tx, BELOW, 0, [record]))
        assert self.fold.refused_entries == before + 1
        return record

    async def retry(self, record: bytes) -> str:
        return await self.store.submit(partial(self.fold.retry_write, namespace="lines", record=record))

    def value(self, key: str = "k") -> bytes | None:
        entry = self.store.kv_get("lines", key)
        return entry.value if entry is not None else None

    def said(self) -> list[KvEntry]:
        """What the node's stream says of writes, in order."""
        return [
            msgspec.msgpack.decode(record, type=KvEntry) for record in records_of(self.store, kv_stream("eu", "lines"))
        ]


def know(tx: Transaction) -> None:
    """A direct child, and a namespace that is desired."""
    tx.put_state("subtree", "plant-a", b"plant-a")
    tx.put_state("members", "plant-a", msgspec.msgpack.encode([Member("plant-a", "site", {})]))
    record = record_of(LINES, None)
    tx.put_state(DESIRED, record.key, encode_record(record))


def play(story: Callable[[Region], Awaitable[None]]) -> None:
    async def main() -> None:
        region = Region()
        await region.begin()
        await story(region)

    run(main)


def test_a_late_write_is_written_anew_over_what_stands_in_for_the_deletion_that_was_forgotten():
    async def story(region: Region) -> None:
        record = await region.refuse(KvEntry("k", b"late", region.past, "plant-a"))
        assert region.store.kv_get("lines", "k") == KvEntry("k", None, region.past + 1, "")
        assert await region.retry(record) == ANEW
        assert region.value() == b"late"
        *_, last = region.said()
        assert (last.key, last.value, last.node) == ("k", b"late", "eu")
        assert last.hlc > region.past + 100, "newer than all that may have been forgotten"
        assert await region.retry(record) == OUTDONE, "it is no later than itself"

    play(story)


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
def test_of_two_late_writes_of_a_key_the_later_wins_in_any_order(order: tuple[int, int], forgotten: bool):
    async def story(region: Region) -> None:
        entries = [KvEntry("k", b"%d" % n, region.past + 10 * n, "plant-a") for n in (0, 1)]
        records = [await region.refuse(entry) for entry in entries]
        if forgotten:
            await region.store.submit(lambda tx: tx.kv_forget("lines", region.past + 100, 10))
        assert region.value() is None
        outcomes = [await region.retry(records[which]) for which in order]
        assert ANEW in outcomes
        assert region.value() == b"1"

    play(story)


def test_what_was_written_or_deleted_since_wins_over_a_retry():
    async def story(region: Region) -> None:
        records = [await region.refuse(KvEntry(key, b"late", region.past, "plant-a")) for key in ("a", "b")]
        await region.store.submit(lambda tx: tx.kv_put("lines", "a", b"since"))
        await region.store.submit(lambda tx: tx.kv_put("lines", "b", None))
        before = region.said()
        assert [await region.retry(record) for record in records] == [OUTDONE, OUTDONE]
        assert (region.value("a"), region.value("b")) == (b"since", None)
        living = [entry for entry in region.said()[len(before) :] if entry.value is not None]
        assert living == []

    play(story)


def test_what_was_written_by_somebody_after_a_retry_wins_over_the_next_one():
    async def story(region: Region) -> None:
        earlier = await region.refuse(KvEntry("k", b"0", region.past, "plant-a"))
        later = await region.refuse(KvEntry("k", b"1", region.past + 10, "plant-a"))
        await region.store.submit(lambda tx: tx.kv_forget("lines", region.past + 100, 10))
        assert await region.retry(earlier) == ANEW
        await region.store.submit(lambda tx: tx.kv_put("lines", "k", b"since"))
        assert await region.retry(later) == OUTDONE
        assert region.value() == b"since"

    play(story)


def test_a_write_from_above_is_applied_as_the_parents_and_not_published_upwards():
    async def story(region: Region) -> None:
        ahead = KvEntry("k", b"ahead", hlc_at(region.sim.clock.wall_ms() + FUTURE_SKEW_MS + 1000), "cloud")
        record = msgspec.msgpack.encode(ahead)
        with pytest.raises(InvalidInput, match="ahead of this node's clock"):
            await region.store.submit(lambda tx: region.fold.retry(tx, ABOVE, record))
        region.sim.clock.step(2000)
        assert await region.store.submit(lambda tx: region.fold.retry(tx, ABOVE, record)) == APPLIED
        assert region.value() == b"ahead"
        assert region.said() == []
        assert await region.store.submit(lambda tx: region.fold.retry(tx, ABOVE, record)) == OUTDONE

    play(story)


def test_what_a_former_parent_sent_last_is_applied_and_said_to_the_present_one():
    async def story(region: Region) -> None:
        entries = [KvEntry(f"k{n}", b"%d" % n, region.past + 200 + n, "us") for n in range(2)]
        first, second = (msgspec.msgpack.encode(entry) for entry in entries)
        await region.store.submit(lambda tx: region.fold.apply(tx, name("us/kv/lines"), 0, [first]))
        assert await region.store.submit(lambda tx: region.fold.retry(tx, name("us/kv/lines"), second)) == APPLIED
        assert (region.value("k0"), region.value("k1")) == (b"0", b"1")
        assert region.said() == entries

    play(story)


def test_what_is_no_write_or_of_no_namespace_is_refused():
    async def story(region: Region) -> None:
        with pytest.raises(InvalidInput, match="it is no key-value entry"):
            await region.retry(b"\xc1")
        with pytest.raises(InvalidInput, match="it is no stream of key-value writes"):
            await region.store.submit(lambda tx: region.fold.retry(tx, name("plant-a/windows"), b""))
        with pytest.raises(InvalidInput, match="there is no such Namespace"):
            await region.store.submit(lambda tx: region.fold.retry_write(tx, "nowhere", b""))

    play(story)
