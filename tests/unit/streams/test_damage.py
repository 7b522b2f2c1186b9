"""Damage in the store is told to whoever reads or replicates what it hit, and nobody is given anything wrong for it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from littoral.core.errors import StorageCorrupt
from littoral.core.http import AnyResponse, Response
from littoral.core.limits import Limits
from littoral.store.batch import CHAIN_START, StoredBatch, make_batch
from littoral.store.store import Store
from littoral.streams.take_over import take_over
from littoral.testing.loop import run
from littoral.wire.durable_streams import format_offset
from tests.support.damage import change, tear
from tests.support.neighbours import CHILD, Neighbours
from tests.support.stores import name, records_of
from tests.support.stream_client import TEXT, StreamNode, play, tail

FLIPPED = "UPDATE batches SET payload=x'9131' WHERE first=1"
MISSING = "DELETE FROM batches WHERE first=1"
MISSING_AT_THE_END = "DELETE FROM batches WHERE first=2"
READS = ("", "&live=long-poll", "&live=sse")
S = name("plant-a/s")


async def written(node: StreamNode) -> None:
    await node("PUT", "s", headers=TEXT)
    for record in (b"one", b"two", b"three"):
        await node("POST", "s", record, TEXT)


def refused(answer: AnyResponse) -> dict[str, str]:
    assert isinstance(answer, Response)
    assert answer.status == 500
    problem = json.loads(answer.body)
    assert problem["kind"] == "StorageCorrupt"
    return dict(problem)


@pytest.mark.parametrize(
    ("damage", "offset", "cause"),
    [
        (FLIPPED, 1, "its checksum does not match"),
        (MISSING, 1, "its records [1, 2) are missing"),
        (MISSING_AT_THE_END, 2, "its records [2, 3) are missing"),
    ],
)
def test_a_reader_gets_what_is_sound_and_then_a_problem(tmp_path: Path, damage: str, offset: int, cause: str) -> None:
    async def story(node: StreamNode) -> None:
        await written(node)
        change(tmp_path / "store.db", damage)
        for read in READS:
            problem = refused(await node.any("GET", f"s?offset={format_offset(offset)}{read}"))
            assert problem["cause"] == cause
            assert problem["remedy"]
        first = await node.any("GET", "s")
        if damage == FLIPPED:
            assert refused(first)["subject"] == "plant-a/s [1, 2)"
        else:
            assert isinstance(first, Response)
            assert (first.status, first.body, tail(first)) == (200, b"onetwo"[: 3 * offset], offset)

    play(tmp_path, story)


def test_an_event_stream_that_comes_to_damage_ends_before_it(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        node.limits = Limits({"read-bytes": 4096})
        await written(node)
        chunks = await node.events(f"s?offset={format_offset(2)}&live=sse")
        assert b"three" in await anext(chunks)
        await node("POST", "s", b"four", TEXT)
        change(tmp_path / "store.db", "UPDATE batches SET payload=x'9131' WHERE first=3")
        with pytest.raises(StorageCorrupt):
            await asyncio.wait_for(anext(chunks), 20)

    play(tmp_path, story)


def test_a_page_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    play(tmp_path, written)
    tear(tmp_path / "store.db", "batches")

    async def story(node: StreamNode) -> None:
        for read in READS:
            assert "malformed" in refused(await node.any("GET", f"s?offset=-1{read}"))["cause"]

    play(tmp_path, story)


def test_a_hole_in_a_copy_is_stepped_over_and_nothing_is_served_twice(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        copy = name("cell-1/s")
        before = make_batch(copy, "l.1", 0, [b"0", b"1"], 1, CHAIN_START)
        after = make_batch(copy, "l.1", 5, [b"5", b"6"], 1, b"x" * 16)
        for batch in (before, after):
            stored = StoredBatch(batch, "text/plain", "telemetry", "root", batch.first)
            await node.store.submit(partial(take_over, [stored], "cell-1"))
        read = await node("GET", "/v1/streams/cell-1/s")
        assert (read.body, tail(read)) == (b"0156", 7)
        from_hole = await node("GET", f"/v1/streams/cell-1/s?offset={format_offset(3)}")
        assert (from_hole.body, tail(from_hole)) == (b"56", 7)

    play(tmp_path, story)


class TestReplication:
    def _play(self, story: Callable[[Neighbours], Awaitable[None]], seed: int) -> None:
        async def main() -> None:
            both = Neighbours(seed)
            await story(both)
            await both.stop()

        run(main, seed=seed)

    @pytest.mark.parametrize(
        ("damage", "reason"), [(FLIPPED, "corrupt at offset 1"), (MISSING, "its records [1, 2) are missing")]
    )
    def test_what_is_damaged_here_stays_here_and_other_streams_go_up(self, seed, damage, reason):
        async def story(both: Neighbours) -> None:
            for stream in (S, name(f"{CHILD}/well")):
                for record in (b"one", b"two", b"three"):
                    await both.append(both.child, stream, record)
            spoil(both.child, damage + " AND stream=1")
            both.start()
            await both.until(lambda: S in both.uplink.outbox.blocked)
            await both.until(lambda: len(both.at_parent(name(f"{CHILD}/well"))) == 3)
            assert reason in both.uplink.outbox.blocked[S].reason
            assert both.at_parent(S) == [b"one"]

        self._play(story, seed)

    def test_what_is_damaged_at_the_parent_is_not_taken_over_here(self, seed):
        async def story(both: Neighbours) -> None:
            down = name("cloud/down")
            both.family.followed.add(down)
            for record in (b"one", b"two", b"three"):
                await both.append(both.parent, down, record)
            spoil(both.parent, FLIPPED)
            both.start()
            await both.until(lambda: down in both.uplink.outbox.blocked)
            assert records_of(both.child, down) == [b"one"]

        self._play(story, seed)


def spoil(store: Store, statement: str) -> None:
    connection = store.committer._connection
    connection.execute(statement)
    assert connection.changes() == 1
