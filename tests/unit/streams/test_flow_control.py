"""A parent that is slow, busy or full is waited for, and neither the session nor what is urgent suffers."""

import asyncio
from functools import partial
from typing import ClassVar

import pytest

from littoral.core.errors import LimitReached, LittoralError, StorageFull, Unavailable
from littoral.core.http import AnyResponse, Request
from littoral.core.names import StreamName
from littoral.core.resources.model import Storage, StreamBudget
from littoral.streams.peer_server import IN_ORDER_S
from littoral.testing.loop import run
from littoral.wire import peer
from littoral.wire.compression import decompress
from littoral.wire.problem import problem_response
from tests.support.neighbours import URL, Neighbours
from tests.support.stores import name, records_of

S, FULL, ALERTS = name("plant-a/windows"), name("plant-a/full"), name("plant-a/alerts")
BUSY = {
    429: LimitReached("write to", "store", "too many jobs are waiting"),
    503: Unavailable("write to", "store", "it is being restarted"),
    507: StorageFull("write to", "store", "the disk is full"),
}


def holds_so_many(both: Neighbours, stream: StreamName, count: int) -> bool:
    return len(both.at_parent(stream)) == count


class Bounded(Neighbours):
    storage: ClassVar[Storage | None] = Storage(
        streams=[StreamBudget(streams=["*/full"], bytes="4KiB", age="60s", policy="reject")]
    )


class Refusing:
    """Stands before the parent: frames with something of the stream S are refused."""

    def __init__(self, both: Neighbours, error: LittoralError) -> None:
        self.both = both
        self.error: LittoralError | None = error
        self.refused_s: list[float] = []
        both.network.serve(URL, self)

    async def __call__(self, request: Request) -> AnyResponse:
        if self.error is not None and request.path == peer.BATCHES and b"windows" in _opened(request.body):
            self.refused_s.append(self.both.below.clock.monotonic_s())
            return problem_response(self.error)
        return await self.both._handle(request)


def _opened(body: bytes) -> bytes:
    return decompress(body, peer.UNPACKED_MOST_BYTES)


@pytest.mark.parametrize("status", BUSY)
def test_a_busy_parent_is_asked_ever_more_rarely_within_the_session(status, seed):
    async def main() -> None:
        both = Neighbours(seed)
        refusing = Refusing(both, BUSY[status])
        both.start()
        for n in range(20):
            await both.append(both.child, S, b"%d" % n)
            await both.append(both.child, ALERTS, b"%d" % n, lane="alerts")
            await both.until(partial(holds_so_many, both, ALERTS, n + 1))
            await asyncio.sleep(5)
        waits = [later - earlier for earlier, later in zip(refusing.refused_s, refusing.refused_s[1:], strict=False)]
        assert 6 <= len(waits) <= 20
        assert max(waits[:2]) < 2
        assert max(waits) > 10
        assert both.uplink.state.sessions == 1
        assert both.uplink.state.connected
        assert BUSY[status].cause in both.uplink.state.last_error
        refusing.error = None
        await both.until(lambda: len(both.at_parent(S)) == 20)
        assert both.uplink.state.last_error == ""
        await both.stop()

    run(main, seed)


def test_a_stream_that_is_full_at_the_parent_waits_and_the_others_go_on(seed):
    async def main() -> None:
        both = Bounded(seed)
        both.start()
        for n in range(60):
            await both.append(both.child, FULL, both.below.random.token_bytes(150))
            await both.append(both.child, S, b"%d" % n)
            await both.until(partial(holds_so_many, both, S, n + 1))
        there = len(both.at_parent(FULL))
        assert 20 <= there < 28
        assert both.uplink.outbox.blocked == {}
        assert both.uplink.holds.reasons == {FULL: "the parent has no room for it"}
        frames = len(both.frames)
        await asyncio.sleep(600)
        assert len(both.frames) - frames < 60, "it is tried again rarely"
        assert both.uplink.state.sessions == 1
        assert both.uplink.outbox.depth("telemetry").records == 60 - there
        both.parent.bounds.budgets._entries[0] = both.parent.bounds.budgets._entries[0].__replace__(bytes=1 << 20)
        await both.until(lambda: both.at_parent(FULL) == records_of(both.child, FULL))
        assert both.uplink.holds.reasons == {}
        await both.stop()

    run(main, seed)


def test_several_frames_are_on_their_way_where_the_parent_answers_quickly(seed):
    async def main() -> None:
        both = Neighbours(seed, uplink_batch_bytes=2000)
        both.link.delay_s = 0.05
        records = [both.below.random.token_bytes(900) for _ in range(200)]
        for record in records:
            await both.append(both.child, S, record)
        began_s = both.below.clock.monotonic_s()
        both.start()
        await both.until(lambda: len(both.at_parent(S)) == 200)
        assert both.at_parent(S) == records
        one_by_one_s = len(both.frames) * 2 * both.link.delay_s
        assert both.below.clock.monotonic_s() - began_s < one_by_one_s / 2.5
        verdicts = both.parent.counters.verdicts
        assert verdicts == {"append": 200}, "nothing was sent twice"
        await both.stop()

    run(main, seed)


def test_a_frame_that_comes_much_later_than_the_one_behind_it_holds_nothing_back_and_nothing_goes_twice(seed):
    async def main() -> None:
        both = Neighbours(seed, uplink_batch_bytes=2000)
        both.link.delay_s = 0.05
        came, held = 0, set[str]()

        async def one_late(request: Request) -> AnyResponse:
            nonlocal came
            if request.path == peer.BATCHES:
                came += 1
                if came == 20:
                    await asyncio.sleep(2 * IN_ORDER_S)
            held.update(both.uplink.holds.reasons.values())
            return await both._handle(request)

        both.network.serve(URL, one_late)
        records = [both.below.random.token_bytes(900) for _ in range(200)]
        for record in records:
            await both.append(both.child, S, record)
        both.start()
        await both.until(lambda: both.uplink.outbox.depth("telemetry").records == 0)
        assert both.at_parent(S) == records
        verdicts = both.parent.counters.verdicts
        assert verdicts["append"] == 200
        assert verdicts["gap"] > 0, "it was overtaken"
        assert set(verdicts) == {"append", "gap"}, "nothing was sent twice"
        assert both.uplink.state.shipped_records == 200
        assert held == set()
        await both.stop()

    run(main, seed)


def test_frames_that_overtake_each_other_are_taken_in_order(seed):
    async def main() -> None:
        both = Neighbours(seed, uplink_batch_bytes=2000)
        both.link.delay_s = 0.05
        late = both.below.random.fork("late")

        async def shuffled(request: Request) -> AnyResponse:
            if request.path == peer.BATCHES and late.chance(0.3):
                await asyncio.sleep(late.uniform(0.0, 0.3))
            return await both._handle(request)

        both.network.serve(URL, shuffled)
        records = [both.below.random.token_bytes(900) for _ in range(200)]
        for record in records:
            await both.append(both.child, S, record)
        both.start()
        await both.until(lambda: len(both.at_parent(S)) == 200)
        assert both.at_parent(S) == records
        assert both.parent.counters.verdicts == {"append": 200}, "each waited for the one before"
        await both.stop()

    run(main, seed)
