"""A stream that cannot be followed just now keeps nothing else from going up or coming down."""

import asyncio
from collections.abc import Callable

import pytest

from littoral.core.errors import LimitReached, LittoralError, StorageFull, Unavailable
from littoral.core.http import AnyResponse, Request
from littoral.core.names import StreamName
from littoral.streams.due_marks import DueMarks
from littoral.streams.holds import Holds
from littoral.testing.clock import SimClock
from littoral.testing.loop import run
from littoral.testing.random import SeededRandom
from littoral.wire import peer
from tests.support.neighbours import CHILD, URL, Neighbours
from tests.support.stores import name, records_of

AWAY, WELL, HOT = name("cloud/away"), name("cloud/well"), name(f"{CHILD}/hot")


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("read", "cloud/away", "the place where it was spilled is not there", "Mount it"),
        StorageFull("read", "cloud/away", "no space is left"),
        LimitReached("answer", "plant-a", "there are too many requests"),
    ],
)
def test_what_the_parent_cannot_give_just_now_ends_no_session_and_comes_in_the_end(error: LittoralError, seed: int):
    async def main() -> None:
        both = Neighbours(seed)
        both.family.followed |= {AWAY, WELL}
        asked = 0
        there = False

        async def handle(request: Request) -> AnyResponse:
            nonlocal asked
            if request.path == peer.READ and request.query["stream"] == str(AWAY):
                asked += 1
                if not there:
                    raise error
            return await both.server.handle(CHILD, request)

        both.network.serve(URL, handle)
        await both.append(both.parent, AWAY, b"0", reach="node")
        both.start()
        for n in range(60):
            await both.append(both.child, HOT, b"%d" % n, lane="alerts")
            await both.append(both.parent, WELL, b"%d" % n, reach="node")
            await both.append(both.parent, AWAY, b"%d" % (n + 1), reach="node")
            await asyncio.sleep(5)
            assert len(both.at_parent(HOT)) == len(records_of(both.child, WELL)) == n + 1
        assert 5 < asked < 40, "it is asked for again, and ever more rarely"
        there = True
        await both.until(lambda: records_of(both.child, AWAY) == [b"%d" % n for n in range(61)])
        assert both.uplink.state.sessions == 1
        await both.stop()

    run(main, seed=seed)


def test_a_stream_that_is_gone_when_it_is_read_ends_no_session_and_is_followed_when_it_is_there_again(seed: int):
    async def main() -> None:
        both = Neighbours(seed)
        both.family.followed |= {AWAY, WELL}
        gone = 0

        async def handle(request: Request) -> AnyResponse:
            nonlocal gone
            if request.path == peer.READ and request.query["stream"] == str(AWAY) and not gone:
                # Between its mark and this it was deleted.
                gone += 1
                await both.parent.submit(lambda tx: tx.delete_stream(AWAY))
            return await both.server.handle(CHILD, request)

        both.network.serve(URL, handle)
        await both.append(both.parent, AWAY, b"deleted", reach="node")
        both.start()
        await both.until(lambda: gone > 0)
        await both.append(both.parent, WELL, b"1", reach="node")
        await both.until(lambda: records_of(both.child, WELL) == [b"1"])
        await both.append(both.parent, AWAY, b"again", reach="node")
        await both.until(lambda: records_of(both.child, AWAY) == [b"again"])
        assert both.uplink.state.sessions == 1
        await both.stop()

    run(main, seed=seed)


def mark(stream: StreamName, next_: int = 1) -> peer.Mark:
    return peer.Mark(stream.origin, stream.path, next_, "x.1")


class TestDueMarks:
    def _play(self, story: Callable[[DueMarks, Holds], None]) -> None:
        async def main() -> None:
            holds = Holds(SimClock(asyncio.get_running_loop()), SeededRandom(1), 1000)
            story(DueMarks(holds, lambda stream: stream == HOT), holds)

        run(main)

    def _taken(self, due: DueMarks) -> list[peer.Mark]:
        return list(iter(due.take, None))

    def test_each_stream_has_one_turn_with_its_newest_mark_and_some_go_first(self) -> None:
        def story(due: DueMarks, _: Holds) -> None:
            for each in (mark(AWAY), mark(WELL), mark(HOT), mark(AWAY, 2)):
                due.put(each)
            assert due.take_first() == mark(HOT)
            assert due.take_first() is None
            assert self._taken(due) == [mark(AWAY, 2), mark(WELL)]

        self._play(story)

    def test_what_was_put_off_is_due_again_with_its_newest_mark_once_it_is_not_held(self) -> None:
        def story(due: DueMarks, holds: Holds) -> None:
            due.put(mark(WELL, 2))
            due.put_off(mark(WELL))
            due.put_off(mark(AWAY))
            due.put(mark(AWAY, 2))
            holds.hold(AWAY, "it is away")
            assert self._taken(due) == []
            due.again()
            assert self._taken(due) == [mark(WELL, 2)]
            holds.release(AWAY)
            due.again()
            assert self._taken(due) == [mark(AWAY, 2)]

        self._play(story)

    def test_a_stream_can_be_taken_out_of_turn(self) -> None:
        def story(due: DueMarks, _: Holds) -> None:
            due.put(mark(AWAY))
            due.put(mark(HOT))
            due.put_off(mark(WELL))
            assert [due.take_of(each) for each in (WELL, HOT, AWAY)] == [mark(WELL), mark(HOT), mark(AWAY)]
            assert due.take_of(AWAY) is None

        self._play(story)
