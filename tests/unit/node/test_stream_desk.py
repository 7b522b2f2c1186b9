"""The list of streams and the end of one, through the operator API."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from littoral.core.lanes import Lane
from littoral.node.stream_desk import RECORD_HEAD_BYTES
from littoral.node.stream_messages import StreamEntries
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimTree
from tests.support.stores import name
from tests.unit.node.test_operator_api import Operator

LIST, VIEW = "/v1/stream-list", "/v1/stream-view"


class Desk(Operator):
    """What it says at a root."""

    async def put(self, stream: str, *records: bytes, lane: Lane = "telemetry", kind: str = "text/plain") -> None:
        def job(tx: Transaction) -> None:
            tx.open_stream(name(stream), lane=lane, content_type=kind, retention_bytes=4000)
            if records:
                tx.append(name(stream), records)

        await self.node.running.store.submit(job)

    async def names(self, **query: str) -> list[str]:
        page = await self.json("GET", LIST, **query)
        return [row["name"] for row in page["streams"]]

    async def refusal(self, path: str, **query: str) -> tuple[int, str]:
        response = await self("GET", path, b"", None, **query)
        return response.status, json.loads(response.body)["detail"]


def play(story: Callable[[Desk], Awaitable[None]], seed: int, **limits: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        await story(Desk(await tree.start_root("cloud", **limits)))
        await tree.stop()

    run(main, seed=seed)


async def three(desk: Desk) -> None:
    await desk.put("cloud/note-b", b"1", b"22", lane="bulk")
    await desk.put("cloud/note-a", b"333", kind="application/json")
    await desk.put("cloud/quarantine/note-a", lane="alerts")


def test_a_page_holds_what_was_asked_for_in_the_order_asked_for(seed: int):
    async def story(desk: Desk) -> None:
        await three(desk)
        a, b, aside = "cloud/note-a", "cloud/note-b", "cloud/quarantine/note-a"
        assert await desk.names(text="note") == [a, b, aside]
        assert await desk.names(text="note", descending="1") == [aside, b, a]
        assert await desk.names(text="note", order="records", descending="1") == [b, a, aside]
        assert await desk.names(text="note", order="lane") == [aside, a, b]
        assert await desk.names(lane="bulk,alerts") == [b, aside]
        assert await desk.names(kind="aside") == [aside]
        assert await desk.names(text="note", type="application/json") == [a]
        assert await desk.names(named="note-b") == [b]
        page = await desk.json("GET", LIST, text="note", skip="1", limit="1")
        assert [row["name"] for row in page["streams"]] == [b]
        assert (page["found"], page["total"]) == (3, len(desk.node.running.store.streams()))

    play(story, seed)


def test_no_page_is_longer_than_the_limit(seed: int):
    async def story(desk: Desk) -> None:
        await three(desk)
        assert len(await desk.names(text="note", limit="1000")) == 2
        whole = sorted(str(info.name) for info in desk.node.running.store.streams())
        names: list[str] = []
        after: str | None = ""
        while after is not None:
            page = msgspec.convert(await desk.json("GET", LIST, plain="1", after=after), StreamEntries)
            assert len(page.streams) <= 2
            names += [entry.name for entry in page.streams]
            after = page.next_page
        assert names == whole

    play(story, seed, listed_streams=2)


def test_a_stream_with_a_long_path_is_found_by_it(seed: int):
    async def story(desk: Desk) -> None:
        path = "/".join(["p" * 99] * 3)
        await desk.put(f"cloud/{path}", b"")
        assert await desk.names(named=path) == [f"cloud/{path}"]

    play(story, seed)


def test_a_row_says_what_the_stream_holds_how_old_it_is_and_how_fast_it_grows(seed: int):
    async def story(desk: Desk) -> None:
        await desk.put("cloud/old", b"early")
        began_ms = desk.node.clock.wall_ms()
        await asyncio.sleep(100)
        await desk.put("cloud/old", *(b"x" for _ in range(120)))
        await desk.node.running.store.submit(
            lambda tx: tx.fork_stream(name("cloud/fork"), name("cloud/old"), 5, asked="")
        )
        page = await desk.json("GET", LIST, order="records", descending="1", text="old")
        row = page["streams"][0]
        assert (row["first"], row["next"], row["budget_bytes"], row["forks"]) == (0, 121, 4000, 1)
        assert abs(row["oldest_ms"] - began_ms) < 1000
        assert row["records_s"] == pytest.approx(2.0, rel=0.02), "120 in the last minute"
        assert row["bytes_s"] > 0
        fork = (await desk.json("GET", LIST, text="cloud/fork"))["streams"][0]
        assert fork["forked_from"] == "cloud/old"

    play(story, seed)


def test_a_view_has_the_last_records_those_before_a_place_and_those_after_one(seed: int):
    async def story(desk: Desk) -> None:
        for n in range(0, 10, 2):
            await desk.put("cloud/notes", b"%d" % n, b"%d" % (n + 1))

        async def seen(**query: str) -> list[int]:
            view = await desk.json("GET", f"{VIEW}/cloud/notes", **query)
            for record in view["records"]:
                assert base64.b64decode(record["head"]) == b"%d" % record["offset"]
            return [record["offset"] for record in view["records"]]

        assert await seen(limit="3") == [7, 8, 9]
        assert await seen(before="4", limit="3") == [1, 2, 3]
        assert await seen(before="0") == []
        assert await seen(after="9") == [9]
        assert await seen(after="10") == []
        assert await seen(after="2", limit="3") == [7, 8, 9], "the latest, where there are more than fit"

    play(story, seed)


def test_a_large_record_is_cut_and_its_size_is_said(seed: int):
    async def story(desk: Desk) -> None:
        await desk.put("cloud/notes", bytes(RECORD_HEAD_BYTES + 7))
        (record,) = (await desk.json("GET", f"{VIEW}/cloud/notes"))["records"]
        assert record["size"] == RECORD_HEAD_BYTES + 7
        assert base64.b64decode(record["head"]) == bytes(RECORD_HEAD_BYTES)

    play(story, seed)


@pytest.mark.parametrize(
    ("path", "query", "status", "said"),
    [
        (LIST, {"lane": "fast"}, 400, "there is no lane 'fast'"),
        (LIST, {"order": "color"}, 400, "order 'color' is not known"),
        (LIST, {"kind": "x"}, 400, "kind 'x' is not known"),
        (LIST, {"skip": "-1"}, 400, "skip '-1' is not a whole number"),
        (LIST, {"limit": "9" * 19}, 400, "is not a whole number"),
        (LIST, {"text": "x" * 201}, 400, "longer than 200 characters"),
        (f"{VIEW}/cloud/none", {}, 404, "there is no such stream on this node"),
        (f"{VIEW}/cloud", {}, 400, "it names no node"),
        (f"{VIEW}/cloud/desired", {"before": "x"}, 400, "before 'x' is not a whole number"),
    ],
)
def test_what_is_refused(path: str, query: dict[str, str], status: int, said: str, seed: int):
    async def story(desk: Desk) -> None:
        await desk.put("cloud/notes", b"1")
        found, detail = await desk.refusal(path.replace("desired", "notes"), **query)
        assert (found, said in detail) == (status, True), detail

    play(story, seed)
