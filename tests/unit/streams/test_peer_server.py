"""The parent's side: who may write and read what."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pytest

from littoral.core.errors import Forbidden, InvalidInput, MethodNotAllowed, NotFound
from littoral.core.http import Request, Response, StreamingResponse
from littoral.store.batch import StoredBatch, chain_after
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.streams.peer_server import HEARTBEAT_S
from littoral.testing.loop import run
from littoral.wire import peer
from tests.support.neighbours import CHILD, Neighbours
from tests.support.stores import name

S = name(f"{CHILD}/s")
T = TypeVar("T")


def play(story: Callable[[Neighbours], Awaitable[None]]) -> None:
    async def main() -> None:
        both = Neighbours()
        await story(both)
        await both.stop()

    run(main)


async def ask(both: Neighbours, method: str, path: str, kind: type[T], body: object = None, **query: str) -> T:
    data = peer.pack(body) if path == peer.BATCHES else peer.encode(body)
    response = await both.server.handle(CHILD, Request(method, path, query, body=data))
    assert isinstance(response, Response)
    return peer.decode(response.body, kind, "answer")


async def hello(both: Neighbours, *streams: tuple[str, str], protocol: int = 1) -> dict[str, int]:
    said = peer.Hello(protocol, CHILD, [peer.Member(CHILD, "site", {})], list(streams))
    welcome = await ask(both, "POST", peer.HELLO, peer.Welcome, said)
    return {f"{mark.origin}/{mark.path}": mark.next for mark in welcome.marks}


async def frame_of(both: Neighbours, *records: bytes) -> list[StoredBatch]:
    await both.append(both.child, S, *records)
    return both.child.read_stored(S, 0, 1 << 20)


async def channel(both: Neighbours) -> StreamingResponse:
    response = await both.server.handle(CHILD, Request("GET", peer.NOTIFY))
    assert isinstance(response, StreamingResponse)
    return response


async def heard(response: StreamingResponse) -> dict[str, int]:
    event = await anext(response.chunks)
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    marks = msgspec.json.decode(event[6:], type=list[peer.Mark])
    return {f"{mark.origin}/{mark.path}": mark.next for mark in marks}


def test_hello_says_where_the_copies_end():
    async def story(both: Neighbours) -> None:
        frame = await frame_of(both, b"1", b"2")
        assert await hello(both, (CHILD, "s"), (CHILD, "new")) == {f"{CHILD}/s": 0, f"{CHILD}/new": 0}
        await ask(both, "POST", peer.BATCHES, list[ReplicaOutcome], frame)
        assert await hello(both, (CHILD, "s")) == {f"{CHILD}/s": 2}

    play(story)


def test_hello_says_nothing_of_streams_that_are_not_the_childs():
    async def story(both: Neighbours) -> None:
        await both.append(both.parent, name("cloud/secret"), b"1", b"2")
        assert await hello(both, ("cloud", "secret"), ("plant-b", "s")) == {}

    play(story)


def test_another_version_of_the_protocol_is_refused_with_both_numbers():
    async def story(both: Neighbours) -> None:
        with pytest.raises(InvalidInput, match="speaks peer protocol 99, this node speaks 1"):
            await hello(both, protocol=99)

    play(story)


def test_records_of_a_node_outside_the_subtree_are_refused_and_nothing_is_stored():
    async def story(both: Neighbours) -> None:
        frame = await frame_of(both, b"1")
        both.family.origins.clear()
        with pytest.raises(Forbidden, match="not in the subtree of plant-a"):
            await ask(both, "POST", peer.BATCHES, list[ReplicaOutcome], frame)
        assert both.parent.streams() == []

    play(story)


def test_records_of_the_parents_own_are_refused_even_to_a_child_that_may_write_everything():
    async def story(both: Neighbours) -> None:
        both.family.origins.add("cloud")
        await both.append(both.parent, name("cloud/s"), b"1")
        frame = both.parent.read_stored(name("cloud/s"), 0, 1 << 20)
        (outcome,) = await ask(both, "POST", peer.BATCHES, list[ReplicaOutcome], frame)
        assert outcome.verdict is Verdict.REFUSED

    play(story)


def test_a_frame_sent_twice_is_stored_once_and_counted_once():
    async def story(both: Neighbours) -> None:
        frame = await frame_of(both, b"1", b"2")
        verdicts = []
        for _ in range(2):
            (outcome,) = await ask(both, "POST", peer.BATCHES, list[ReplicaOutcome], frame)
            verdicts.append((outcome.verdict, outcome.next))
        assert verdicts == [(Verdict.APPEND, 2), (Verdict.DUPLICATE, 2)]
        assert both.server.received_records == 2
        assert both.at_parent(S) == [b"1", b"2"]

    play(story)


def test_a_frame_waits_for_each_stream_that_one_it_overtook_would_make():
    """And a stream that is not made until then does not keep it from waiting for the others."""

    async def story(both: Neighbours) -> None:
        names = [name(f"{CHILD}/{path}") for path in ("never", "s", "t")]
        for _ in range(2):
            for stream in names:
                await both.append(both.child, stream, b"1")
        frames = [both.child.read_stored(stream, 0, 1 << 20) for stream in names]
        later = [frame[1] for frame in frames]
        overtaking = asyncio.gather(ask(both, "POST", peer.BATCHES, list[ReplicaOutcome], later, ahead="1"))
        await asyncio.sleep(0.5)
        await ask(both, "POST", peer.BATCHES, list[ReplicaOutcome], [frames[1][0], frames[2][0]])
        ((*outcomes,),) = await overtaking
        assert [(outcome.verdict, outcome.next) for outcome in outcomes] == [
            (Verdict.GAP, 0),
            (Verdict.APPEND, 2),
            (Verdict.APPEND, 2),
        ]

    play(story)


def test_notify_tells_all_tails_at_first_and_then_each_as_it_moves():
    async def story(both: Neighbours) -> None:
        down, other = name("cloud/orders"), name("cloud/private")
        both.family.followed.add(down)
        await both.append(both.parent, down, b"1")
        await both.append(both.parent, other, b"1")
        response = await channel(both)
        assert await heard(response) == {"cloud/orders": 1}
        assert both.server.connected == [CHILD]
        await both.append(both.parent, other, b"2")
        await both.append(both.parent, down, b"2")
        assert await heard(response) == {"cloud/orders": 2}
        loop = asyncio.get_running_loop()
        quiet_s = loop.time()
        assert await heard(response) == {}
        assert loop.time() - quiet_s == pytest.approx(HEARTBEAT_S)

    play(story)


def test_a_newer_channel_of_a_child_ends_the_older():
    async def story(both: Neighbours) -> None:
        older = await channel(both)
        await heard(older)
        newer = await channel(both)
        await heard(newer)
        rest = [event async for event in older.chunks]
        assert len(rest) <= 1
        assert both.server.connected == [CHILD]
        await newer.chunks.aclose()  # type: ignore[attr-defined]
        assert both.server.connected == []

    play(story)


def test_a_session_may_be_ended_before_its_channel_is_open():
    async def story(both: Neighbours) -> None:
        await hello(both)
        both.server.end_session(CHILD)
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await heard(await channel(both))
        await hello(both)
        assert await heard(await channel(both)) == {}

    play(story)


def test_a_stream_that_the_child_does_not_follow_is_not_there():
    async def story(both: Neighbours) -> None:
        await both.append(both.parent, name("cloud/private"), b"1")
        for stream in ("cloud/private", "cloud/none"):
            with pytest.raises(NotFound, match="does not follow such a stream"):
                await ask(both, "GET", peer.READ, list[StoredBatch], stream=stream, offset="0")

    play(story)


@pytest.mark.parametrize("offset", ["", "-1", "x", "1.5", "9" * 5000])
def test_an_offset_that_is_none_is_refused(offset: str):
    async def story(both: Neighbours) -> None:
        both.family.followed.add(name("cloud/orders"))
        await both.append(both.parent, name("cloud/orders"), b"1")
        with pytest.raises(InvalidInput, match="is not a whole number"):
            await ask(both, "GET", peer.READ, list[StoredBatch], stream="cloud/orders", offset=offset)

    play(story)


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [("GET", peer.HELLO, MethodNotAllowed), ("POST", peer.READ, MethodNotAllowed), ("GET", "/v1/other", NotFound)],
)
def test_what_it_does_not_answer(method: str, path: str, error: type[Exception]):
    async def story(both: Neighbours) -> None:
        with pytest.raises(error):
            await both.server.handle(CHILD, Request(method, path))

    play(story)


@pytest.mark.parametrize("path", [peer.HELLO, peer.BATCHES])
def test_a_body_that_is_no_message_is_the_childs_fault(path: str):
    async def story(both: Neighbours) -> None:
        with pytest.raises(InvalidInput, match="Run the same version on both nodes"):
            await both.server.handle(CHILD, Request("POST", path, body=b"\xc1"))

    play(story)


def test_a_stream_that_a_child_is_to_have_from_now_on_is_told_though_it_does_not_move():
    async def story(both: Neighbours) -> None:
        await both.append(both.parent, name("cloud/orders"), b"1")
        response = await channel(both)
        assert await heard(response) == {}
        both.family.followed.add(name("cloud/orders"))
        both.server.review()
        assert await heard(response) == {"cloud/orders": 1}

    play(story)


def test_a_child_is_given_no_more_at_once_than_it_asks_for():
    async def story(both: Neighbours) -> None:
        both.family.followed.add(name("cloud/orders"))
        for _ in range(4):
            await both.append(both.parent, name("cloud/orders"), b"x" * 100)
        query = {"stream": "cloud/orders", "offset": "0"}
        assert len(await ask(both, "GET", peer.READ, list[StoredBatch], **query)) == 4
        assert len(await ask(both, "GET", peer.READ, list[StoredBatch], **query, most="1")) == 1
        with pytest.raises(InvalidInput, match="most 'x' is not a whole number"):
            await ask(both, "GET", peer.READ, list[StoredBatch], **query, most="x")

    play(story)


@pytest.mark.parametrize(
    "change", [{"next": 0}, {"first": 5}, {"first": -1}, {"next": 1 << 63}, {"appended_ms": 1 << 63}, {"codec": 7}]
)
def test_impossible_numbers_from_a_child_are_refused_and_what_else_is_in_the_frame_is_taken(change: dict[str, int]):
    async def story(both: Neighbours) -> None:
        (stored,) = await frame_of(both, b"1")
        batch = msgspec.structs.replace(stored.batch, path="forged", **change)
        if batch.first >= 0:
            chain = chain_after(batch.chain_before, batch.first, batch.next, batch.payload)
            batch = msgspec.structs.replace(batch, chain=chain)
        forged = msgspec.structs.replace(stored, batch=batch)
        outcomes = await ask(both, "POST", peer.BATCHES, list[ReplicaOutcome], [forged, stored])
        assert [outcome.verdict for outcome in outcomes] == [Verdict.CORRUPT, Verdict.APPEND]
        assert both.parent.stream(name(f"{CHILD}/forged")) is None

    play(story)
