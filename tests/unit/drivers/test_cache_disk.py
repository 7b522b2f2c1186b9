import asyncio
import contextlib
import inspect
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import apsw
import pytest

from littoral.core.resources.web import CacheKey, QueryKey
from littoral.gateway.cache.purge import Purge
from littoral.gateway.target import read_target
from tests.support.disk_cache import MEMORY_BODY_BYTES, DiskEdge, PurgeStream, hit, page, play, running, streamed
from tests.support.exchanges import MemoryAnswer, MemoryExchange

SMALL, MIDDLE, LARGE = 100, 50_000, 400_000
"""In the index; in a file, and in memory when it is given; in a file only."""
BODIES = {size: os.urandom(size) for size in (SMALL, MIDDLE, LARGE)}


def answer(size: int) -> MemoryAnswer:
    body = BODIES[size]
    return page(body) if size <= MEMORY_BODY_BYTES else pieces_of(body)


def pieces_of(body: bytes, size: int = 30_000) -> MemoryAnswer:
    return streamed([body[at : at + size] for at in range(0, len(body), size)], len(body))


@pytest.mark.parametrize("size", BODIES)
def test_what_was_stored_is_given_by_the_next_process(tmp_path: Path, size: int) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, answer(size)), stream) as first:
            assert (await first.ask()).sent == BODIES[size]
            assert hit(await first.ask())
        async with running(DiskEdge(tmp_path, page(b"another")), stream) as second:
            again = await second.ask()
            assert (again.sent, hit(again), second.asked) == (BODIES[size], True, 0)
            assert hit(await second.ask())
            assert second.memory.count == 1

    play(scenario)


@pytest.mark.parametrize("size", BODIES)
def test_what_one_process_stored_another_one_gives(tmp_path: Path, size: int) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with (
            running(DiskEdge(tmp_path, answer(size)), stream) as one,
            running(DiskEdge(tmp_path), stream) as other,
        ):
            await one.ask()
            assert (await other.ask()).sent == BODIES[size]

    play(scenario)


def test_variants_are_told_apart(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        vary = ("vary", "accept-language")
        async with running(DiskEdge(tmp_path, page(b"hello", vary), page(b"hallo", vary)), stream) as first:
            await first.ask(accept_language="en")
            await first.ask(accept_language="de")
        async with running(DiskEdge(tmp_path, page(b"salut", vary)), stream) as second:
            assert [(await second.ask(accept_language=each)).sent for each in ("en", "de", "fr")] == [
                b"hello",
                b"hallo",
                b"salut",
            ]
            assert second.asked == 1

    play(scenario)


def test_of_a_large_body_parts_are_given_and_its_head_and_that_it_has_not_changed(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, answer(LARGE)), stream) as edge:
            await edge.ask()
            part = await edge.ask(range="bytes=199990-200009")
            assert (part.status, part.sent) == (206, BODIES[LARGE][199_990:200_010])
            assert part.said["content-range"] == f"bytes 199990-200009/{LARGE}"
            beyond = await edge.ask(range=f"bytes={LARGE}-")
            assert (beyond.status, beyond.sent) == (416, b"")
            head = await edge.ask(method="HEAD")
            assert (head.status, head.sent, head.said["content-length"]) == (200, b"", str(LARGE))
            same = await edge.ask(if_none_match='"1"')
            assert (same.status, same.sent, edge.asked) == (304, b"", 1)

    play(scenario)


def test_what_the_origin_confirms_is_fresh_for_the_next_process_too(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        for size, body in BODIES.items():
            root = tmp_path / str(size)
            first_answer = answer(size)
            first_answer.fields = [("cache-control", "max-age=60"), ("etag", '"1"')]
            still = MemoryAnswer(304, [("etag", '"1"'), ("cache-control", "max-age=600")], b"")
            async with running(DiskEdge(root, first_answer, still), stream) as first:
                await first.ask()
                first.clock.advance(seconds=61)
                assert (await first.ask()).sent == body
                stored = first.meter.stored
            async with running(DiskEdge(root), stream) as second:
                second.clock.advance(seconds=300)
                assert (await second.ask()).sent == body
            assert stored == 2
            assert len(files(root)) == (size > SMALL)  # The body was not written once more.

    play(scenario)


def files(root: Path) -> list[str]:
    return [path.name for path in root.glob("objects/*/*")]


def test_what_an_unsafe_method_changed_is_not_given_from_the_disk_either(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"1"), page(b"done"), page(b"2")), stream) as edge:
            await edge.ask()
            posted = MemoryExchange("POST", "/a", pieces=[b"x"])
            given = edge.calls.serve(posted, read_target("/a"), "r")
            assert inspect.isawaitable(given)
            await given
            # At once: what is to be forgotten may not be so yet.
            assert (await edge.ask()).sent == b"2"

    play(scenario)


