"""What goes up, in which order, and what is said of what waits."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.lanes import SHARED, Lane
from littoral.core.names import StreamName
from littoral.core.resources.model import SpillPlace, Storage, StreamBudget, Ttl
from littoral.store.spiller import Spiller
from littoral.store.store import Store
from littoral.store.stream import Reach, StreamInfo
from littoral.streams.holds import Holds
from littoral.streams.outbox import LOOK_BATCHES, UPLINK_FOLD, Outbox, goes_up
from littoral.streams.ttl import SendTtl
from littoral.testing.loop import run
from littoral.testing.offload import at_once
from tests.support import stores
from tests.support.stores import SimStore, name

ALL: tuple[Lane, ...] = ("control", "alerts", "state", "telemetry", "bulk")


def play(story: Callable[[SimStore], Awaitable[None]], **limits: int) -> None:
    async def main() -> None:
        sim = SimStore(**limits)
        sim.open()
        await story(sim)

    run(main)


async def append(sim: SimStore, stream: str, *records: bytes, lane: Lane = "telemetry", reach: Reach = "root") -> None:
    assert sim.store is not None
    await sim.store.submit(stores.append(name(stream), *records, lane=lane, reach=reach))


def shipped(outbox: Outbox, *, most_bytes: int = 1 << 20) -> list[str]:
    """The streams of the next frame, which the parent then takes over."""
    frame = outbox.take(ALL, most_bytes)
    outbox.posted(frame)
    for stored in frame:
        outbox.set_mark(stored.batch.name, stored.batch.next)
    return [str(stored.batch.name) for stored in frame]


@pytest.mark.parametrize(
    ("origin", "reach", "via", "goes"),
    [
        ("eu", "node", "", False),
        ("eu", "link", "", True),
        ("eu", "root", "", True),
        ("plant-a", "root", "plant-a", True),
        ("plant-a", "link", "plant-a", False),
        ("cloud", "root", "cloud", False),
    ],
)
def test_a_stream_goes_up_by_its_reach_and_where_it_came_from(origin: str, reach: Reach, via: str, goes: bool):
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        stream = StreamName(origin, "s")
        await sim.store.submit(lambda tx: tx.open_stream(stream, reach=reach, via=via))
        info = sim.store.stream(stream)
        assert info is not None
        assert goes_up(info, "eu", "cloud") is goes

    play(story)


def test_an_urgent_lane_is_served_only_while_no_more_urgent_one_has_anything():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for lane in ("bulk", "alerts", "control"):
            for _ in range(2):
                await append(sim, f"plant-a/{lane}", b"1", lane=lane)
        outbox = Outbox(sim.store, "cloud")
        order = ["control", "control", "alerts", "alerts", "bulk", "bulk"]
        assert [shipped(outbox, most_bytes=1) for _ in range(7)] == [[f"plant-a/{lane}"] for lane in order] + [[]]

    play(story)


def test_lanes_that_are_full_share_the_link_by_their_weights():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for _ in range(120):
            for lane in SHARED:
                await append(sim, f"plant-a/{lane}", sim.random.token_bytes(1000), lane=lane)
        outbox = Outbox(sim.store, "cloud")
        sent = Counter(stream for _ in range(15) for stream in shipped(outbox, most_bytes=10_000))
        assert sent["plant-a/state"] == pytest.approx(8 * sent["plant-a/bulk"], abs=8)
        assert sent["plant-a/telemetry"] == pytest.approx(4 * sent["plant-a/bulk"], abs=4)
        assert sent["plant-a/bulk"] >= 9

    play(story)


def test_a_batch_larger_than_its_lanes_share_is_sent_and_then_the_others_catch_up():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for _ in range(3):
            await append(sim, "plant-a/bulk", sim.random.token_bytes(20_000), lane="bulk")
        for _ in range(600):
            await append(sim, "plant-a/state", sim.random.token_bytes(1000), lane="state")
        outbox = Outbox(sim.store, "cloud")
        frames = [shipped(outbox, most_bytes=5_000) for _ in range(100)]
        sent = [frame.count("plant-a/state") for frame in frames if "plant-a/bulk" in frame]
        at = [place for place, frame in enumerate(frames) if "plant-a/bulk" in frame]
        assert len(sent) == 3
        assert at[0] <= 1
        assert [later - earlier for earlier, later in pairwise(at)] == [pytest.approx(32, abs=2)] * 2

    play(story)


@settings(max_examples=40)
@given(st.data())
def test_whatever_waits_everything_is_sent_once_in_the_order_of_its_stream_and_no_lane_waits_for_long(
    data: st.DataObject,
):
    streams = {f"plant-a/{lane}-{n}": lane for lane in ALL for n in range(2)}
    batches = data.draw(st.lists(st.tuples(st.sampled_from(sorted(streams)), st.integers(1, 3_000)), max_size=60))
    most_bytes = data.draw(st.integers(1, 4_000))

    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for stream, size in batches:
            await append(sim, stream, sim.random.token_bytes(size), lane=streams[stream])
        outbox = Outbox(sim.store, "cloud")
        offsets: dict[str, int] = {}
        nothing_for = dict.fromkeys(SHARED, 0)
        while frame := outbox.take(ALL, most_bytes):
            room = most_bytes
            for stored in frame:
                assert room > 0, "a frame is full, and one batch more"
                room -= len(stored.batch.payload)
                stream = str(stored.batch.name)
                assert stored.batch.first == offsets.get(stream, 0)
                offsets[stream] = stored.batch.next
                outbox.set_mark(stored.batch.name, stored.batch.next)
            sent = {stored.lane for stored in frame}
            for lane in SHARED:
                waits = outbox.depth(lane).records and not sent & {"control", "alerts"}
                nothing_for[lane] = nothing_for[lane] + 1 if waits and lane not in sent else 0
                # The largest batch of another lane, at the ratio of their weights, and one frame each.
                assert nothing_for[lane] <= 8 * 3_000 / most_bytes + 3_000 / most_bytes + 13
        assert offsets == Counter(stream for stream, _ in batches)

    play(story)


def test_what_less_urgent_lanes_have_rides_along_where_a_frame_has_room():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for lane in reversed(ALL):
            await append(sim, f"plant-a/{lane}", b"1", lane=lane)
        assert shipped(Outbox(sim.store, "cloud")) == [f"plant-a/{lane}" for lane in ALL]

    play(story)


def test_streams_of_a_lane_take_turns_when_a_frame_is_full():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for _ in range(3):
            await append(sim, "plant-a/loud", b"x" * 100)
            await append(sim, "plant-a/soft", b"y")
        outbox = Outbox(sim.store, "cloud")
        first, second = shipped(outbox, most_bytes=10), shipped(outbox, most_bytes=10)
        assert {first[0], second[0]} == {"plant-a/loud", "plant-a/soft"}

    play(story)


def test_taking_less_instead_takes_nobodys_turn():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for n in range(80):
            await append(sim, f"plant-a/{n % 4}", b"x" * 100)
        outbox = Outbox(sim.store, "cloud")
        firsts: Counter[str] = Counter()
        for _ in range(40):
            # As where a frame turns out to be too large for the link's budget.
            assert outbox.take(ALL, 200)[0].batch.name == outbox.take(ALL, 100)[0].batch.name
            firsts[shipped(outbox, most_bytes=100)[0]] += 1
        assert set(firsts.values()) == {10}

    play(story)


def test_a_frame_costs_what_is_in_it_however_many_streams_have_nothing_to_send(monkeypatch: pytest.MonkeyPatch):
    async def story(sim: SimStore) -> None:
        store = sim.store
        assert store is not None
        for n in range(100):
            await append(sim, f"plant-a/{n}", b"x")
        outbox = Outbox(store, "cloud")
        store.watch(outbox.note, outbox.forget)
        assert len(shipped(outbox)) == 100
        assert shipped(outbox) == []
        asked: list[StreamName] = []
        stream = store.stream

        def noted(each: StreamName) -> StreamInfo | None:
            asked.append(each)
            return stream(each)

        monkeypatch.setattr(store, "stream", noted)
        await append(sim, "plant-a/7", b"y")
        assert shipped(outbox) == ["plant-a/7"]
        assert shipped(outbox) == []
        assert set(asked) == {name("plant-a/7")}

    play(story)


def test_nothing_is_marked_as_sent_before_the_parent_answers():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        await append(sim, "plant-a/s", b"1", b"2")
        outbox = Outbox(sim.store, "cloud")
        assert outbox.take(ALL, 100) == outbox.take(ALL, 100)
        outbox.set_mark(name("plant-a/s"), 2)
        assert outbox.take(ALL, 100) == []

    play(story)


def test_a_blocked_stream_is_kept_back_and_the_others_go_on():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        await append(sim, "plant-a/forked", b"1")
        await append(sim, "plant-a/well", b"1")
        outbox = Outbox(sim.store, "cloud")
        outbox.block(name("plant-a/forked"), "diverged", "diverged at offset 0")
        assert shipped(outbox) == ["plant-a/well"]
        assert shipped(outbox) == []
        assert outbox.depth("telemetry").records == 1, "what is kept back still shows as waiting"

    play(story)


def test_the_depth_of_a_lane_counts_records_and_knows_the_oldest():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        outbox = Outbox(sim.store, "cloud")
        assert (outbox.depth("alerts").records, outbox.depth("alerts").oldest_ms) == (0, None)
        began_ms = sim.clock.wall_ms()
        await append(sim, "plant-a/a", b"1", b"2", lane="alerts")
        await append(sim, "plant-a/b", b"3", lane="alerts")
        for info in sim.store.streams():
            outbox.note(info)
        depth = outbox.depth("alerts")
        assert depth.records == 3
        assert depth.oldest_ms is not None
        assert began_ms <= depth.oldest_ms <= sim.clock.wall_ms()
        outbox.set_mark(name("plant-a/a"), 2)
        assert outbox.depth("alerts").records == 1

    play(story)


def test_the_depth_is_known_without_a_look_at_the_records():
    async def main() -> None:
        bounds = Storage(
            streams=[StreamBudget(streams=["*"], bytes="1000", policy="spill")],
            spill=SpillPlace(directory="/mnt/slow", bytes="16MiB"),
        )
        sim = SimStore("plant-a", bounds)
        store = sim.open()
        began_ms = sim.clock.wall_ms()
        for _ in range(9):
            await append(sim, "plant-a/a", sim.random.token_bytes(500))
        spiller = Spiller(store, at_once)
        while await spiller.spill(name("plant-a/a"), 1000):
            pass
        assert store.spilled.end(one(store)) > 1
        assert sim.spill_disk is not None
        for path in sim.spill_disk.paths():
            sim.spill_disk.remove(path)
        holds = Holds(sim.clock, sim.random, 1000)
        outbox = Outbox(store, "cloud", holds)
        depth = outbox.depth("telemetry")
        assert depth.records == 9
        assert depth.oldest_ms is not None
        assert began_ms <= depth.oldest_ms <= sim.clock.wall_ms()
        assert (holds.reasons, outbox.blocked) == ({}, {})
        assert outbox.take(ALL, 100) == []
        assert holds.reasons

    run(main)


def one(store: Store) -> StreamInfo:
    """The only stream of a store."""
    (info,) = store.streams()
    return info


def test_what_is_too_old_is_stepped_over_a_piece_at_a_time():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        count = LOOK_BATCHES * 5 // 2
        await append(sim, "plant-a/s", *(b"%d" % n for n in range(count)))
        await asyncio.sleep(60)
        await append(sim, "plant-a/s", b"new")
        ttl = SendTtl(Ttl(telemetry="10s"), sim.clock.wall_ms)
        looking = Outbox(sim.store, "cloud", None, ttl)
        assert [looking.depth("telemetry").records for _ in range(4)] == [
            count + 1 - LOOK_BATCHES, count + 1 - 2 * LOOK_BATCHES, 1, 1
        ]  # fmt: skip
        newest = looking.depth("telemetry").oldest_ms
        assert newest == sim.store.appended_ms(one(sim.store), count)
        sending = Outbox(sim.store, "cloud", None, ttl)
        for _ in range(2):
            assert sending.take(ALL, 100) == []
            assert sending.looking
        assert [stored.batch.records() for stored in sending.take(ALL, 100)] == [[b"new"]]
        assert not sending.looking
        assert sending.expired["telemetry"] == looking.expired["telemetry"] == count

    play(story, batch_records=1)


def test_after_a_restart_the_depth_is_known_before_the_parent_is_reached():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        await append(sim, "plant-a/s", b"1", b"2", b"3")
        await sim.store.submit(lambda tx: tx.set_fold(UPLINK_FOLD, name("plant-a/s"), 2))
        assert Outbox(sim.store, "cloud").depth("telemetry").records == 1

    play(story)


def test_what_retention_took_before_it_was_sent_is_stepped_over():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for text in (b"1", b"2", b"3"):
            await append(sim, "plant-a/s", text)
        outbox = Outbox(sim.store, "cloud")
        await sim.store.submit(lambda tx: tx.retain(name("plant-a/s"), 1 << 60, 2))
        info = sim.store.stream(name("plant-a/s"))
        assert info is not None
        assert info.first > 0, "retention of one byte has taken something"
        frame = outbox.take(ALL, 100)
        assert frame[0].batch.first == info.first
        assert frame[0].earliest == info.first

    play(story, stream_bytes=1)


def test_retention_that_is_on_disk_and_not_yet_published_ends_nobody():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        for text in (b"1", b"2", b"3"):
            await append(sim, "plant-a/s", text)
        outbox = Outbox(sim.store, "cloud")
        before = sim.store.stream(name("plant-a/s"))
        assert before is not None
        assert await sim.store.submit(lambda tx: tx.retain(name("plant-a/s"), 0, 2)) == 2
        after = sim.store.stream(name("plant-a/s"))
        assert after is not None
        sim.store._streams[before.name] = before
        assert outbox.take(ALL, 100) == []
        assert outbox.depth("telemetry").records == 3
        sim.store._streams[before.name] = after
        assert [stored.batch.first for stored in outbox.take(ALL, 100)] == [2]

    play(story, stream_bytes=1)


def test_a_deleted_stream_is_forgotten_and_another_of_its_name_begins_at_its_beginning():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        outbox = Outbox(sim.store, "cloud")
        sim.store.watch(outbox.note, outbox.forget)
        await append(sim, "plant-a/s", b"1", b"2")
        outbox.set_mark(name("plant-a/s"), 2)
        outbox.block(name("plant-a/s"), "diverged", "diverged at offset 0")
        await sim.store.submit(lambda tx: tx.delete_stream(name("plant-a/s")))
        assert outbox.names() == []
        await append(sim, "plant-a/s", b"3")
        assert [stored.batch.records() for stored in outbox.take(ALL, 100)] == [[b"3"]]

    play(story)


@pytest.mark.parametrize("gone", [1, 2])
def test_what_retention_took_is_stepped_over_only_once_the_parent_has_what_is_on_its_way(gone: int):
    """A frame that said so and overtook the one before it would make the parent give that one up."""

    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        stream = name("plant-a/s")
        await append(sim, "plant-a/s", b"0")
        outbox = Outbox(sim.store, "cloud")
        first = outbox.take(ALL, 100)
        outbox.posted(first)
        for n in range(1, 4):
            await append(sim, "plant-a/s", b"%d" % n)
        await sim.store.submit(lambda tx: tx.retain(stream, 1 << 60, gone))
        info = sim.store.stream(stream)
        assert info is not None
        assert info.first == gone
        following = outbox.take(ALL, 100)
        if gone == first[-1].batch.next:
            assert {stored.batch.first > stored.earliest for stored in following} == {True}, (
                "they wait for what is before"
            )
        else:
            assert following == []
        outbox.set_mark(stream, 1)
        stored = outbox.take(ALL, 100)[0]
        assert (stored.batch.first, stored.earliest) == (gone, gone)

    play(story, stream_bytes=1)


def test_a_stream_whose_mark_was_not_changed_is_not_kept_again():
    async def story(sim: SimStore) -> None:
        assert sim.store is not None
        await append(sim, "plant-a/s", b"1")
        outbox = Outbox(sim.store, "cloud")
        outbox.set_mark(name("plant-a/s"), 0)
        assert list(outbox.moved) == []
        outbox.set_mark(name("plant-a/s"), 1)
        assert list(outbox.moved) == [name("plant-a/s")]
        outbox.forget(name("plant-a/s"))
        assert list(outbox.moved) == []

    play(story)
