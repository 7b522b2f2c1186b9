"""Copies that lack records which their origin lost before they came: nobody waits for those, and nobody asks for ever."""

import asyncio
from functools import partial

from littoral.core.http import AnyResponse, Request, Response
from littoral.core.names import StreamName
from littoral.store.batch import CHAIN_START, Batch, StoredBatch, make_batch
from littoral.store.replica import ReplicaOutcome, Verdict
from littoral.store.store import Store
from littoral.streams.take_over import take_over
from littoral.testing.loop import run
from littoral.wire import peer
from tests.support.neighbours import CHILD, URL, Neighbours
from tests.support.stores import name

LEAF, DOWN, S = name("press-1/windows"), name("other/orders"), name(f"{CHILD}/s")
SPAN = 50
HELD = (0, 2, 3, 6)
"""Which spans of the history the copy has."""


async def give_copy_with_holes(store: Store, stream: StreamName) -> list[bytes]:
    """What its neighbour took over while the origin lost some; returns what is there."""
    batches: list[Batch] = []
    for span in range(7):
        records = [b"%d" % n for n in range(span * SPAN, (span + 1) * SPAN)]
        chain = batches[-1].chain if batches else CHAIN_START
        batches.append(make_batch(stream, "store.1", span * SPAN, records, 0, chain))
    for span in HELD:
        stored = StoredBatch(batches[span], "application/json", "telemetry", "root", span * SPAN)
        await store.submit(partial(take_over, [stored], stream.origin))
    info = store.stream(stream)
    assert info is not None
    assert info.first == 0
    return [record for span in HELD for record in batches[span].records()]


def test_a_copy_with_holes_goes_up_at_once_and_the_parent_counts_what_is_missing(seed):
    async def main() -> None:
        both = Neighbours(seed)
        both.family.origins.add(LEAF.origin)
        held = await give_copy_with_holes(both.child, LEAF)
        both.start()
        await asyncio.sleep(60)
        assert both.at_parent(LEAF) == held
        assert len(both.frames) <= 2 * len(HELD)
        assert both.server.lost_records == 3 * SPAN
        assert both.parent.counters.verdicts == {"append": 2, "skip": 2}
        await both.stop()

    run(main, seed)


def test_a_copy_with_holes_goes_down(seed):
    async def main() -> None:
        both = Neighbours(seed)
        both.family.followed.add(DOWN)
        held = await give_copy_with_holes(both.parent, DOWN)
        both.start()
        await both.until(lambda: both.uplink.state.connected)
        await asyncio.sleep(1)
        assert both.uplink.outbox.blocked == {}
        info = both.child.stream(DOWN)
        assert info is not None
        assert info.next == 7 * SPAN
        there = [record for stored in both.child.read(DOWN, 0, 1 << 20) for record in stored.records()]
        assert there == held
        await both.stop()

    run(main, seed)


def test_a_hole_is_told_only_once_the_parent_has_what_is_before_it(seed):
    """Were both in a frame, and the parent had no room for the first, it would take the second in its place."""

    async def main() -> None:
        both = Neighbours(seed)
        await give_copy_with_holes(both.child, LEAF)
        outbox = both.uplink.outbox
        spans = []
        for _ in range(3):
            frame = outbox.take(("telemetry",), 1 << 20)
            assert outbox.take(("telemetry",), 1 << 20) == frame
            spans.append([stored.batch.first // SPAN for stored in frame])
            outbox.posted(frame)
            assert outbox.take(("telemetry",), 1 << 20) == [], "it is on its way"
            outbox.set_mark(LEAF, frame[-1].batch.next)
        assert spans == [[0], [2, 3], [6]]
        await both.stop()

    run(main, seed)


def test_a_stream_of_which_the_parent_always_wants_what_is_not_here_is_tried_ever_more_rarely(seed):
    async def main() -> None:
        both = Neighbours(seed)
        asked_s: list[float] = []
        wants = True

        async def wanting(request: Request) -> AnyResponse:
            if request.path != peer.BATCHES or not wants:
                return await both._handle(request)
            asked_s.append(both.below.clock.monotonic_s())
            frame = peer.unpack(request.body, list[StoredBatch], "batches")
            outcomes = [ReplicaOutcome(*stored.batch.name, Verdict.GAP, 0) for stored in frame]
            return Response(200, [("content-type", peer.MSGPACK)], peer.encode(outcomes))

        both.network.serve(URL, wanting)
        await both.append(both.child, S, b"1")
        both.start()
        await asyncio.sleep(600)
        assert 10 < len(asked_s) < 60
        assert "wants it from offset 0" in both.uplink.holds.reasons[S]
        wants = False
        await both.until(lambda: both.at_parent(S) == [b"1"])
        assert both.uplink.holds.reasons == {}
        assert both.uplink.state.sessions == 1
        await both.stop()

    run(main, seed)
