"""Bodies in pieces at the gateway's end, against a worker that this test plays, frame by frame."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from littoral.core.errors import BadGateway, FunctionFailed, TimedOut, TooLarge
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.functions.calls.client import FunctionClients, FunctionRequest, FunctionTarget
from littoral.functions.calls.function_stream import FunctionStream
from littoral.functions.connection import FrameConnection
from littoral.functions.flow import FIRST_ROOM_BYTES
from littoral.functions.messages import REVISION, Answer, Call
from littoral.functions.meters import FunctionMeter
from littoral.functions.pieces import (
    BROKEN,
    END,
    GONE,
    MESSAGE_BYTE,
    PIECE,
    ROOM,
    end_of_answer,
    piece_head,
    read_piece,
    read_room,
    room_frame,
)

CPU_US = 70
HELLO = Answer(0, headers=[(REVISION, "r-1")])


class Worker(FrameConnection):
    def __init__(self, stage: "Stage") -> None:
        super().__init__(1 << 24)
        self.stage = stage

    def opened(self) -> None:
        self.answer(HELLO)
        if not self.stage.worker.done():
            self.stage.worker.set_result(self)

    def received(self, body: bytes) -> None:
        if body[0] < MESSAGE_BYTE:
            kind, number, rest = read_piece(body)
            self.stage.heard.put_nowait((kind, number, rest))
        else:
            self.stage.heard.put_nowait(msgspec.msgpack.decode(body, type=Call))

    def lost(self) -> None:
        self.stage.heard.put_nowait("lost")

    def answer(self, answer: Answer) -> None:
        self.send(msgspec.msgpack.encode(answer))

    def say(self, kind: int, number: int, rest: bytes = b"") -> None:
        # What an answer took is said at its end.
        self.send_with(piece_head(kind, number), end_of_answer(CPU_US) + rest if kind in (END, BROKEN) else rest)


class Stage:
    """An app with one worker, and what that heard."""

    def __init__(self, path: str, limits: Limits, wall_ms: int) -> None:
        self.path = path
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.worker: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self.killed: list[tuple[str, int]] = []
        self.faults: list[BaseException] = []
        self.tasks = Tasks(self.faults.append)
        self.clients = FunctionClients(lambda app, pid: self.killed.append((app, pid)), self.tasks)
        self.clients.configure([FunctionTarget("shop", [path], wall_ms)], limits)
        self.limits = limits

    def ask(self, body: bytes | AsyncIterator[bytes] | None = b"", **more: Any) -> "asyncio.Future[Any]":
        request = FunctionRequest("POST", "http://edge.test/", [], body, "r-1", **more)
        return asyncio.ensure_future(self.clients.call("shop", request))

    def meters(self) -> list[FunctionMeter]:
        """Of its revisions that were called."""
        return [meter for revisions in self.clients.meters().values() for meter in revisions.values()]

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await self.heard.get()

    async def begun(self, **more: Any) -> tuple[Worker, int, FunctionStream]:
        """An answer whose body comes in pieces."""
        asked = self.ask(**more)
        call = await self.next()
        worker = await self.worker
        worker.answer(Answer(call.id, 200, [("x", "y")], more=True))
        status, headers, stream = await asked
        assert (status, headers) == (200, [("x", "y")])
        return worker, call.id, stream


def run(scenario: Callable[[Stage], Awaitable[None]], wall_ms: int = 5000, **limits: int) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="lit") as directory:
            values = Limits({name.replace("_", "-"): value for name, value in limits.items()})
            stage = Stage(f"{directory}/0", values, wall_ms)
            listener = await asyncio.get_running_loop().create_unix_server(lambda: Worker(stage), stage.path)
            try:
                async with asyncio.timeout(10):
                    await scenario(stage)
            finally:
                stage.clients.stop()
                await stage.tasks.stop()
                listener.close()
                if stage.worker.done():
                    stage.worker.result().close()
            assert not stage.faults

    asyncio.run(main())


async def pieces_of(queue: "asyncio.Queue[bytes | Exception]") -> AsyncIterator[bytes]:
    while piece := await queue.get():
        if isinstance(piece, Exception):
            raise piece
        yield piece


def test_an_answer_in_pieces_is_read_as_it_comes_and_makes_room_as_it_is_read() -> None:
    async def scenario(stage: Stage) -> None:
        worker, number, stream = await stage.begun()
        reading = asyncio.ensure_future(stream.read())
        kind, _, rest = await stage.next()
        assert (kind, read_room(rest) > FIRST_ROOM_BYTES) == (ROOM, True)
        worker.say(PIECE, number, b"one")
        assert await reading == b"one"
        worker.say(PIECE, number, b"two")
        worker.say(END, number)
        assert await stream.read() == b"two"
        assert await stream.read() == b""
        stream.close()
        assert stage.heard.empty(), "there is nothing to cancel"

    run(scenario)


def test_an_answer_that_ends_at_once_is_not_lost() -> None:
    async def scenario(stage: Stage) -> None:
        asked = stage.ask()
        call = await stage.next()
        worker = await stage.worker
        worker.answer(Answer(call.id, 200, more=True, length=3))
        worker.say(PIECE, call.id, b"all")
        worker.say(END, call.id)
        _, _, stream = await asked
        assert stream.length == 3
        assert [await stream.read(), await stream.read()] == [b"all", b""]

    run(scenario)


def test_a_request_goes_in_pieces_as_there_is_room_and_its_time_begins_anew_with_each() -> None:
    async def scenario(stage: Stage) -> None:
        source: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        asked = stage.ask(pieces_of(source))
        call = await stage.next()
        assert (call.more, call.body) == (True, b"")
        worker = await stage.worker
        source.put_nowait(b"x" * (FIRST_ROOM_BYTES + 1))
        assert await stage.next() == (PIECE, call.id, b"x" * FIRST_ROOM_BYTES)
        for _ in range(3):
            # Each of these pauses is shorter than the wall time, and all of them are longer.
            done, _ = await asyncio.wait([asked], timeout=0.2)
            assert not done
            worker.send(room_frame(call.id, 100))
            assert (await stage.next())[0] == PIECE
            source.put_nowait(b"y")
        worker.send(room_frame(call.id, 100))
        source.put_nowait(b"")
        while (heard := await stage.next())[0] != END:
            assert heard[0] == PIECE
        worker.answer(Answer(call.id, 201))
        assert (await asked)[0] == 201

    run(scenario, wall_ms=400)


def test_a_worker_that_takes_nothing_of_a_request_runs_out_of_time() -> None:
    async def scenario(stage: Stage) -> None:
        source: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        source.put_nowait(b"x" * 1_000_000)
        with pytest.raises(TimedOut):
            await stage.ask(pieces_of(source))
        call = await stage.next()
        assert (await stage.next())[0] == PIECE
        cancel = await stage.next()
        assert (cancel.id, cancel.method) == (call.id, "")
        (await stage.worker).answer(Answer(call.id, error="cancelled"))

    run(scenario, wall_ms=100)


def test_what_ends_the_clients_body_ends_the_request_and_the_worker_hears_of_it() -> None:
    async def scenario(stage: Stage) -> None:
        source: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        asked = stage.ask(pieces_of(source))
        call = await stage.next()
        source.put_nowait(ZeroDivisionError("the client has gone"))
        with pytest.raises(ZeroDivisionError):
            await asked
        assert (await stage.next())[:2] == (GONE, call.id)

    run(scenario)


def test_a_client_that_goes_is_told_of_once_the_answer_is_closed_and_before() -> None:
    async def scenario(stage: Stage) -> None:
        registered: list[Callable[[], None]] = []
        worker, number, stream = await stage.begun(when_gone=registered.append)
        registered[0]()
        assert (await stage.next())[:2] == (GONE, number)
        stream.close()
        stream.close()
        assert (await stage.next())[:2] == (GONE, number)
        cancel = await stage.next()
        assert (cancel.id, cancel.method) == (number, "")
        worker.say(BROKEN, number, b"cancelled")
        again = stage.ask()
        call = await stage.next()
        worker.answer(Answer(call.id, 200))
        assert (await again)[0] == 200
        assert stage.killed == []

    run(scenario, function_grace_ms=20)


def test_a_function_that_does_not_let_go_of_its_stream_is_killed() -> None:
    async def scenario(stage: Stage) -> None:
        _, _, stream = await stage.begun()
        stream.close()
        while not stage.killed:
            await asyncio.sleep(0.01)

    run(scenario, wall_ms=50, function_grace_ms=20)


@pytest.mark.parametrize(
    ("word", "error"),
    [
        (b"exception", FunctionFailed),
        (b"cancelled", TimedOut),
        (b"", FunctionFailed),
        (b"no word of ours", FunctionFailed),
        (b"\xff", FunctionFailed),
    ],
)
def test_an_answer_that_breaks_off_says_why_behind_what_came(word: bytes, error: type[Exception]) -> None:
    async def scenario(stage: Stage) -> None:
        worker, number, stream = await stage.begun()
        worker.say(PIECE, number, b"one")
        worker.say(BROKEN, number, word)
        assert await stream.read() == b"one"
        with pytest.raises(error):
            await stream.read()
        (meter,) = stage.meters()
        assert (meter.calls, meter.cpu_us, sum(meter.cpu)) == (1, CPU_US, 1)

    run(scenario)


def test_what_an_answer_took_counts_though_its_client_went_before_the_end() -> None:
    async def scenario(stage: Stage) -> None:
        worker, number, stream = await stage.begun()
        (meter,) = stage.meters()
        assert (meter.calls, sum(meter.cpu)) == (1, 0)
        stage.clients.news()
        stream.close()
        while (await stage.next())[:2] != (GONE, number):
            pass
        worker.say(BROKEN, number, b"cancelled")
        while not meter.cpu_us:
            await asyncio.sleep(0)
        assert (meter.calls, meter.cpu_us, sum(meter.cpu)) == (1, CPU_US, 1)
        assert list(stage.clients.news()) == ["shop"]

    run(scenario)


def test_the_end_of_the_worker_is_the_end_of_its_streams() -> None:
    async def scenario(stage: Stage) -> None:
        worker, _, stream = await stage.begun()
        worker.close()
        with pytest.raises(BadGateway, match="its worker died while it answered"):
            await stream.read()
        stream.close()

    run(scenario)


def test_a_worker_that_sends_more_than_there_is_room_for_is_cut_off() -> None:
    async def scenario(stage: Stage) -> None:
        worker, number, stream = await stage.begun()
        for _ in range(8):
            worker.say(PIECE, number, b"x" * FIRST_ROOM_BYTES)
        assert await stage.next() == "lost"
        assert len(await stream.read()) == FIRST_ROOM_BYTES, "all that there was room for"
        with pytest.raises(BadGateway):
            await stream.read()

    run(scenario)


def test_an_answer_of_which_nothing_comes_is_ended() -> None:
    async def scenario(stage: Stage) -> None:
        _, number, stream = await stage.begun()
        with pytest.raises(TimedOut, match="nothing came of its answer for 1 s"):
            await stream.read()
        heard = [await stage.next() for _ in range(3)]
        assert [each[0] for each in heard[:2]] == [ROOM, GONE]
        assert heard[2].id == number
        assert stage.limits.reached["function-stream-idle-seconds"] == 1

    run(scenario, function_stream_idle_seconds=1)


def test_a_way_to_a_web_socket_goes_both_ways_and_its_function_is_not_cancelled() -> None:
    async def scenario(stage: Stage) -> None:
        worker, number, stream = await stage.begun(body=None)
        stream.switched = True
        await stream.write(b"up")
        assert await stage.next() == (PIECE, number, b"up")
        worker.say(PIECE, number, b"down")
        assert await stream.read() == b"down"
        assert (await stage.next())[0] == ROOM
        stream.end()
        assert (await stage.next())[0] == END
        stream.close()
        assert (await stage.next())[0] == GONE
        with pytest.raises(ConnectionError):
            await stream.write(b"more")
        worker.say(END, number)
        again = stage.ask()
        assert (await stage.next()).method == "POST", "no word to cancel it came between"
        again.cancel()

    run(scenario)


def test_open_streams_count_as_load_and_hold_the_connection() -> None:
    async def scenario(stage: Stage) -> None:
        worker, number, stream = await stage.begun()
        assert stage.clients.loads() == {"shop": 1}
        stage.clients.stop()
        worker.say(PIECE, number, b"one")
        assert await stream.read() == b"one"
        worker.say(END, number)
        assert await stream.read() == b""
        while await stage.next() != "lost":
            pass

    run(scenario)


def test_a_body_too_large_to_be_read_whole_is_a_413() -> None:
    async def scenario(stage: Stage) -> None:
        asked = stage.ask()
        call = await stage.next()
        (await stage.worker).answer(Answer(call.id, error="request-too-large"))
        with pytest.raises(TooLarge):
            await asked
        assert stage.limits.reached["function-body-bytes"] == 1

    run(scenario)