@pytest.mark.parametrize(
    "purge",
    [
        Purge("url", "http://edge.test/a?utm_source=mail"),
        Purge("tag", "fruit"),
        Purge("prefix", "edge.test/"),
        Purge("all"),
        Purge("all", soft=True),
        Purge("tag", "fruit", soft=True),
    ],
    ids=lambda purge: f"{purge.kind}{'-soft' if purge.soft else ''}",
)
def test_what_was_purged_no_process_gives(tmp_path: Path, purge: Purge) -> None:
    key = CacheKey(query=QueryKey(deny=["utm_*"]))

    async def scenario(stream: PurgeStream) -> None:
        tagged = page(b"1", ("cache-tag", "fruit, red"))
        async with (
            running(DiskEdge(tmp_path, tagged, key=key), stream) as one,
            running(DiskEdge(tmp_path, page(b"2"), key=key), stream) as other,
        ):
            await one.ask()
            stream.purges.append(purge)
            assert await one.hear(stream) == [1]
            assert await other.hear(stream) == [0]
            assert (await other.ask()).sent == b"2"
        async with running(DiskEdge(tmp_path, page(b"3"), key=key), stream) as third:
            assert (await third.ask()).sent == b"2"

    play(scenario)


@pytest.mark.parametrize(
    "purge",
    [Purge("all", app="shop"), Purge("tag", "a", app="shop"), Purge("path", "/a", app="shop"), Purge("path", "/a")],
    ids=lambda purge: f"{purge.kind} {purge.app}",
)
def test_what_an_app_purges_is_gone_of_its_own_answers(tmp_path: Path, purge: Purge) -> None:
    async def scenario(stream: PurgeStream) -> None:
        answers = [page(f"{each}".encode(), ("cache-tag", "a")) for each in range(2)]
        shop, other = DiskEdge(tmp_path, *answers, app="shop"), DiskEdge(tmp_path, *answers, app="other")
        async with running(shop, stream), running(other, stream):
            for edge in (shop, other):
                await edge.ask("/a/b")
            stream.purges.append(purge)
            assert await shop.hear(stream) == [1 if purge.app else 2]
            await other.hear(stream)
            both = [(await edge.ask("/a/b")).sent for edge in (shop, other)]
            assert both == [b"1", b"0" if purge.app else b"1"]

    play(scenario)


def test_what_is_purged_while_nobody_runs_is_not_given_afterwards(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"1", ("cache-tag", "a")), page(b"1")), stream) as first:
            await first.ask("/a")
            await first.ask("/b")
        stream.purges.append(Purge("tag", "a"))
        second = DiskEdge(tmp_path, page(b"2"))
        second.orders.known = await second.disk.open()
        assert (await second.ask("/b")).sent == b"2"  # It was not told yet.
        await second.hear(stream)
        assert (await second.ask("/a")).sent == b"2"
        await second.disk.close()

    play(scenario)


def test_a_url_is_purged_though_the_route_made_its_key_by_other_rules_then(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        rules = CacheKey(query=QueryKey(deny=["utm_*"]))
        async with running(DiskEdge(tmp_path, page(b"1"), key=rules), stream) as first:
            await first.ask("/a")
        stream.purges.append(Purge("url", "http://edge.test/a?utm_source=mail"))
        async with running(DiskEdge(tmp_path), stream):
            pass
        async with running(DiskEdge(tmp_path, page(b"2"), key=rules), stream) as third:
            assert (await third.ask("/a")).sent == b"2"

    play(scenario)


def test_what_was_asked_for_before_a_purge_is_not_stored_by_one_who_has_not_heard_of_it(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        late_page = page(b"1", ("cache-tag", "a"))
        async with (
            running(DiskEdge(tmp_path, late_page, late_page), stream) as late,
            running(DiskEdge(tmp_path, page(b"2")), stream) as other,
        ):
            stream.purges.append(Purge("tag", "a"))
            await other.hear(stream)
            await late.ask("/a")
            assert late.meter.refused == 1
            assert (await other.ask("/a")).sent == b"2"
            stream.purges.append(Purge("tag", "b"))
            await other.hear(stream)
            untouched = page(b"3", ("cache-tag", "c"))
            late.origin.answers = [untouched]
            await late.ask("/c")
            assert (await other.ask("/c")).sent == b"3"  # None of the two was meant for it.

    play(scenario)


def test_while_a_purge_is_on_its_way_to_the_disk_nothing_that_it_is_meant_for_is_given(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"1")), stream) as first:
            await first.ask("/a")
        async with running(DiskEdge(tmp_path, page(b"2")), stream) as edge:
            purges, until = [Purge("url", "http://edge.test/a")], edge.orders.known
            assert until is not None
            stream.purges += purges
            counts = edge.orders.purge(*stream.since(until))
            assert (await edge.ask("/a")).sent == b"2"
            assert not isinstance(counts, list)
            await counts

    play(scenario)


