"""The gateway's side against workers that this test plays, frame by frame."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from littoral.core.errors import BadGateway, FunctionFailed, TimedOut, Unavailable
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.functions.calls.client import WANT_S, FunctionClients, FunctionRequest, FunctionStream, FunctionTarget
from littoral.functions.connection import FrameConnection
from littoral.functions.messages import REVISION, Answer, Call
from littoral.functions.pieces import GONE, read_piece

_encode = msgspec.msgpack.encode
HELLO = Answer(0, headers=[(REVISION, "r-1")])


class Worker(FrameConnection):
    def __init__(self, stage: "Stage") -> None:
        super().__init__(1 << 24)
        self.stage = stage

    def opened(self) -> None:
        self.stage.connections.append(self)
        if self.stage.greets:
            self.answer(HELLO)

    def received(self, body: bytes) -> None:
        if body[0] == GONE:
            self.stage.gone.append(read_piece(body)[1])
            return
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
        self.greets = True
        """Whether workers say at once who they are."""
        self.killed: list[tuple[str, int]] = []
        self.news = asyncio.Event()
        self.faults: list[BaseException] = []
        self.tasks = Tasks(self.faults.append)
        self.wanted: list[tuple[str, int]] = []
        self.gone: list[int] = []
        """Requests whose clients have gone."""
        self.clients = FunctionClients(self.kill, self.tasks, lambda app, count: self.wanted.append((app, count)))
        self.clients.configure([FunctionTarget("shop", self.paths, wall_ms)], limits)
        self.listeners: list[asyncio.AbstractServer] = []

    def kill(self, app: str, pid: int) -> None:
        self.killed.append((app, pid))
        self.connections[0].close()

    async def listen(self, slot: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self.listeners.append(await loop.create_unix_server(lambda: Worker(self), self.paths[slot]))

    def ask(self, method: str = "GET") -> "asyncio.Future[tuple[int, list[tuple[str, str]], bytes | FunctionStream]]":
        request = FunctionRequest(method, "http://edge.test/", [("a", "b")], b"body", "r-1")
        return asyncio.ensure_future(self.clients.call("shop", request))

    async def ends(self, number: int) -> list[str]:
        """What the worker is told next, which is to be about the end of this request."""
        _, call = await self.next()
        return ["gone"] * self.gone.count(number) + ["cancelled"] * ((call.id, call.method) == (number, ""))

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


def test_nothing_is_sent_to_a_worker_that_has_not_started_and_nothing_lost_with_it() -> None:
    async def scenario(stage: Stage) -> None:
        stage.greets = False
        await stage.listen()
        asked = stage.ask("POST")
        while not stage.connections:
            await asyncio.sleep(0)
        starting = stage.connections.pop()
        await asyncio.sleep(0.01)
        assert not stage.calls
        stage.greets = True
        starting.close()
        worker, call = await stage.next()
        worker.answer(Answer(call.id, 200, [], b"the next"))
        assert (await asked)[2] == b"the next"

    run(scenario)


def test_a_worker_that_leaves_as_it_says_who_it_is_is_asked_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        stage.greets = False
        await stage.listen()
        asked = stage.ask("POST")
        while not stage.connections:
            await asyncio.sleep(0)
        leaving = stage.connections.pop()
        stage.greets = True
        leaving.answer(HELLO)
        leaving.answer(Answer(0))
        worker, call = await stage.next()
        assert worker is not leaving
        worker.answer(Answer(call.id, 200))
        assert (await asked)[0] == 200

    run(scenario)


def test_the_least_busy_worker_is_asked() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen(0)
        await stage.listen(1)
        stage.clients.workers("shop", [0, 1], failing=False)
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


def test_a_read_is_not_repeated_twice() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        asked = [stage.ask(), stage.ask("POST")]
        worker, _ = await stage.next()
        await stage.next()
        worker.close()
        worker, call = await stage.next()
        assert call.method == "GET"
        asked.append(stage.ask("POST"))
        await stage.next()
        worker.close()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in ends] == [BadGateway] * 3

    run(scenario)


class Heard:
    """Implements `littoral.functions.calls.asked.Asking`."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def answered(self, answer: Answer, stream: FunctionStream | None) -> None:
        self.said.append(answer.status)

    def failed(self, error: Exception) -> None:
        self.said.append(type(error))


def request(wall_ms: int = 0, method: str = "GET") -> FunctionRequest:
    return FunctionRequest(method, "http://edge.test/", [], b"", "r", wall_ms=wall_ms)


