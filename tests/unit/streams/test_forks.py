"""Forks over HTTP, by section 4.2 of the protocol; requests and answers read like HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.wire.durable_streams import format_offset
from tests.support.fakes import START_MS
from tests.support.stream_client import JSON, TEXT, StreamNode, field, opened, play, tail

HELLO = (b"hello ", b"world", b"!")
SOON, LATER = "2023-11-14T22:13:30Z", "2023-11-14T23:00:00Z"
"""Ten seconds and the better part of an hour after START_MS."""


def fork_of(
    source: str = "s", offset: int | str | None = None, sub_offset: object = None, **more: str
) -> dict[str, str]:
    """The headers of a PUT; `more` with "_" for "-"."""
    headers = {"stream-forked-from": source if source.startswith("/") else f"/v1/streams/plant-a/{source}"}
    if offset is not None:
        headers["stream-fork-offset"] = format_offset(offset) if isinstance(offset, int) else offset
    if sub_offset is not None:
        headers["stream-fork-sub-offset"] = str(sub_offset)
    return headers | {name.replace("_", "-"): value for name, value in more.items()}


async def made(node: StreamNode, name: str = "s", **more: str) -> None:
    """A stream that says hello in three records."""
    first, *others = HELLO
    headers = TEXT | {key.replace("_", "-"): value for key, value in more.items()}
    assert (await node("PUT", name, first, headers)).status == 201
    for record in others:
        assert (await node("POST", name, record, TEXT)).status == 204


async def statuses(node: StreamNode, name: str, *methods: str) -> list[int]:
    return [(await node(method, name, b"x" if method in ("PUT", "POST") else b"", TEXT)).status for method in methods]


def cause_of(body: bytes) -> str:
    return str(json.loads(body)["detail"])


def test_a_fork_begins_at_the_tail_and_each_goes_its_own_way(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await made(node)
        forked = await node("PUT", "f", headers=fork_of())
        assert (forked.status, tail(forked), field(forked, "content-type")) == (201, 3, "text/plain")
        assert field(forked, "location") == "http://here:1/v1/streams/plant-a/f"
        assert tail(await node("POST", "f", b" (fork)", TEXT)) == 4
        assert tail(await node("POST", "s", b" (source)", TEXT)) == 4
        fork, source = await node("GET", "f"), await node("GET", "s")
        assert (fork.body, source.body) == (b"hello world! (fork)", b"hello world! (source)")
        assert field(fork, "etag") != field(source, "etag")
        assert (await node("GET", f"f?offset={format_offset(2)}")).body == b"! (fork)"

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("offset", "sub_offset", "content", "next_offset"),
    [
        (None, None, b"hello world!", 3),
        ("now", 0, b"hello world!", 3),
        ("-1", None, b"", 0),
        (0, 0, b"", 0),
        (0, 4, b"hell", 1),
        (0, 6, b"hello ", 1),
        (1, 0, b"hello ", 1),
        (1, 3, b"hello wor", 2),
        (1, 5, b"hello world", 2),
        (2, 1, b"hello world!", 3),
        (3, None, b"hello world!", 3),
    ],
)
def test_a_point_in_a_stream_of_bytes(
    tmp_path: Path, offset: int | str | None, sub_offset: int | None, content: bytes, next_offset: int
) -> None:
    async def story(node: StreamNode) -> None:
        await made(node)
        forked = await node("PUT", "f", headers=fork_of("s", offset, sub_offset))
        assert (forked.status, tail(forked)) == (201, next_offset)
        assert (await node("GET", "f")).body == content
        assert tail(await node("POST", "f", b"|", TEXT)) == next_offset + 1
        read = await node("GET", "f")
        assert (read.body, field(read, "stream-up-to-date")) == (content + b"|", "true")

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("offset", "sub_offset", "content"),
    [(None, None, [1, 2, 3, 4, 5]), (0, 2, [1, 2]), (1, 2, [1, 2, 3]), (3, 0, [1, 2, 3]), (2, 3, [1, 2, 3, 4, 5])],
)
def test_a_point_in_a_stream_of_messages(
    tmp_path: Path, offset: int | None, sub_offset: int | None, content: list[int]
) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"[1,2,3]", JSON)
        await node("POST", "s", b"[4,5]", JSON)
        forked = await node("PUT", "f", b"[6,7]", fork_of("s", offset, sub_offset))
        assert (forked.status, tail(forked)) == (201, len(content) + 2)
        read = await node("GET", "f")
        assert (json.loads(read.body), field(read, "content-type")) == ([*content, 6, 7], "application/json")
        assert json.loads((await node("GET", f"f?offset={format_offset(len(content))}")).body) == [6, 7]

    play(tmp_path, story)


def test_a_fork_may_come_with_records_and_closed_and_a_closed_stream_may_be_forked(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await made(node)
        await node("POST", "s", b"", {"stream-closed": "true"})
        whole = await node("PUT", "whole", b"?", fork_of(offset=2, stream_closed="true"))
        assert (whole.status, field(whole, "stream-closed"), tail(whole)) == (201, "true", 3)
        assert (await node("GET", "whole")).body == b"hello world?"
        open_again = await node("PUT", "f", headers=fork_of())
        assert (open_again.status, field(open_again, "stream-closed")) == (201, None)
        assert (await node("POST", "f", b"!", TEXT)).status == 204
        assert (await node("POST", "s", b"!", TEXT)).status == 409

    play(tmp_path, story)


def test_forks_of_forks_are_there_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, Limits()) as node:
            await made(node)
            assert (await node("PUT", "f", b"Bob", fork_of(offset=1))).status == 201
            assert (await node("PUT", "g", b"by", fork_of("f", 1, 2))).status == 201
            assert (await node("PUT", "h", b"there", fork_of("f", 1))).status == 201
        async with opened(tmp_path, Limits()) as node:
            bodies = {name: (await node("GET", name)).body for name in "sfgh"}
            assert bodies == {
                "s": b"hello world!",
                "f": b"hello Bob",
                "g": b"hello Boby",
                "h": b"hello there",
            }
            assert (await node("PUT", "g", b"by", fork_of("f", 1, 2))).status == 200

    asyncio.run(main())


REFUSALS: dict[str, tuple[dict[str, str], int, str]] = {
    "no source": (fork_of("none"), 404, "cannot fork stream plant-a/none: there is no such stream on this node"),
    "source of another node": (fork_of("/v1/streams/plant-b/s"), 404, "there is no such stream"),
    "a copy": (fork_of("/v1/streams/plant-b/copy"), 409, "it is a copy. Fork it at plant-b"),
    "other type": (fork_of(content_type="text/html"), 409, "it holds text/plain, not text/html"),
    "beyond the tail": (fork_of(offset=4), 400, "offset 4 is beyond its tail, 3"),
    "malformed offset": (fork_of(offset="3"), 400, "'3': it is no offset of this server"),
    "empty offset": (fork_of(offset=""), 400, "it is no offset of this server"),
    "offset without source": ({"stream-fork-offset": "-1"}, 400, "it says nothing without Stream-Forked-From"),
    "sub-offset without source": (
        {"stream-fork-sub-offset": "0"},
        400,
        "it says nothing without Stream-Forked-From",
    ),
    "sub-offset without offset": (fork_of(sub_offset=1), 400, "it counts from a Stream-Fork-Offset"),
    "negative": (fork_of(offset=0, sub_offset=-1), 400, "'-1' is not a whole number from 0 up"),
    "fraction": (fork_of(offset=0, sub_offset="1.5"), 400, "'1.5' is not a whole number from 0 up"),
    "empty sub-offset": (fork_of(offset=0, sub_offset=""), 400, "'' is not a whole number from 0 up"),
    "beyond the record": (fork_of(offset=1, sub_offset=6), 400, "the record at offset 1 has 5 bytes, not 6"),
    "in no record": (fork_of(offset=3, sub_offset=1), 400, "it has no record at offset 3"),
    "elsewhere": (fork_of("/elsewhere/s"), 400, "its path begins with /v1/streams/ or /v1/stream/"),
    "a whole URL": (fork_of() | {"stream-forked-from": "http://here:1/v1/stream/s"}, 400, "its path begins with"),
    "no path": (fork_of() | {"stream-forked-from": ""}, 400, "its path begins with"),
    "no stream's path": (fork_of("/v1/streams/plant-a"), 400, "it names no node"),
    "bad path": (fork_of("/v1/stream/a//b"), 400, "it has 1 to 8 parts"),
    "two lifetimes": (fork_of(stream_ttl="9", stream_expires_at=LATER), 400, "a stream has one or the other"),
}


@pytest.mark.parametrize(("headers", "status", "cause"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_forked_says_why_and_makes_nothing(
    tmp_path: Path, headers: dict[str, str], status: int, cause: str
) -> None:
    async def story(node: StreamNode) -> None:
        await made(node)
        await node.store.submit(lambda tx: tx.open_stream(StreamName("plant-b", "copy"), content_type="text/plain"))
        refused = await node("PUT", "f", b"", headers)
        assert refused.status == status
        assert cause in cause_of(refused.body)
        assert await statuses(node, "f", "GET", "PUT", "DELETE") == [404, 201, 204]

    play(tmp_path, story)


def test_what_a_fork_comes_with_is_read_as_its_source_is(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"[1]", JSON)
        for wrong, status in ((b"{", 400), (b'"%b"' % (b"x" * 100), 413)):
            assert (await node("PUT", "f", wrong, fork_of())).status == status
            assert (await node("HEAD", "f")).status == 404
        assert (await node("PUT", "f", b"[[],[]]", fork_of())).status == 201
        assert (await node("GET", "f")).body == b"[1,[],[]]"

    play(tmp_path, story, record_bytes=100)


SAME = {
    "to the letter": fork_of(offset=1),
    "by the other address": fork_of("/v1/stream/s", 1),
    "without a sub-offset": fork_of(offset=1, sub_offset=0),
    "with its type": fork_of(offset=1, content_type="Text/Plain; charset=utf-8"),
    "with its lifetime": fork_of(offset=1, stream_ttl="60"),
}
OTHER = {
    "another point": (fork_of(offset=2), "it is another fork"),
    "the tail": (fork_of(), "it is another fork"),
    "a part more": (fork_of(offset=1, sub_offset=1), "it is another fork"),
    "another source": (fork_of("t", 1), "it is another fork"),
    "another type": (fork_of(offset=1, content_type="text/html"), "its content type is text/plain"),
    "another lifetime": (fork_of(offset=1, stream_ttl="61"), "its TTL is 60"),
    "closed": (fork_of(offset=1, stream_closed="true"), "it is open"),
    "no fork": ({**TEXT, "stream-ttl": "60"}, "it exists, and it is a fork"),
}


@pytest.mark.parametrize("again", SAME.values(), ids=SAME)
def test_the_same_fork_again_is_there(tmp_path: Path, again: dict[str, str]) -> None:
    async def story(node: StreamNode) -> None:
        await made(node, stream_ttl="60")
        assert (await node("PUT", "f", headers=fork_of(offset=1))).status == 201
        await node("POST", "f", b"more", TEXT)
        await node("POST", "s", b"more", TEXT)
        same = await node("PUT", "f", b"not appended", again)
        assert (same.status, tail(same)) == (200, 2)
        await node("DELETE", "s")
        assert (await node("PUT", "f", headers=again)).status == 200
        assert (await node("GET", "f")).body == b"hello more"

    play(tmp_path, story)


@pytest.mark.parametrize(("other", "cause"), OTHER.values(), ids=OTHER)
def test_another_fork_where_one_is_is_a_conflict(tmp_path: Path, other: dict[str, str], cause: str) -> None:
    async def story(node: StreamNode) -> None:
        await made(node, stream_ttl="60")
        await made(node, "t", stream_ttl="60")
        assert (await node("PUT", "f", headers=fork_of(offset=1))).status == 201
        refused = await node("PUT", "f", b"", other)
        assert (refused.status, cause in cause_of(refused.body)) == (409, True), refused.body
        refused = await node("PUT", "t", b"", fork_of())
        assert (refused.status, "it exists, and it is no fork" in cause_of(refused.body)) == (409, True)
        assert (await node("GET", "f")).body == b"hello "

    play(tmp_path, story)


LIFETIMES: dict[str, tuple[dict[str, str], dict[str, str], tuple[str | None, str | None]]] = {
    "none, none": ({}, {}, (None, None)),
    "none, TTL": ({}, {"stream_ttl": "7"}, ("7", None)),
    "none, Expires-At": ({}, {"stream_expires_at": LATER}, (None, LATER)),
    "TTL, none": ({"stream_ttl": "5"}, {}, ("5", None)),
    "TTL, TTL": ({"stream_ttl": "5"}, {"stream_ttl": "7"}, ("7", None)),
    "TTL, Expires-At": ({"stream_ttl": "5"}, {"stream_expires_at": LATER}, (None, LATER)),
    "Expires-At, none": ({"stream_expires_at": SOON}, {}, (None, SOON)),
    "Expires-At, TTL": ({"stream_expires_at": SOON}, {"stream_ttl": "7"}, ("7", None)),
    "Expires-At, Expires-At": ({"stream_expires_at": SOON}, {"stream_expires_at": LATER}, (None, LATER)),
}


@pytest.mark.parametrize(("source", "asked", "gets"), LIFETIMES.values(), ids=LIFETIMES)
def test_lifetimes_are_as_in_the_protocols_table(
    tmp_path: Path, source: dict[str, str], asked: dict[str, str], gets: tuple[str | None, str | None]
) -> None:
    async def story(node: StreamNode) -> None:
        await made(node, **source)
        assert (await node("PUT", "f", headers=fork_of(**asked))).status == 201
        head = await node("HEAD", "f")
        assert (field(head, "stream-ttl"), field(head, "stream-expires-at")) == gets
        assert (await node("PUT", "f", headers=fork_of(**asked))).status == 200

    play(tmp_path, story)


def test_a_lifetime_taken_over_runs_by_itself(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await made(node, stream_ttl="10")
        await node("PUT", "f", headers=fork_of())
        node.clock.advance(seconds=9)
        assert (await node("GET", "f")).status == 200
        node.clock.advance(seconds=9)
        assert [(await node("HEAD", name)).status for name in "sf"] == [404, 200]

    play(tmp_path, story)


def test_a_deleted_stream_is_gone_for_all_but_its_forks(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await made(node)
        await node("PUT", "f", b" (fork)", fork_of())
        await node("PUT", "g", headers=fork_of("f", 2))
        assert (await node("DELETE", "s")).status == 204
        gone = await node("GET", "s")
        assert (gone.status, "only its forks are still read" in cause_of(gone.body)) == (410, True)
        assert await statuses(node, "s", "GET", "HEAD", "POST", "DELETE", "PUT") == [410, 410, 410, 410, 409]
        assert (await node("GET", "s?offset=-1&live=long-poll")).status == 410
        refused = await node("PUT", "h", headers=fork_of())
        assert (refused.status, "it was deleted. Fork one of its forks" in cause_of(refused.body)) == (409, True)
        assert (await node("PUT", "s", headers=fork_of("f"))).status == 409
        assert (await node("POST", "f", b"!", TEXT)).status == 204
        assert [(await node("GET", name)).body for name in "fg"] == [b"hello world! (fork)!", b"hello world"]
        assert (await node("DELETE", "f")).status == 204
        assert await statuses(node, "s", "GET", "PUT") == [410, 409]
        assert await statuses(node, "f", "GET", "PUT") == [410, 409]
        assert (await node("GET", "g")).body == b"hello world"
        assert (await node("DELETE", "g")).status == 204
        for name in "sfg":
            assert await statuses(node, name, "GET", "DELETE", "PUT", "GET") == [404, 404, 201, 200]
            assert (await node("GET", name)).body == b"x"

    play(tmp_path, story)


def test_a_stream_whose_time_is_over_is_kept_for_its_forks(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await made(node, stream_expires_at=SOON)
        await node("PUT", "f", headers=fork_of(stream_expires_at=LATER))
        node.clock.advance(seconds=10)
        assert await statuses(node, "s", "GET", "PUT") == [404, 409]
        assert (await node("PUT", "g", headers=fork_of())).status == 404
        assert await node.server.remove_expired() == 1
        assert await statuses(node, "s", "GET", "PUT") == [410, 409]
        assert (await node("PUT", "g", headers=fork_of())).status == 409
        assert (await node("GET", "f")).body == b"hello world!"
        node.clock.set_wall(START_MS + 3_600_000)
        assert (await node("GET", "f")).status == 404
        assert await node.server.remove_expired() == 1
        assert await statuses(node, "s", "GET", "PUT") == [404, 201]

    play(tmp_path, story)


def producer(seq: int, epoch: int = 0) -> dict[str, str]:
    return {**TEXT, "producer-id": "p", "producer-epoch": str(epoch), "producer-seq": str(seq)}


def test_a_fork_knows_nothing_of_its_sources_writers(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        for seq in range(2):
            await node("POST", "s", b"%d" % seq, {**producer(seq, epoch=3), "stream-seq": f"m{seq}"})
        await node("PUT", "f", headers=fork_of(offset=1))
        assert (await node("POST", "f", b"a", {**TEXT, "stream-seq": "a"})).status == 204
        assert (await node("POST", "f", b"x", producer(2, epoch=3))).status == 409
        assert (await node("POST", "f", b"b", producer(0))).status == 200
        assert (await node("GET", "f")).body == b"0ab"
        assert (await node("POST", "s", b"x", producer(1, epoch=3))).status == 204
        assert (await node("POST", "s", b"x", {**TEXT, "stream-seq": "a"})).status == 409
        assert (await node("GET", "s")).body == b"01"

    play(tmp_path, story)


async def waiting(node: StreamNode, *tasks: "asyncio.Future[Any]") -> None:
    """Until so many readers wait, having seen all that was done so far."""
    while node.server.readers.count < len(tasks):
        await asyncio.sleep(0)


def test_a_long_poll_of_a_fork_hears_nothing_of_its_source(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await made(node)
        await node("PUT", "f", headers=fork_of(offset=2))
        inherited = await node("GET", "f?offset=-1&live=long-poll")
        assert (inherited.status, inherited.body, tail(inherited)) == (200, b"hello world", 2)
        poll = asyncio.ensure_future(node("GET", f"f?offset={format_offset(2)}&live=long-poll"))
        control = asyncio.ensure_future(node("GET", "s?offset=now&live=long-poll"))
        await waiting(node, poll, control)
        await node("POST", "s", b"not for the fork", TEXT)
        assert (await control).body == b"not for the fork"
        assert not poll.done()
        await node("POST", "f", b"?", TEXT)
        answered = await poll
        assert (answered.status, answered.body, tail(answered)) == (200, b"?", 3)

    play(tmp_path, story)


def test_events_of_a_fork_tell_what_it_inherited_and_nothing_more_of_its_source(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await made(node)
        await node("PUT", "f", headers=fork_of(offset=2))
        events = await node.events("f?offset=-1&live=sse")
        first = await anext(events)
        assert first.startswith(b"event: data\ndata:hello world\n\nevent: control\n")
        assert b'"upToDate":true' in first
        following = asyncio.ensure_future(anext(events))
        control = await node.events("s?offset=now&live=sse")
        await anext(control)
        await node("POST", "s", b"not for the fork", TEXT)
        assert b"not for the fork" in await anext(control)
        assert not following.done()
        await node("DELETE", "s")
        assert [chunk async for chunk in control] == []
        assert not following.done()
        await node("POST", "f", b"?", {**TEXT, "stream-closed": "true"})
        assert (await following).startswith(b"event: data\ndata:?\n\n")
        assert [chunk async for chunk in events] == []

    play(tmp_path, story)