def test_an_index_that_is_another_history_is_emptied(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        stream.purges += [Purge("tag", "x"), Purge("tag", "y")]
        async with running(DiskEdge(tmp_path, page(b"1")), stream) as first:
            await first.ask("/a")
        async with running(DiskEdge(tmp_path, page(b"2")), PurgeStream()) as second:
            assert (await second.ask("/a")).sent == b"2"  # Its node knows fewer purges than it does.

    play(scenario)


@pytest.mark.parametrize("damage", ["not a database", "another version", "a table is gone"])
def test_a_damaged_index_is_begun_anew(tmp_path: Path, damage: str) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(BODIES[MIDDLE])), stream) as first:
            await first.ask()
        if damage == "not a database":
            (tmp_path / "index.db").write_bytes(b"\0" * 5000)
        else:
            connection = apsw.Connection(str(tmp_path / "index.db"))
            connection.execute("PRAGMA user_version = 77" if damage == "another version" else "DROP TABLE tags")
            connection.close()
        async with running(DiskEdge(tmp_path, page(b"2")), stream) as second:
            assert files(tmp_path) == []
            assert (await second.ask()).sent == b"2"
        async with running(DiskEdge(tmp_path), stream) as third:
            assert (await third.ask()).sent == b"2"

    play(scenario)


def test_an_index_that_is_found_damaged_meanwhile_costs_no_request_and_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.gateway.cache.disk.RETRY_S", 0.0)

    async def scenario(stream: PurgeStream) -> None:
        async with (
            running(DiskEdge(tmp_path, page(b"1" * 5000), page(b"2")), stream) as one,
            running(DiskEdge(tmp_path, page(b"3")), stream) as other,
            contextlib.AsyncExitStack() as stack,
        ):
            for number in range(40):
                await one.ask(f"/{number}")
            while not (one.objects.is_idle and other.objects.is_idle):
                await asyncio.sleep(0.001)  # What is written later would cover the damage.
            before = inode(tmp_path / "index.db")
            connection = apsw.Connection(str(tmp_path / "index.db"))
            connection.set_busy_timeout(10_000)  # The writers' threads may still be at it.
            connection.execute("SELECT * FROM state").fetchall()
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            connection.close()
            # Left open: what is there anew must not get the same inode.
            file = stack.enter_context((tmp_path / "index.db").open("r+b"))
            file.seek(4096)
            file.write(b"\xff" * 300_000)
            file.flush()
            one.memory.resize(0)
            for number in range(40):
                assert (await one.calls_alone(f"/{number}")).status == 200
            damaged, number = tmp_path / "damaged", 0
            while damaged.exists() or inode(tmp_path / "index.db") in (None, before):
                number += 1
                for edge in (one, other):
                    edge.objects.look()  # As it does once a second.
                    await edge.calls_alone(f"/more/{number}")
                await asyncio.sleep(0.001)
            one.memory.resize(1 << 24)
            while not (one.disk.is_open and other.disk.is_open):
                await asyncio.sleep(0.001)
            await one.ask("/again")
            assert hit(await other.ask("/again"))

    play(scenario)


def inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def test_a_body_that_is_not_what_it_was_is_not_given(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        for size in (MIDDLE, LARGE):
            root = tmp_path / str(size)
            async with running(DiskEdge(root, answer(size)), stream) as first:
                await first.ask()
            (file,) = root.glob("objects/*/*")
            os.truncate(file, size - 1)
            async with running(DiskEdge(root, page(b"2")), stream) as second:
                assert (await second.ask()).sent == b"2"
            assert not file.exists()

    play(scenario)


def test_what_processes_left_behind_that_ended_in_between_is_removed(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, answer(MIDDLE)), stream) as first:
            await first.ask()
        (kept,) = files(tmp_path)
        orphan = tmp_path / "objects" / "ab" / "abcdef"
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"x")
        spooled = tmp_path / "spool" / "gone" / "123"
        spooled.parent.mkdir()
        spooled.write_bytes(b"x")
        async with running(DiskEdge(tmp_path), stream) as second:
            assert hit(await second.ask())
            assert not spooled.parent.exists()
            while len(files(tmp_path)) > 1:
                await asyncio.sleep(0)
        assert files(tmp_path) == [kept]

    play(scenario)


