"""Retention: streams stay within their bytes and age, and a disk that refuses is tried again."""

import asyncio

from littoral.core.lanes import Lane
from littoral.store.batch import PIECE_BYTES
from littoral.store.retention import BATCHES_AT_ONCE, BY_AGE_EVERY_S
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.random import SeededRandom
from tests.support.retention import Retained, run_story
from tests.support.stores import SimStore, append, name, records_of

A = name("plant-a/a")


def play(story, **limits: int) -> None:
    run_story(story, lambda: Retained(None, **limits))


def test_a_stream_is_kept_within_its_bytes():
    async def story(running: Retained) -> None:
        for n in range(200):
            await running.append(A, b"%08d" % n, retention_bytes=100)
        assert len(records_of(running.store, A)) > 100
        await asyncio.sleep(5)
        info = running.store.stream(A)
        assert info is not None
        assert 0 < info.bytes <= 100
        assert records_of(running.store, A)[-1] == b"00000199"
        assert running.retention.dropped_batches == info.first > BATCHES_AT_ONCE

    play(story)


def test_what_is_deleted_at_once_is_little_in_bytes_too():
    async def main() -> None:
        store = SimStore(stream_bytes=4 * PIECE_BYTES).open()
        batch = SeededRandom(1).token_bytes(200 << 10)
        for _ in range(70):
            await store.submit(append(A, batch))
        counts = []
        while count := await store.submit(lambda tx: tx.retain(A, 0, BATCHES_AT_ONCE)):
            counts.append(count)
        info = store.stream(A)
        assert info is not None
        assert info.bytes <= 4 * PIECE_BYTES
        assert len(counts) > 1
        assert max(counts) == PIECE_BYTES // len(batch)
        await store.submit(lambda tx: tx.delete_stream(A))
        assert await store.submit(lambda tx: tx.purge(BATCHES_AT_ONCE)) == PIECE_BYTES // len(batch)

    run(main)


def test_what_forks_keep_of_deleted_streams_counts():
    async def story(running: Retained) -> None:
        source, fork = name("plant-a/source"), name("plant-a/fork")

        def keep(tx: Transaction) -> None:
            tx.open_stream(source)
            tx.append(source, [SeededRandom(1).token_bytes(600)])
            tx.fork_stream(fork, source, 1, asked="")
            tx.delete_stream(source)

        # Not compressed: they are too small.
        for n in range(20):
            await running.append(A, b"%030d" % n)
        await asyncio.sleep(5)
        before = running.store.stream(A)
        await running.store.submit(keep)
        await asyncio.sleep(BY_AGE_EVERY_S * 2)
        await running.append(A, b"one more")
        await asyncio.sleep(5)
        after = running.store.stream(A)
        assert before is not None
        assert after is not None
        assert before.first == 0
        assert after.bytes + running.store.deleted_bytes() <= 1000

    play(story, store_bytes=1000)


def test_it_begins_soon_after_a_stream_has_outgrown_its_bytes():
    async def story(running: Retained) -> None:
        for n in range(20):
            await running.append(A, b"%08d" % n, retention_bytes=300)
        await asyncio.sleep(BY_AGE_EVERY_S * 1.5)
        for n in range(20):
            await running.append(A, b"%08d" % n, retention_bytes=300)
        await asyncio.sleep(2)
        info = running.store.stream(A)
        assert info is not None
        assert 0 < info.bytes <= 300

    play(story)


def test_the_default_comes_from_the_limits():
    async def story(running: Retained) -> None:
        for n in range(20):
            await running.append(A, b"%08d" % n)
        await asyncio.sleep(3)
        info = running.store.stream(A)
        assert info is not None
        assert info.bytes <= 50

    play(story, stream_bytes=50)


def test_a_stream_is_kept_within_its_age():
    async def story(running: Retained) -> None:
        await running.append(A, b"old", retention_ms=60_000)
        await asyncio.sleep(50)
        await running.append(A, b"young")
        assert records_of(running.store, A) == [b"old", b"young"]
        await asyncio.sleep(10 + BY_AGE_EVERY_S + 2)
        assert records_of(running.store, A) == [b"young"]
        await asyncio.sleep(100)
        info = running.store.stream(A)
        assert info is not None
        assert (info.first, info.next, info.bytes) == (2, 2, 0)

    play(story)


def test_a_disk_that_refuses_even_that_is_reported_and_tried_again():
    async def story(running: Retained) -> None:
        for n in range(20):
            await running.append(A, b"%08d" % n, retention_bytes=50)
        running.sim.disk.read_only = True
        await asyncio.sleep(3)
        assert "the file system does not take writes" in running.warnings[0]
        assert len(records_of(running.store, A)) == 20
        running.sim.disk.read_only = False
        await asyncio.sleep(2)
        assert len(records_of(running.store, A)) < 10

    play(story)


async def put_into(running: Retained, stream: str, lane: Lane, count: int) -> None:
    for n in range(count):
        await running.append(name(f"plant-a/{stream}"), b"%08d" % n, lane=lane)


def test_all_streams_together_are_kept_within_their_bytes_and_the_least_urgent_pay():
    async def story(running: Retained) -> None:
        lanes: dict[str, Lane] = {"alerts": "alerts", "kv": "state", "windows": "telemetry", "video": "bulk"}
        for stream, lane in lanes.items():
            await put_into(running, stream, lane, 60)
        whole = running.store.streams()[0].bytes
        await asyncio.sleep(5)
        sizes = {info.name.path: info.bytes for info in running.store.streams()}
        assert sizes == {"alerts": whole, "kv": whole, "windows": whole, "video": whole}
        await put_into(running, "video", "bulk", 400)
        await put_into(running, "windows", "telemetry", 100)
        await asyncio.sleep(5)
        sizes = {info.name.path: info.bytes for info in running.store.streams()}
        assert (sizes["alerts"], sizes["kv"]) == (whole, whole)
        assert sizes["windows"] > whole
        assert 0 < sizes["video"] < 4000
        assert sum(sizes.values()) <= 4000
        await put_into(running, "windows", "telemetry", 600)
        await asyncio.sleep(5)
        sizes = {info.name.path: info.bytes for info in running.store.streams()}
        assert sizes["video"] == 0
        assert sum(sizes.values()) <= 4000
        assert records_of(running.store, name("plant-a/windows"))[-1] == b"00000599", "the newest stay"
        assert running.sim.limits.reached["store-bytes"] > 0
        assert running.warnings == []

    play(story, store_bytes=4000)


def test_where_nothing_may_be_dropped_nothing_is():
    async def story(running: Retained) -> None:
        await put_into(running, "alerts", "alerts", 100)
        await asyncio.sleep(5)
        assert len(records_of(running.store, name("plant-a/alerts"))) == 100
        assert running.warnings == []

    play(story, store_bytes=500)
