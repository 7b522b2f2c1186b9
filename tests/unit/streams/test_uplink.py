"""The child's side, against a real peer server, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import StorageFull
from littoral.core.http import AnyResponse, Request, Response
from littoral.store.batch import StoredBatch
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.streams.uplink import SILENCE_S
from littoral.testing.loop import run
from littoral.wire import peer
from tests.support.neighbours import CHILD, URL, Neighbours
from tests.support.stores import name, records_of

S = name(f"{CHILD}/s")


def play(story: Callable[[Neighbours], Awaitable[None]], seed: int = 1, **limits: int) -> None:
    async def main() -> None:
        both = Neighbours(seed, **limits)
        await story(both)
        await both.stop()

    run(main, seed=seed)


def test_records_reach_the_parent_with_origin_and_offsets(seed: int):
    async def story(both: Neighbours) -> None:
        both.start()
        for n in range(20):
            await both.append(both.child, S, b"%d" % n)
        await both.until(lambda: len(both.at_parent(S)) == 20)
        assert both.at_parent(S) == [b"%d" % n for n in range(20)]
        assert both.uplink.state.shipped_records == 20
        assert both.uplink.state.connected

    play(story, seed)


def test_each_sender_has_one_frame_in_flight(seed: int):
    async def story(both: Neighbours) -> None:
        both.link.delay_s = 0.5
        for n in range(30):
            await both.append(both.child, S, b"x" * 200)
            await both.append(both.child, name(f"{CHILD}/alerts"), b"%d" % n, lane="alerts")
        both.start()
        await both.until(lambda: len(both.at_parent(S)) == 30)
        assert both.most_open_frames <= 2
        assert len(both.frames) >= 4

    play(story, seed, uplink_batch_bytes=500)


def test_alerts_overtake_what_waits_in_other_lanes(seed: int):
    async def story(both: Neighbours) -> None:
        both.link.delay_s = 0.1
        for _ in range(40):
            await both.append(both.child, S, both.below.random.token_bytes(400))
        both.start()
        await both.until(lambda: both.frames)
        await both.append(both.child, name(f"{CHILD}/alerts"), b"fire", lane="alerts")
        await both.until(lambda: both.at_parent(name(f"{CHILD}/alerts")))
        assert len(both.at_parent(S)) < 20

    play(story, seed, uplink_batch_bytes=500)


def test_a_parent_that_is_away_is_asked_ever_more_rarely_up_to_the_cap(seed: int):
    async def story(both: Neighbours) -> None:
        both.network.stop(URL)
        both.start()
        await asyncio.sleep(300)
        tries = both.network.counts["requests"]
        assert 300 / 5 <= tries <= 300 / 2.5 + 10, "half of each delay of at most 5 s is fixed"
        assert not both.uplink.state.connected
        assert "refused" in both.uplink.state.last_error

    play(story, seed, retry_delay_ms=5_000)


def test_a_session_that_always_fails_after_its_hello_is_backed_off_too(seed: int):
    """The parent greets, and then refuses every frame: its disk is full."""

    async def story(both: Neighbours) -> None:
        async def full(request: Request) -> AnyResponse:
            if request.path == peer.BATCHES:
                raise StorageFull("commit to", "store.db", "the disk is full", "Free some space")
            return await both.server.handle(CHILD, request)

        both.network.serve(URL, full)
        await both.append(both.child, S, b"1")
        both.start()
        await asyncio.sleep(300)
        assert both.uplink.state.sessions <= 300 / 2.5 + 10
        assert "the disk is full" in both.uplink.state.last_error
        both.network.serve(URL, both._handle)
        await both.until(lambda: both.at_parent(S) == [b"1"])

    play(story, seed, retry_delay_ms=5_000)


def test_a_half_open_link_is_noticed_by_its_silence(seed: int):
    async def story(both: Neighbours) -> None:
        both.start()
        await both.until(lambda: both.uplink.state.connected)
        await asyncio.sleep(60)
        assert both.uplink.state.sessions == 1, "heartbeats keep a quiet session open"
        both.link.cut()
        loop = asyncio.get_running_loop()
        cut_s = loop.time()
        await both.until(lambda: not both.uplink.state.connected)
        assert loop.time() - cut_s <= SILENCE_S + 1
        both.link.restore()
        await both.until(lambda: both.uplink.state.connected)

    play(story, seed)


@pytest.mark.parametrize("direction", ["requests", "responses"])
def test_what_was_lost_on_the_way_is_sent_again_and_stored_once(direction, seed: int):
    async def story(both: Neighbours) -> None:
        both.start()
        await both.until(lambda: both.uplink.state.connected)
        both.link.cut(direction)
        await both.append(both.child, S, b"1", b"2")
        await asyncio.sleep(40)
        both.link.restore()
        await both.until(lambda: len(both.at_parent(S)) >= 2)
        await asyncio.sleep(40)
        assert both.at_parent(S) == [b"1", b"2"]

    play(story, seed)


def test_new_members_are_told_at_once_by_a_new_session(seed: int):
    async def story(both: Neighbours) -> None:
        both.start()
        await both.until(lambda: both.uplink.state.connected)
        both.members = [*both.members, peer.Member("cell-1", "device", {})]
        both.uplink.greet_again()
        await both.until(lambda: len(both.family.greeted) == 2)
        assert [member.node for member in both.family.greeted[1]] == [CHILD, "cell-1"]
        assert both.hellos_s[1] - both.hellos_s[0] < 1, "without the wait that a failure costs"

    play(story, seed)


def test_a_parent_that_is_ahead_blocks_that_stream_and_no_other(seed: int):
    """The child's store was restored: the parent has records that are lost here."""

    async def story(both: Neighbours) -> None:
        await both.append(both.child, S, b"1", b"2", b"3")
        stored = both.child.read_stored(S, 0, 1 << 20)
        await both.parent.submit(lambda tx: [tx.append_replica(each, CHILD) for each in stored])
        await both.child.submit(lambda tx: tx.delete_stream(S))
        await both.append(both.child, S, b"other")
        await both.append(both.child, name(f"{CHILD}/well"), b"1")
        both.uplink = both.make_uplink()
        both.start()
        await both.until(lambda: both.at_parent(name(f"{CHILD}/well")))
        assert "older than its own history" in both.uplink.outbox.blocked[S]
        assert both.at_parent(S) == [b"1", b"2", b"3"]
        assert records_of(both.child, S) == [b"other"], "divergence is never discarded"

    play(story, seed)