def test_each_request_ends_at_its_own_deadline_whatever_was_asked_or_answered_before() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        first = stage.ask()
        worker, call = await stage.next()
        worker.answer(Answer(call.id, 200))
        await first
        walls_ms = (4000, 60, 4000, 20, 100)
        heard = [Heard() for _ in walls_ms]
        for each, wall_ms in zip(heard, walls_ms, strict=True):
            stage.clients.ask("shop", request(wall_ms), each)
        ended: list[int] = []
        async with asyncio.timeout(3):
            while len(ended) < 3:
                await asyncio.sleep(0.001)
                ended += [at for at, each in enumerate(heard) if each.said and at not in ended]
        assert ended == [3, 1, 4]
        assert [each.said for each in heard] == [[], [TimedOut], [], [TimedOut], [TimedOut]]
        calls = [await stage.next() for _ in range(8)]
        assert [call.id for _, call in calls if not call.method] == [5, 3, 6], "the worker is told of those"
        for worker, call in calls:
            worker.answer(Answer(call.id, 200))
        async with asyncio.timeout(3):
            while not (heard[0].said and heard[2].said):
                await asyncio.sleep(0)
        assert (heard[0].said, heard[2].said) == ([200], [200])

    run(scenario)


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "asked"])
def test_whoever_gives_up_hears_nothing_and_the_worker_is_told(waits: bool) -> None:
    async def scenario(stage: Stage) -> None:
        heard = Heard()
        if not waits:
            await stage.listen()
            stage.clients.workers("shop", [0], failing=False)
            while not stage.connections:
                await asyncio.sleep(0)
        asked = stage.clients.ask("shop", request(), heard)
        if waits:
            asked.cancel()
            await stage.listen()
            stage.clients.workers("shop", [0], failing=False)
        else:
            worker, call = await stage.next()
            asked.cancel()
            assert await stage.ends(call.id) == ["gone", "cancelled"]
            worker.answer(Answer(call.id, 200))
        asked.cancel()
        other = stage.ask()
        worker, call = await stage.next()
        assert call.request_id == "r-1", "the other was never asked, or is not asked again"
        worker.answer(Answer(call.id, 200))
        assert (await other)[0] == 200
        assert heard.said == []
        meters = stage.clients.meters()["shop"].values()
        assert sum(each.errors.get("gone", 0) for each in meters) == 1, "given up once"

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


def test_requests_that_wait_for_an_app_that_is_taken_away_are_answered_at_once() -> None:
    async def scenario(stage: Stage) -> None:
        waiting = stage.ask()
        while not stage.wanted:
            await asyncio.sleep(0)
        stage.clients.configure([], Limits())
        with pytest.raises(Unavailable, match="it is not placed at this node any more"):
            await waiting

    run(scenario)


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


def test_requests_without_a_worker_ask_the_hub_for_one_and_their_time_begins_when_it_is_there() -> None:
    async def scenario(stage: Stage) -> None:
        waiting = [stage.ask() for _ in range(3)]
        while len(stage.wanted) < 2:
            await asyncio.sleep(0.01)
        assert stage.wanted[0] == ("shop", 1)
        assert stage.wanted[-1] == ("shop", 3), "it is asked again: the hub may have been away"
        assert stage.clients.loads() == {"shop": 3}
        await stage.listen()
        stage.clients.workers("shop", [0], failing=False)
        for _ in waiting:
            worker, call = await stage.next()
            assert call.deadline_ms > 50, "what was waited is not taken from its wall time"
            worker.answer(Answer(call.id, 200))
        assert [answer[0] for answer in await asyncio.gather(*waiting)] == [200] * 3
        assert stage.clients.loads() == {"shop": 3}, "as many as there were at one time"
        assert stage.clients.loads() == {}

    run(scenario, wall_ms=100)


def test_requests_for_an_app_that_cannot_start_do_not_wait() -> None:
    async def scenario(stage: Stage) -> None:
        waiting = stage.ask()
        while not stage.wanted:
            await asyncio.sleep(0)
        stage.clients.workers("shop", [], failing=True)
        with pytest.raises(Unavailable, match="it does not start"):
            await waiting

    run(scenario)


def test_more_requests_than_workers_should_have_are_told_to_the_hub() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen(0)
        answers = [stage.ask() for _ in range(4)]
        used = [await stage.next() for _ in answers]
        while stage.wanted[-1][1] < 3:
            # There is one worker of two, and it has two requests already. The hub is told so often, and no oftener.
            await asyncio.sleep(WANT_S)
            answers.append(stage.ask())
            used.append(await stage.next())
        await stage.listen(1)
        stage.clients.workers("shop", [0, 1], failing=False)
        while len(stage.connections) < 2:
            await asyncio.sleep(0)
        for worker, call in used:
            worker.answer(Answer(call.id, 200))
        await asyncio.gather(*answers)

    run(scenario, function_busy=2)


def test_calls_are_counted_by_the_revision_that_answered_them() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        waited = stage.ask()
        worker, call = await stage.next()
        worker.answer(Answer(0, headers=[("revision", "r1")]))
        worker.answer(Answer(call.id, 200, cpu_us=700))
        await waited
        failed = stage.ask()
        worker, call = await stage.next()
        worker.answer(Answer(call.id, error="exception"))
        with pytest.raises(FunctionFailed):
            await failed
        lost = stage.ask("POST")
        worker, call = await stage.next()
        worker.close()
        with pytest.raises(BadGateway):
            await lost
        meter = stage.clients.meters()["shop"]["r1"]
        assert (meter.calls, meter.errors) == (3, {"exception": 1, "died": 1})
        assert (sum(meter.wall), sum(meter.cpu), meter.cpu_us) == (3, 2, 700)
        assert meter.waited_us > 0
        assert meter.waited == 1, "the first had to wait until there was a connection"

    run(scenario)


def test_what_has_no_worker_is_counted_too() -> None:
    async def scenario(stage: Stage) -> None:
        waiting = stage.ask()
        while not stage.wanted:
            await asyncio.sleep(0)
        stage.clients.workers("shop", [], failing=True)
        with pytest.raises(Unavailable):
            await waiting
        assert {revision: meter.errors for revision, meter in stage.clients.meters()["shop"].items()} == {
            "": {"no-worker": 1}
        }

    run(scenario)


def test_only_news_are_told_and_everything_anew_to_who_knows_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.listen()
        assert stage.clients.news() == {}
        for _ in range(2):
            asked = stage.ask()
            worker, call = await stage.next()
            worker.answer(Answer(call.id, 200))
            await asked
            assert list(stage.clients.news()) == ["shop"]
            assert stage.clients.news() == {}
        stage.clients.tell_anew()
        assert stage.clients.news()["shop"]["r-1"].calls == 2

    run(scenario)
