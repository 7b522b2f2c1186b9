"""What cannot be brought back just now is waited for; everything else goes up meanwhile."""

import asyncio

import pytest

from littoral.core.errors import LimitReached, LittoralError, StorageFull, Unavailable
from littoral.core.http import AnyResponse, Request
from littoral.store.batch import StoredBatch, make_batch
from littoral.testing.loop import run
from littoral.wire import peer
from tests.support.neighbours import CHILD, URL, Neighbours
from tests.support.stores import name, records_of

LOST, HOT = name(f"{CHILD}/lost"), name(f"{CHILD}/hot")


async def parent_has_more(both: Neighbours) -> None:
    """Of a stream of the child's than the child has."""
    await both.append(both.child, LOST, b"0")
    await both.until(lambda: both.at_parent(LOST) == [b"0"])
    info = both.parent.stream(LOST)
    assert info is not None
    batch = make_batch(LOST, info.lineage, 1, [b"1", b"2"], 0, info.chain)
    stored = StoredBatch(batch, info.content_type, info.lane, info.reach, 0)
    await both.parent.submit(lambda tx: tx.append_replica(stored, CHILD))


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("read", "plant-a/lost", "the place where it was spilled is not there", "Mount it"),
        StorageFull("take over", "plant-a/lost", "no space is left"),
        LimitReached("answer", "plant-a", "there are too many requests"),
    ],
)
def test_what_the_parent_cannot_give_just_now_ends_no_session_and_comes_in_the_end(error: LittoralError, seed: int):
    async def main() -> None:
        both = Neighbours(seed)
        asked_s: list[float] = []
        there = False

        async def handle(request: Request) -> AnyResponse:
            if request.path == peer.READ:
                asked_s.append(asyncio.get_running_loop().time())
                if not there:
                    raise error
            return await both.server.handle(CHILD, request)

        both.network.serve(URL, handle)
        both.start()
        await parent_has_more(both)
        both.uplink.greet_again()
        await both.until(lambda: LOST in both.uplink.outbox.blocked)
        sessions = both.uplink.state.sessions
        for n in range(60):
            await both.append(both.child, HOT, b"%d" % n, lane="alerts")
            await asyncio.sleep(5)
            assert len(both.at_parent(HOT)) == n + 1
        assert both.uplink.state.sessions == sessions
        assert error.cause in both.uplink.outbox.blocked[LOST].reason
        assert 5 < len(asked_s) < 40, "it is asked for again, and ever more rarely"
        there = True
        await both.until(lambda: records_of(both.child, LOST) == [b"0", b"1", b"2"])
        await both.append(both.child, LOST, b"3")
        await both.until(lambda: both.at_parent(LOST) == [b"0", b"1", b"2", b"3"])
        assert both.uplink.outbox.blocked == {}
        assert both.uplink.state.sessions == sessions
        await both.stop()

    run(main, seed=seed)
