"""What a gateway does with the apps that it is to run itself, with their code imported for real."""

import asyncio
import importlib
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import msgspec
import pytest

from littoral.core.errors import Unavailable
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.functions.calls.client import FunctionRequest, FunctionTarget
from littoral.functions.calls.function_stream import FunctionStream
from littoral.functions.inline.inline import InlineClients
from littoral.functions.messages import Answer, InlineState, WorkerSpec
from littoral.wire.told_fields import ToldFields
from tests.support.app_modules import interpreter_as_it_was

GOOD = """
    from workers import Response, env

    def on_fetch(request):
        return Response(env.NAME)
    """
REQUEST = FunctionRequest("GET", "http://edge.test/", [], b"", "r-1")


@pytest.fixture(autouse=True)
def _process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A gateway has its alarm and its output divided for good."""
    former = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(importlib, "import_module", importlib.import_module)
    with interpreter_as_it_was(tmp_path):
        yield
    signal.signal(signal.SIGALRM, former)


class Hub:
    """Says how to run what it is asked for, as soon as it may."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.codes: dict[str, str] = {}
        """By revision."""
        self.asked: list[str] = []
        self.clients: InlineClients

    def ask(self, app: str) -> None:
        self.asked.append(app)
        for revision, code in self.codes.items():
            asyncio.get_running_loop().call_soon(
                self.clients.inline_given, app, revision, self._spec(app, revision, code)
            )

    def _spec(self, app: str, revision: str, code: str) -> bytes:
        folder = self._folder / f"{app}-{revision}"
        folder.mkdir(exist_ok=True)
        (folder / "main.py").write_text(textwrap.dedent(code))
        nothing = str(self._folder / "no-socket")
        spec = WorkerSpec(
            app,
            str(folder),
            "main.py",
            {"NAME": f"{app} {revision}"},
            {},
            1 << 28,
            10,
            10,
            1 << 20,
            1000,
            1 << 20,
            nothing,
            "",
            revision=revision,
        )
        return msgspec.msgpack.encode(spec)


def play(folder: Path, story: Callable[[InlineClients, Hub], Awaitable[None]]) -> None:
    async def main() -> None:
        faults: list[BaseException] = []
        tasks, hub = Tasks(faults.append), Hub(folder)
        clients = hub.clients = InlineClients(
            lambda app, pid: None,
            tasks,
            lambda app, count: None,
            hub.ask,
            lambda app, text: None,
            print,
            asyncio.to_thread,
        )
        await story(clients, hub)
        clients.stop()
        await clients.ended()
        await tasks.stop()
        assert not faults

    asyncio.run(main())


def want(clients: InlineClients, *apps: str, revision: str = "1") -> None:
    clients.configure([FunctionTarget(app, [], 10_000, inline=revision) for app in apps], Limits())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def test_requests_wait_until_the_hub_has_said_how_to_run_their_app(tmp_path: Path):
    async def story(clients: InlineClients, hub: Hub) -> None:
        want(clients, "a", "b")
        assert hub.asked == ["a", "b"]
        waiting = asyncio.ensure_future(clients.call("a", REQUEST))
        await asyncio.sleep(0)
        hub.codes["1"] = GOOD
        want(clients, "a", "b")
        assert (await waiting)[2] == b"a 1"
        assert (await clients.call("b", REQUEST))[2] == b"b 1"
        assert clients.states() == {"a": InlineState("1"), "b": InlineState("1")}
        assert not clients.loads(), "no worker is wanted for any of it"

    play(tmp_path, story)


def test_a_revision_that_does_not_start_is_refused_at_once_or_replaces_nothing(tmp_path: Path):
    async def story(clients: InlineClients, hub: Hub) -> None:
        hub.codes["1"] = "1 / 0"
        want(clients, "a")
        with pytest.raises(Unavailable, match="it does not start"):
            await clients.call("a", REQUEST)
        with pytest.raises(Unavailable, match="it does not start"):
            await clients.call("a", REQUEST)
        assert clients.states()["a"] == InlineState("", "cannot import main.py: ZeroDivisionError: division by zero")
        hub.codes = {"2": GOOD}
        want(clients, "a", revision="2")
        assert (await clients.call("a", REQUEST))[2] == b"a 2"
        hub.codes = {"3": "import nowhere"}
        want(clients, "a", revision="3")
        await until(lambda: bool(clients.states()["a"].failure))
        assert (await clients.call("a", REQUEST))[2] == b"a 2"

    play(tmp_path, story)


def test_a_revision_that_nobody_wants_any_more_is_not_run(tmp_path: Path):
    async def story(clients: InlineClients, hub: Hub) -> None:
        hub.codes = {"1": GOOD}
        want(clients, "a", revision="2")
        await asyncio.sleep(0)
        assert clients.states() == {"a": InlineState()}, "what the hub says of another revision is not for this one"
        hub.codes = {"1": GOOD, "2": GOOD}
        want(clients, "a", revision="2")
        assert (await clients.call("a", REQUEST))[2] == b"a 2"
        want(clients)
        with pytest.raises(Unavailable, match="not running"):
            await clients.call("a", REQUEST)
        await until(lambda: not [name for name in sys.modules if name.startswith("inline_a_")])

    play(tmp_path, story)


class Asking:
    """Implements `littoral.functions.calls.asked.Asking`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.errors: list[Exception] = []
        self.told_in: list[tuple[object, str]] = []
        """The task, and what the context says."""

    def answered(self, answer: Answer, stream: FunctionStream | None) -> None:
        assert stream is None
        self.bodies.append(answer.body)
        self.told_in.append((asyncio.current_task(), marked.get()))

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


marked: ContextVar[str] = ContextVar("marked", default="")
"""What a caller has in its context."""
TELLING = """
    import asyncio
    from contextvars import ContextVar
    from workers import Response

    seen = ContextVar("seen", default="nobody")

    async def on_fetch(request):
        assert seen.get() == "nobody", "each request has a context of its own"
        seen.set(request.url)
        if request.url.endswith("/later"):
            await asyncio.sleep(0)
        if request.url.endswith("/broken"):
            1 / 0
        assert asyncio.current_task().get_coro() is not None
        return Response(request.headers["x-request-id"] + request.headers["host"])
    """


def _asked(path: str, request_id: str = "r-1") -> FunctionRequest:
    return FunctionRequest("GET", f"http://edge.test/{path}", ToldFields((("host", "h"),)), b"", request_id)


def test_an_app_is_told_of_a_request_and_whoever_asked_of_its_answer_later(tmp_path: Path):
    async def story(clients: InlineClients, hub: Hub) -> None:
        hub.codes["1"] = TELLING
        want(clients, "a")
        assert (await clients.call("a", _asked("later")))[2] == b"r-1h"
        who = Asking()
        marked.set("of who asks")
        clients.ask("a", _asked("", "r-2"), who)
        clients.ask("a", _asked("later", "r-3"), who)
        assert not who.bodies, "never before `ask` has returned"
        await until(lambda: len(who.bodies) == 2)
        assert who.bodies == [b"r-2h", b"r-3h"]
        assert who.told_in == [(None, ""), (None, "")], "neither in the app's code nor in that of who asks"
        clients.ask("a", _asked("broken"), who)
        await until(lambda: bool(who.errors))
        (meter,) = clients.meters()["a"].values()
        assert (meter.calls, meter.errors) == (4, {"exception": 1})

    play(tmp_path, story)
