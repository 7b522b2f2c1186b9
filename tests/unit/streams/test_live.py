"""Long-polls and server-sent events over a real store."""

import asyncio
from pathlib import Path

from littoral.core.http import StreamingResponse
from littoral.core.waiting import Client
from littoral.wire.durable_streams import format_offset
from tests.support.stream_client import JSON, TEXT, StreamNode, field, play, tail


def test_a_long_poll_ends_with_the_next_record(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"old", TEXT)
        poll = asyncio.ensure_future(node("GET", "s?offset=now&live=long-poll"))
        while node.server.readers.count == 0:
            await asyncio.sleep(0)
        await node("POST", "s", b"new", TEXT)
        answered = await poll
        assert (answered.status, answered.body, tail(answered)) == (200, b"new", 2)
        cursor = field(answered, "stream-cursor")
        assert cursor is not None
        again = await node("GET", f"s?offset=-1&live=long-poll&cursor={cursor}")
        assert int(field(again, "stream-cursor") or "0") > int(cursor)
        assert node.server.readers.count == 0

    play(tmp_path, story)


def test_a_long_poll_ends_with_its_time_with_the_stream_and_with_the_close(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        nothing = await node("GET", "s?offset=-1&live=long-poll")
        assert (nothing.status, field(nothing, "stream-up-to-date"), tail(nothing)) == (204, "true", 0)
        assert field(nothing, "stream-cursor") is not None
        for act, status in ((("POST", "s", b"", {"stream-closed": "true"}), 204), (("DELETE", "t"), 404)):
            await node("PUT", "t", b"", TEXT)
            poll = asyncio.ensure_future(node("GET", f"{act[1]}?offset=-1&live=long-poll"))
            while node.server.readers.count == 0:
                await asyncio.sleep(0)
            await node(*act)
            assert (await poll).status == status

    play(tmp_path, story, long_poll_seconds=1)


def test_a_long_poll_ends_when_its_client_leaves(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"old", TEXT)
        client = Client()

        async def asks() -> None:
            client.answered_here()
            await node("GET", "s?offset=now&live=long-poll")

        poll = asyncio.ensure_future(asks())
        while node.server.readers.count == 0:
            await asyncio.sleep(0)
        client.leave()
        await asyncio.wait([poll])
        assert poll.cancelled()
        assert node.server.readers.count == 0

    play(tmp_path, story)


def test_events_follow_a_stream_to_its_end(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b'[{"n":1}]', JSON)
        events = await node.events("s?offset=-1&live=sse")
        first = await anext(events)
        assert first.startswith(
            b'event: data\ndata:[{"n":1}]\n\nevent: control\ndata:{"streamNextOffset":"0000000000000000_0000000000000001"'
        )
        assert b'"upToDate":true' in first
        await node("POST", "s", b'[{"n":2}]', {**JSON, "stream-closed": "true"})
        (last,) = [chunk async for chunk in events]
        assert last.startswith(b'event: data\ndata:[{"n":2}]\n\n')
        assert last.endswith(
            b'{"streamNextOffset":"0000000000000000_0000000000000002","upToDate":true,"streamClosed":true}\n\n'
        )
        assert node.server.readers.count == 0

    play(tmp_path, story)


def test_readers_at_the_end_of_a_stream_read_what_is_new_once(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        for path in ("s", "other"):
            await node("PUT", path, b"old", TEXT)
        events = [await node.events("s?offset=now&live=sse") for _ in range(20)]
        late = await node.events("s?offset=-1&live=sse")
        for each in (*events, late):
            await anext(each)
        reads = 0

        def note(cursor: object, statement: str, bindings: object) -> bool:
            nonlocal reads
            reads += " FROM batches " in statement
            return True

        node.store._reader.exec_trace = note
        for n, body in enumerate((b"new", b"newer", b"newest"), 1):
            waiting = [asyncio.ensure_future(anext(each)) for each in (*events, late)]
            await node("POST", "other", b"x", TEXT)
            await node("POST", "s", body, TEXT)
            for chunk in await asyncio.gather(*waiting):
                assert chunk.startswith(b"event: data\ndata:" + body + b"\n\nevent: control\n")
            assert reads == n
        for each in (*events, late):
            await each.aclose()  # type: ignore[attr-defined]
        assert (node.server.readers.count, node.server.readers._last) == (0, None)

    play(tmp_path, story)


def test_readers_of_one_stream_at_different_places_and_of_others_read_their_own(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        for path in ("s", "other"):
            await node("PUT", path, f"{path} 1".encode(), TEXT)
            await node("POST", path, f"{path} 2".encode(), TEXT)

        async def first(path: str, offset: str) -> bytes:
            events = await node.events(f"{path}?offset={offset}&live=sse")
            try:
                return (await anext(events)).partition(b"\n\n")[0]
            finally:
                await events.aclose()  # type: ignore[attr-defined]

        there = await node.events("s?offset=now&live=sse")
        await anext(there)
        one = format_offset(1)
        places = [("s", "-1"), ("s", one), ("other", one), ("s", one), ("other", "-1"), ("s", "-1")]
        assert [await first(*place) for place in places] == [
            b"event: data\ndata:s 1s 2",
            b"event: data\ndata:s 2",
            b"event: data\ndata:other 2",
            b"event: data\ndata:s 2",
            b"event: data\ndata:other 1other 2",
            b"event: data\ndata:s 1s 2",
        ]
        await node("DELETE", "s")
        await node("PUT", "s", b"made anew", TEXT)
        await node("POST", "s", b"2", TEXT)
        assert await first("s", "-1") == b"event: data\ndata:made anew2"
        await there.aclose()  # type: ignore[attr-defined]

    play(tmp_path, story)


def test_events_of_binary_streams_say_so(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"\x00\xff", {"content-type": "image/png", "stream-closed": "true"})
        response = await node.any("GET", "s?offset=-1&live=sse")
        assert isinstance(response, StreamingResponse)
        assert field(response, "stream-sse-data-encoding") == "base64"
        assert (await anext(response.chunks)).startswith(b"event: data\ndata:AP8=\n\n")

    play(tmp_path, story)


def test_events_end_with_their_time_and_with_the_stream(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        assert len([chunk async for chunk in await node.events("s?offset=now&live=sse")]) == 1
        events = await node.events("s?offset=now&live=sse")
        await anext(events)
        await node("DELETE", "s")
        assert [chunk async for chunk in events] == []

    play(tmp_path, story, sse_seconds=1)


def test_a_reader_too_many_is_refused_and_a_reader_that_left_makes_room(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        events = await node.events("s?offset=-1&live=sse")
        await anext(events)
        refused = [await node("GET", f"s?offset=-1&live={live}") for live in ("sse", "long-poll")]
        assert [response.status for response in refused] == [429, 429]
        assert node.limits.reached["live-readers"] == 2
        await events.aclose()  # type: ignore[attr-defined]
        assert isinstance(await node.any("GET", "s?offset=-1&live=sse"), StreamingResponse)

    play(tmp_path, story, live_readers=1)