def test_a_stream_whose_history_forked_is_blocked_and_says_where(seed: int):
    async def story(both: Neighbours) -> None:
        await both.append(both.child, S, b"1")
        stored = both.child.read_stored(S, 0, 1 << 20)
        await both.parent.submit(lambda tx: [tx.append_replica(each, CHILD) for each in stored])
        await both.child.submit(lambda tx: tx.delete_stream(S))
        await both.append(both.child, S, b"other")
        await both.append(both.child, S, b"more")
        both.uplink = both.make_uplink()
        both.start()
        await both.until(lambda: S in both.uplink.outbox.blocked)
        assert both.uplink.outbox.blocked[S] == "diverged at offset 1 of the parent's copy"

    play(story, seed)


def test_a_stream_the_parent_has_no_room_for_is_blocked_and_the_others_go_on(seed: int):
    async def story(both: Neighbours) -> None:
        both.start()
        await both.append(both.child, S, b"1")
        await both.until(lambda: both.at_parent(S))
        both.above.limits._values["streams"] = 1
        await both.append(both.child, name(f"{CHILD}/new"), b"1")
        await both.append(both.child, S, b"2")
        await both.until(lambda: both.at_parent(S) == [b"1", b"2"])
        await both.until(lambda: both.uplink.outbox.blocked)
        assert both.uplink.outbox.blocked == {name(f"{CHILD}/new"): "refused at offset 0 of the parent's copy"}
        assert both.uplink.state.sessions == 1

    play(story, seed)


def test_a_stream_of_a_node_that_the_parent_does_not_know_is_blocked_from_the_hello_on(seed: int):
    async def story(both: Neighbours) -> None:
        both.family.origins.clear()
        await both.append(both.child, S, b"1")
        both.start()
        await both.until(lambda: S in both.uplink.outbox.blocked)
        await asyncio.sleep(60)
        assert both.frames == []
        assert both.uplink.state.sessions == 1

    play(story, seed)


def test_what_comes_down_is_followed_and_moves_on_with_the_parent(seed: int):
    async def story(both: Neighbours) -> None:
        down = name("cloud/orders")
        both.family.followed.add(down)
        await both.append(both.parent, down, b"1", b"2", reach="node")
        both.start()
        await both.until(lambda: records_of(both.child, down) == [b"1", b"2"])
        await both.append(both.parent, down, b"3")
        await both.until(lambda: records_of(both.child, down) == [b"1", b"2", b"3"])
        assert both.uplink.state.followed_records == 3
        assert down not in both.uplink.outbox.names(), "it does not go back up"

    play(story, seed)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"no msgpack",
        peer.encode([]),
        peer.encode([ReplicaOutcome("x", "y", Verdict.APPEND, 1), ReplicaOutcome("x", "y", Verdict.APPEND, 2)]),
    ],
)
def test_nonsense_in_an_answer_ends_the_session_and_not_the_node(nonsense: bytes, seed: int):
    async def story(both: Neighbours) -> None:
        async def handle(request: Request) -> AnyResponse:
            if request.path == peer.BATCHES:
                return Response(200, (), nonsense)
            return await both.server.handle(CHILD, request)

        both.network.serve(URL, handle)
        await both.append(both.child, S, b"1")
        both.start()
        await both.until(lambda: both.uplink.state.last_error)
        assert URL in both.uplink.state.last_error or "outcomes" in both.uplink.state.last_error
        both.network.serve(URL, both._handle)
        await both.until(lambda: both.at_parent(S) == [b"1"])

    play(story, seed)


def test_a_batch_that_was_damaged_on_the_way_blocks_its_stream(seed: int):
    async def story(both: Neighbours) -> None:
        async def damage(request: Request) -> AnyResponse:
            if request.path == peer.BATCHES:
                frame = peer.unpack(request.body, list[StoredBatch], "batches")
                raw = peer.encode(frame).replace(b"reading", b"rEading")
                damaged = peer.decode(raw, list[StoredBatch], "batches")
                request = Request(request.method, request.path, body=peer.pack(damaged))
            return await both.server.handle(CHILD, request)

        both.network.serve(URL, damage)
        await both.append(both.child, S, b"reading")
        both.start()
        await both.until(lambda: S in both.uplink.outbox.blocked)
        assert both.uplink.outbox.blocked[S].startswith("corrupt")
        assert both.at_parent(S) == []

    play(story, seed)