def test_all_that_is_stored_stays_within_its_bound_whoever_stores_it(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        bound = 500_000
        async with (
            running(DiskEdge(tmp_path, page(BODIES[MIDDLE])), stream) as one,
            running(DiskEdge(tmp_path, page(BODIES[MIDDLE])), stream) as other,
        ):
            for edge in (one, other):
                edge.disk.resize(bound, bound)
            for number in range(15):
                for edge in (one, other):
                    edge.clock.advance(seconds=1)
                    await edge.ask(f"/{id(edge)}/{number}")
                    edge.objects.look()
                    assert 0 < edge.meter.bytes <= bound
            assert one.meter.evicted + other.meter.evicted > 15
            while len(files(tmp_path)) > one.meter.objects:
                await asyncio.sleep(0)  # Files go a moment later than their objects.
            assert one.meter.objects * MIDDLE <= bound

    play(scenario)


def test_what_was_used_least_recently_goes_first(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        room = 8 * MIDDLE
        lasting = page(BODIES[MIDDLE], age="max-age=100000")
        async with running(DiskEdge(tmp_path, lasting), stream) as first:
            first.disk.resize(room, room)
            for number in range(7):
                first.clock.advance(seconds=1)
                await first.ask(f"/{number}")
        async with running(DiskEdge(tmp_path, lasting), stream) as second:
            second.disk.resize(room, room)
            second.clock.advance(seconds=10_000)
            for number in (0, 10, 11, 12):
                await second.ask(f"/{number}")
            assert second.asked == 3
            there = [number for number in range(13) if second.objects.find(f"http://edge.test/{number}")]
            assert there == [0, 4, 5, 6, 10, 11, 12]

    play(scenario)


def test_more_than_may_wait_to_be_written_is_stored_in_memory_only(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(BODIES[MIDDLE])), stream) as edge:
            edge.objects.queue_bytes = MIDDLE
            await edge.ask()
            assert (edge.meter.refused, edge.meter.stored, edge.memory.count) == (1, 0, 1)

    play(scenario)


def test_of_nothing_there_is_no_directory(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        edge = DiskEdge(tmp_path / "cache", page(b"1"))
        edge.disk.resize(0, 1 << 20)
        await edge.begin(stream)
        await edge.ask()
        assert hit(await edge.ask())
        assert not (tmp_path / "cache").exists()
        edge.disk.resize(1 << 30, 1 << 20)
        while not edge.disk.is_open:
            await asyncio.sleep(0)
        await edge.ask("/b")
        assert edge.meter.stored == 1
        await edge.disk.close()

    play(scenario)


def test_what_does_not_last_is_not_written(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        short = ("cache-control", "max-age=5")
        tagged = MemoryAnswer(200, [short, ("etag", '"1"')], b"hello")
        still = MemoryAnswer(304, [short, ("etag", '"1"')], b"")
        async with running(DiskEdge(tmp_path, tagged, still), stream) as edge:
            await edge.ask()
            for _ in range(3):
                edge.clock.advance(seconds=6)
                await edge.ask()
            assert (edge.asked, edge.meter.stored) == (4, 1)
            edge.origin.answers = [page(b"2", age="max-age=5")]
            edge.clock.advance(seconds=6)
            await edge.ask()
            assert edge.objects.find("http://edge.test/a") == []  # The former one is not what the origin gives.

    play(scenario)


def test_killed_between_moving_a_body_and_naming_it_nothing_is_given_that_is_not_whole(tmp_path: Path) -> None:
    script = f"""
        import asyncio, os, signal
        from littoral.drivers.cache_place import CachePlace
        from tests.support.disk_cache import DiskEdge, PurgeStream, page

        move = CachePlace.put_in_place
        def move_and_die(self, file):
            move(self, file)
            os.kill(os.getpid(), signal.SIGKILL)

        async def main():
            edge = DiskEdge({str(tmp_path)!r}, page(b"x" * {MIDDLE}))
            await edge.begin(PurgeStream())
            await edge.ask("/a")
            CachePlace.put_in_place = move_and_die
            await edge.ask("/b")

        asyncio.run(main())
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(files(tmp_path)) == 2

    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"2")), stream) as edge:
            assert (await edge.ask("/a")).sent == b"x" * MIDDLE
            assert (await edge.ask("/b")).sent == b"2"
            while len(files(tmp_path)) > 1:
                await asyncio.sleep(0)

    play(scenario)
    assert list(tmp_path.glob("spool/*")) == []
