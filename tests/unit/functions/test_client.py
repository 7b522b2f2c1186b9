"""The gateway's side against workers that this test plays, frame by frame."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from littoral.core.errors import BadGateway, FunctionFailed, TimedOut, Unavailable
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.functions.client import FunctionClients, FunctionRequest, FunctionTarget
from littoral.functions.connection import FrameConnection
from littoral.functions.messages import Answer, Call

_encode = msgspec.msgpack.encode


class Worker(FrameConnection):
    def __init__(self, stage: "Stage") -> None:
        super().__init__(1 << 24)
        self.stage = stage

    def opened(self) -> None:
        self.stage.connections.append(self)

    def received(self, body: bytes) -> None:
        call = msgspec.msgpack.decode(body, type=Call)
        self.stage.calls.append((self, call))
        self.stage.news.set()

    def answer(self, answer: Answer) -> None:
        self.send(_encode(answer))


class Stage:
    """An app of two sockets, and what arrived there."""

    def __init__(self, directory: str, limits: Limits, wall_ms: int) -> None:
        self.paths = [f"{directory}/0", f"{directory}/1"]
        self.calls: list[tuple[Worker, Call]] = []
        self.connections: list[Worker] = []
        self.killed: list[tuple[str, int]] = []
        self.news = asyncio.Event()
        self.faults: list[BaseException] = []
        self.tasks = Tasks(self.faults.append)
        self.clients = FunctionClients(self.kill, self.tasks)
        self.clients.configure([FunctionTarget("shop", self.paths, wall_ms)], limits)
        self.listeners: list[asyncio.AbstractServer] = []

    def kill(self, app: str, pid: int) -> None:
        self.killed.append((app, pid))
        self.connections[0].close()

    async def listen(self, slot: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self.listeners.append(await loop.create_unix_server(lambda: Worker(self), self.paths[slot]))

    def ask(self, method: str = "GET") -> "asyncio.Future[tuple[int, list[tuple[str, str]], bytes]]":
        request = FunctionRequest(method, "http://edge.test/", [("a", "b")], b"body", "r-1")
        return asyncio.ensure_future(self.clients.call("shop", request))

    async def next(self) -> tuple[Worker, Call]:
        async with asyncio.timeout(5):
            while not self.calls:
                self.news.clear()
                await self.news.wait()
        return self.calls.pop(0)


def run(scenario: Callable[[Stage], Awaitable[None]], wall_ms: int = 5000, **limits: int) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="lit") as directory:
            values = Limits({name.replace("_", "-"): value for name, value in limits.items()})
            stage = Stage(directory, values, wall_ms)
            try:
                async with asyncio.timeout(10):
                    await scenario(stage)
            finally:
                stage.clients.stop()
                await stage.tasks.stop()
                for listener in stage.listeners:
                    listener.close()
                for connection in stage.connections:
                    connection.close()
            assert not stage.faults

    asyncio.run(main())


def test_answers_may_come_in_any_order() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        first, second = stage.ask(), stage.ask("POST")
        worker, one = await stage.next()
        _, two = await stage.next()
        assert (one.method, one.url, one.headers, one.body) == ("GET", "http://edge.test/", [("a", "b")], b"body")
        assert 0 < one.deadline_ms <= 5000
        worker.answer(Answer(two.id, 201, [], b"two"))
        worker.answer(Answer(one.id, 200, [("x", "y")], b"one"))
        assert await second == (201, [], b"two")
        assert await first == (200, [("x", "y")], b"one")

    run(scenario)


def test_the_least_busy_worker_is_asked() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen(0)
        await stage.listen(1)
        answers = [stage.ask()]
        used = [(await stage.next())]
        # The second worker may still be connecting when the first request leaves.
        while len({id(worker) for worker, _ in used}) < 2:
            answers.append(stage.ask())
            used.append(await stage.next())
        busy = used[0][0]
        for worker, call in used[1:]:
            worker.answer(Answer(call.id, 200))
        await asyncio.gather(*answers[1:])
        answers.append(stage.ask())
        used.append(await stage.next())
        assert used[-1][0] is not busy
        for worker, call in (used[0], used[-1]):
            worker.answer(Answer(call.id, 200))
        await asyncio.gather(*answers)

    run(scenario)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("exception", FunctionFailed),
        ("invalid", FunctionFailed),
        ("memory", FunctionFailed),
        ("timeout", TimedOut),
        ("cancelled", TimedOut),
        ("overload", Unavailable),
    ],
)
def test_what_the_worker_says_went_wrong_becomes_an_error(error: str, kind: type[Exception]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        asked = stage.ask()
        worker, call = await stage.next()
        worker.answer(Answer(call.id, error=error))  # type: ignore[arg-type]
        with pytest.raises(kind):
            await asked

    run(scenario)


def test_at_the_deadline_the_worker_is_told_and_if_it_lets_go_it_lives() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        with pytest.raises(TimedOut, match="did not answer within 50 ms"):
            await stage.ask()
        worker, call = await stage.next()
        _, cancel = await stage.next()
        assert (cancel.id, cancel.method) == (call.id, "")
        worker.answer(Answer(call.id, error="cancelled"))
        with pytest.raises(TimedOut):
            await stage.ask()
        await stage.next()
        await stage.next()
        assert stage.killed == []

    run(scenario, wall_ms=50)


def test_a_worker_that_does_not_let_go_is_killed_once() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        errors = await asyncio.gather(stage.ask(), stage.ask(), return_exceptions=True)
        assert [type(error) for error in errors] == [TimedOut, TimedOut]
        while not stage.killed:
            await asyncio.sleep(0)
        (killed,) = stage.killed
        assert killed[0] == "shop"
        assert killed[1] > 0

    run(scenario, wall_ms=50, function_grace_ms=20)


def test_a_read_that_was_on_a_worker_killed_for_another_request_is_repeated() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        hanging = stage.ask("POST")
        await stage.next()
        done, _ = await asyncio.wait([hanging], timeout=0.1)
        assert not done
        innocent = stage.ask()
        first, _ = await stage.next()
        with pytest.raises(TimedOut):
            await hanging
        _, cancel = await stage.next()
        assert cancel.method == ""
        again, call = await stage.next()
        assert again is not first
        again.answer(Answer(call.id, 200))
        assert (await innocent)[0] == 200

    run(scenario, wall_ms=200, function_grace_ms=20)


def test_a_request_that_was_alone_on_a_dying_worker_is_not_repeated() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        asked = stage.ask()
        worker, _ = await stage.next()
        worker.close()
        with pytest.raises(BadGateway, match="its worker died"):
            await asked

    run(scenario)


def test_reads_among_others_are_repeated_once_and_writes_never() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        read, write = stage.ask(), stage.ask("POST")
        worker, _ = await stage.next()
        await stage.next()
        worker.close()
        again, call = await stage.next()
        assert call.method == "GET"
        with pytest.raises(BadGateway):
            await write
        again.answer(Answer(call.id, 200, [], b"again"))
        assert await read == (200, [], b"again")

    run(scenario)


def test_without_a_worker_requests_wait_and_then_fail() -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(Unavailable, match="none of its workers is running"):
            await stage.ask()
        waiting = stage.ask()
        await stage.listen()
        worker, call = await stage.next()
        worker.answer(Answer(call.id, 200))
        assert (await waiting)[0] == 200

    run(scenario, function_wait_ms=300)


def test_a_busy_app_refuses() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        first = stage.ask()
        worker, call = await stage.next()
        with pytest.raises(Unavailable, match="as many requests as it takes"):
            await stage.ask()
        worker.answer(Answer(call.id, 200))
        await first

    run(scenario, function_inflight=1)


def test_a_leaving_worker_ends_its_requests_and_gets_no_more() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        held = stage.ask("POST")
        old, call = await stage.next()
        old.answer(Answer(0))
        while len(stage.connections) < 2:
            await asyncio.sleep(0)
        other = stage.ask("POST")
        new, following = await stage.next()
        assert new is not old
        new.answer(Answer(following.id, 200, [], b"new"))
        old.answer(Answer(call.id, 200, [], b"old"))
        assert (await held)[2] == b"old"
        assert (await other)[2] == b"new"

    run(scenario)


def test_an_app_that_is_not_here_is_unavailable() -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(Unavailable, match="not running at this node"):
            await stage.clients.call("other", FunctionRequest("GET", "http://x/", [], b"", "r"))

    run(scenario)
