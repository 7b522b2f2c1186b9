"""The child's side, against a real peer server, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from littoral.core.errors import StorageFull
from littoral.core.http import AnyResponse, Request, Response
from littoral.core.kv import KvEntry
from littoral.store.batch import CHAIN_START, StoredBatch, make_batch
from littoral.store.kv import kv_stream
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.store.transaction import Transaction
from littoral.streams.blocked import Blocked
from littoral.streams.follower import SILENCE_S
from littoral.streams.kv_again import UNSENT
from littoral.testing.loop import run
from littoral.wire import peer
from tests.support.neighbours import CHILD, URL, Neighbours
from tests.support.stores import name, records_of

S = name(f"{CHILD}/s")


def said(record: bytes) -> tuple[str, bytes | None]:
    entry = msgspec.msgpack.decode(record, type=KvEntry)
    return entry.key, entry.value


def play(story: Callable[[Neighbours], Awaitable[None]], seed: int = 1, **limits: int) -> None:
    async def main() -> None:
        both = Neighbours(seed, **limits)
        await story(both)
        await both.stop()

    run(main, seed=seed)


async def at_parent_from_another_store(both: Neighbours, *records: bytes) -> None:
    """The parent has them of the child's stream; the child's store is older than they are."""
    batch = make_batch(S, both.child.lineage + ".7", 0, records, 0, CHAIN_START)
    stored = StoredBatch(batch, "application/json", "telemetry", "root", 0)
    await both.parent.submit(lambda tx: tx.append_replica(stored, CHILD))


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


def test_each_sender_has_one_frame_in_flight_where_the_way_is_long(seed: int):
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


def test_copies_of_a_node_that_is_elsewhere_are_not_held_back_and_others_wait_for_its_key(seed: int):
    async def story(both: Neighbours) -> None:
        copies = [name("cell-1/log"), name("cell-2/log")]
        batches = [make_batch(copy, "elsewhere.1", 0, [b"1"], 0, CHAIN_START) for copy in copies]
        theirs = [StoredBatch(batch, "application/json", "telemetry", "root", 0) for batch in batches]

        def arrive(tx: Transaction) -> None:
            for stored in theirs:
                assert tx.append_replica(stored, stored.batch.origin).verdict is Verdict.APPEND

        await both.child.submit(arrive)
        both.away.add("cell-1")
        both.start()
        outbox = both.uplink.outbox
        await both.until(lambda: both.uplink.state.connected)
        assert list(outbox.blocked) == [copies[1]]
        assert "before that shows its key" in outbox.blocked[copies[1]].reason
        assert outbox.depth("telemetry").records == 1, "of cell-2"
        both.family.origins.add("cell-1")
        both.uplink.greet_again()
        await both.until(lambda: both.at_parent(copies[0]) == [b"1"])

    play(story, seed)


def test_a_parent_that_is_ahead_blocks_that_stream_and_no_other(seed: int):
    """The child's store was restored: the parent has records that are lost here."""

    async def story(both: Neighbours) -> None:
        await at_parent_from_another_store(both, b"1", b"2", b"3")
        await both.append(both.child, S, b"other")
        await both.append(both.child, name(f"{CHILD}/well"), b"1")
        both.uplink = both.make_uplink()
        both.start()
        await both.until(lambda: both.at_parent(name(f"{CHILD}/well")))
        await both.until(lambda: "older than its own history" in both.uplink.outbox.blocked[S].reason)
        assert both.at_parent(S) == [b"1", b"2", b"3"]
        assert records_of(both.child, S) == [b"other"], "divergence is never discarded"

    play(story, seed)


def test_a_stream_whose_history_forked_is_blocked_and_says_where(seed: int):
    async def story(both: Neighbours) -> None:
        await at_parent_from_another_store(both, b"1")
        await both.append(both.child, S, b"other")
        await both.append(both.child, S, b"more")
        both.uplink = both.make_uplink()
        both.start()
        await both.until(lambda: S in both.uplink.outbox.blocked)
        assert both.uplink.outbox.blocked[S] == Blocked("diverged", "diverged at offset 1 of the parent's copy")

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
        refused = Blocked("refused", "refused at offset 0 of the parent's copy")
        assert both.uplink.outbox.blocked == {name(f"{CHILD}/new"): refused}
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
        assert both.uplink.outbox.blocked[S].kind == "corrupt"
        assert both.at_parent(S) == []

    play(story, seed)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_link_too_slow_for_a_frame_gets_smaller_ones_until_it_drains(direction: str, seed: int):
    async def story(both: Neighbours) -> None:
        stream = S if direction == "up" else name("cloud/orders")
        from_store, to_store = (both.child, both.parent) if direction == "up" else (both.parent, both.child)
        both.family.followed.add(name("cloud/orders"))

        async def slow(request: Request) -> AnyResponse:
            response = await both._handle(request)
            size = len(request.body) + (len(response.body) if isinstance(response, Response) else 0)
            await asyncio.sleep(size / SLOW_BYTES_PER_S)
            return response

        both.network.serve(URL, slow)
        for _ in range(40):
            await both.append(from_store, stream, both.below.random.token_bytes(10_000))
        # A single batch that is larger than the smallest frame.
        await both.append(from_store, stream, both.below.random.token_bytes(60_000))
        both.start()
        async with asyncio.timeout(3600):
            while len(records_of(to_store, stream)) < 41:
                await asyncio.sleep(1)
        assert records_of(to_store, stream) == records_of(from_store, stream)
        pace = both.uplink.link.up if direction == "up" else both.uplink.link.down
        both.network.serve(URL, both._handle)
        assert pace.bytes < 64_000
        for _ in range(3):
            await both.append(from_store, stream, *(both.below.random.token_bytes(10_000) for _ in range(200)))
        await both.until(lambda: records_of(to_store, stream) == records_of(from_store, stream))
        assert pace.bytes == 1 << 20, "a link that is quick again gets large frames again"

    play(story, seed)


SLOW_BYTES_PER_S = 2_000


def test_a_stream_that_was_deleted_and_made_anew_arrives_whole_and_what_was_there_is_set_aside(seed: int):
    async def story(both: Neighbours) -> None:
        both.start()
        await both.append(both.child, S, b"1", b"2", b"3")
        await both.until(lambda: both.at_parent(S) == [b"1", b"2", b"3"])
        await both.child.submit(lambda tx: tx.delete_stream(S))
        assert S not in both.uplink.outbox.names()
        await both.append(both.child, S, b"new")
        await both.until(lambda: both.at_parent(S) == [b"new"])
        assert both.at_parent(name(f"{CHILD}/former/s")) == [b"1", b"2", b"3"]
        await both.append(both.child, S, b"newer")
        await both.until(lambda: both.at_parent(S) == [b"new", b"newer"])
        assert both.uplink.outbox.blocked == {}
        assert both.uplink.state.sessions == 1

    play(story, seed)


def test_a_stream_made_anew_while_the_link_was_cut_arrives_whole(seed: int):
    async def story(both: Neighbours) -> None:
        both.start()
        await both.append(both.child, S, b"1", b"2", b"3")
        await both.until(lambda: both.at_parent(S))
        both.link.cut()
        await both.until(lambda: not both.uplink.state.connected)

        def anew(tx: Transaction) -> None:
            tx.delete_stream(S)
            tx.open_stream(S)
            tx.append(S, [b"new"])

        await both.child.submit(anew)
        both.link.restore()
        await both.until(lambda: both.at_parent(S) == [b"new"])
        assert both.uplink.outbox.blocked == {}

    play(story, seed)


def test_what_comes_down_and_cannot_be_taken_over_blocks_its_stream_only(seed: int):
    async def story(both: Neighbours) -> None:
        bad, good = name("cloud/bad"), name("cloud/good")
        both.family.followed |= {bad, good}

        async def handle(request: Request) -> AnyResponse:
            if request.path == peer.READ and request.query["stream"] == str(bad):
                return Response(200, (), b"nonsense")
            return await both._handle(request)

        both.network.serve(URL, handle)
        await both.append(both.parent, bad, b"1")
        await both.append(both.parent, good, b"1")
        both.start()
        await both.until(lambda: records_of(both.child, good) == [b"1"])
        assert "is not what this version" in both.uplink.outbox.blocked[bad].reason
        assert both.uplink.state.sessions == 1

    play(story, seed)


def test_key_value_writes_that_retention_took_unsent_are_said_again(seed: int):
    async def story(both: Neighbours) -> None:
        stream = name(f"{CHILD}/kv/lines")

        def at_parent() -> dict[str, bytes | None]:
            entries = [msgspec.msgpack.decode(record, type=KvEntry) for record in both.at_parent(stream)]
            return {entry.key: entry.value for entry in entries}

        def write(n: int, tx: Transaction) -> None:
            tx.kv_put("lines", f"k{n}", b"%d" % n)

        async def put(first: int) -> None:
            for n in range(first, first + 30):
                await both.child.submit(partial(write, n))

        await put(0)
        info = both.child.stream(stream)
        assert info is not None
        assert await both.child.submit(lambda tx: tx.retain(stream, 0, 1000)) > 20
        both.start()
        await both.until(lambda: len(at_parent()) == 30)
        await both.until(lambda: not both.child.state(UNSENT))
        both.link.cut()
        await both.until(lambda: not both.uplink.state.connected)
        await put(30)
        await both.child.submit(lambda tx: tx.retain(stream, 0, 1000))
        # The process ends as soon as it is noted that something is to be said again.
        both.link.restore()
        await both.until(lambda: both.child.state(UNSENT))
        await both.tasks.stop()
        both.uplink = both.make_uplink()
        both.start()
        await both.until(lambda: at_parent() == {f"k{n}": b"%d" % n for n in range(60)})
        await both.until(lambda: not both.child.state(UNSENT))

    play(story, seed, stream_bytes=200, kv_list_keys=7)


def test_key_value_writes_of_which_retention_left_nothing_are_said_again(seed: int):
    """There is no record after them, whose way up would show that they are missing."""

    async def story(both: Neighbours) -> None:
        await both.child.submit(lambda tx: tx.kv_put("lines", "k", b"kept"))
        stream = kv_stream(CHILD, "lines")
        assert await both.child.submit(lambda tx: tx.retain(stream, 0, 1000)) == 1
        both.uplink = both.make_uplink()  # The process ends before any of it is noted.
        both.start()
        await both.until(lambda: [said(record) for record in both.at_parent(stream)] == [("k", b"kept")])
        await both.until(lambda: not both.child.state(UNSENT))

        # The same while a frame is under way.
        both.link.cut("requests")
        await both.child.submit(lambda tx: tx.kv_put("lines", "k", b"new"))
        assert await both.child.submit(lambda tx: tx.retain(stream, 0, 1000)) >= 1
        both.link.restore()
        await both.until(lambda: said(both.at_parent(stream)[-1]) == ("k", b"new"))

    play(story, seed, stream_bytes=1)
