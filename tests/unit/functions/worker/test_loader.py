import asyncio
import importlib.util
import py_compile
import textwrap
from collections.abc import Awaitable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import littoral.workers.asgi
import littoral.workers.wsgi
from littoral.functions.worker.loader import App, NoHandler, find_app, find_handler, load_module
from littoral.workers import Context, Env, Request
from tests.support.app_modules import interpreter_as_it_was


@pytest.fixture(autouse=True)
def _interpreter(tmp_path: Path) -> Iterator[None]:
    with interpreter_as_it_was(tmp_path):
        yield


def load(directory: Path, code: str, name: str = "main.py") -> ModuleType:
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(code))
    return load_module(str(directory), name)


def answer(module: ModuleType) -> Any:
    async def call() -> Any:
        return await find_handler(module)(Request("https://edge.test/a"), Env({"X": "1"}), Context(lambda work: None))

    return asyncio.run(call())


def test_default_wins_and_gets_env(tmp_path: Path) -> None:
    module = load(
        tmp_path,
        """
        from workers import WorkerEntrypoint
        from workers.response import Response

        class Other(WorkerEntrypoint):
            pass

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response(self.env.X + request.path)
        """,
    )
    assert answer(module).whole == b"1/a"


def test_fetch_may_take_no_request(tmp_path: Path) -> None:
    code = """
        from workers import WorkerEntrypoint

        class Only(WorkerEntrypoint):
            async def fetch(self):
                return self.env.X
        """
    assert answer(load(tmp_path, code)) == "1"


@pytest.mark.parametrize("parameters", ["request", "request, env", "request, env, ctx"])
def test_a_function_takes_what_it_names(tmp_path: Path, parameters: str) -> None:
    assert answer(load(tmp_path, f"async def on_fetch({parameters}):\n    return request.path")) == "/a"


def test_modules_beside_the_main_one_are_importable(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "beside_it.py").write_text("VALUE = 5")
    module = load(tmp_path, "import beside_it\nasync def on_fetch(request):\n    return beside_it.VALUE", "src/main.py")
    assert answer(module) == 5
    assert not list(tmp_path.rglob("__pycache__")), "revisions are immutable"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "defines neither"),
        ("from workers import WorkerEntrypoint\nclass A(WorkerEntrypoint): ...", "class A has no method fetch"),
        (
            "from workers import WorkerEntrypoint\nclass A(WorkerEntrypoint): ...\nclass B(WorkerEntrypoint): ...",
            "several entrypoints",
        ),
    ],
)
def test_a_module_that_answers_nothing_says_what_is_missing(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(NoHandler, match=message):
        find_handler(load(tmp_path, code))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoHandler, match="there is no file 'nowhere.py'"):
        load_module(str(tmp_path), "nowhere.py")


def test_names_are_the_same_modules_under_two_names(tmp_path: Path) -> None:
    module = load(
        tmp_path,
        """
        import asgi
        import js
        import pyodide.ffi
        import workers
        import workers.wsgi
        from workers import asgi as same
        from workers.response import Response
        from js import Response as JsResponse
        from pyodide.http import pyfetch

        async def on_fetch(request): ...
        """,
    )
    assert (module.asgi is littoral.workers.asgi, module.same is module.asgi) == (True, True)
    assert module.workers is littoral.workers
    assert module.workers.wsgi is littoral.workers.wsgi
    assert module.Response is littoral.workers.Response
    assert issubclass(module.JsResponse, littoral.workers.Response)
    assert callable(module.pyfetch)


def test_an_apps_own_modules_win_over_asgi_and_not_over_workers(tmp_path: Path) -> None:
    for name in ("asgi", "workers", "js"):
        (tmp_path / f"{name}.py").write_text("OWN = True")
    code = "import asgi, js, workers\ndef on_fetch(): return [hasattr(one, 'OWN') for one in (asgi, workers)]"
    assert answer(load(tmp_path, code)) == [True, False]


def test_a_name_of_javascript_that_is_not_there_is_an_error_of_the_import(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="js has no 'document' here.*There are: AbortController"):
        load(tmp_path, "from js import document")
    with pytest.raises(ModuleNotFoundError, match="workers.nothing"):
        load(tmp_path, "import workers.nothing")


@pytest.mark.parametrize(
    ("code", "answered"),
    [
        ("def on_fetch(request):\n    return request.path", "/a"),
        ("def fetch(request, env):\n    return env.X", "1"),
        ("from workers import fetch\ndef on_fetch(*given):\n    return len(given)", 3),
        (
            "from workers import *\nclass A(WorkerEntrypoint):\n    def fetch(self, request=None):\n        return request.path",
            "/a",
        ),
        ("from workers import *\nclass A(WorkerEntrypoint):\n    def fetch(self):\n        return self.env.X", "1"),
        ("async def on_fetch(request, *, option=1):\n    return option", 1),
    ],
)
def test_handlers_of_every_form(tmp_path: Path, code: str, answered: object) -> None:
    assert answer(load(tmp_path, code)) == answered


def test_a_plain_handler_sees_javascripts_request_and_a_marked_one_does_not(tmp_path: Path) -> None:
    plain = load(tmp_path, "def on_fetch(request):\n    return type(request).__module__")
    marked = load(
        tmp_path, "from workers import handler\n@handler\ndef on_fetch(request):\n    return type(request).__module__"
    )
    assert (answer(plain), answer(marked)) == ("littoral.workers.js.web", "littoral.workers.request")


def test_imported_fetch_is_no_handler(tmp_path: Path) -> None:
    with pytest.raises(NoHandler, match="defines neither"):
        find_handler(load(tmp_path, "from workers import fetch"))


def test_an_app_may_have_events_only(tmp_path: Path) -> None:
    code = "from workers import WorkerEntrypoint\nclass A(WorkerEntrypoint):\n    async def scheduled(self, controller): ..."
    app = find_app(load(tmp_path, code))
    assert app.scheduled is not None
    assert app.queue is None
    with pytest.raises(NoHandler, match="class A has no method fetch: the app answers no requests"):
        asyncio.run(refused(app))


async def refused(app: App) -> None:
    await app.fetch(Request("https://edge.test/"), Env({}), Context(lambda work: None))


def test_events_of_a_module_without_a_class(tmp_path: Path) -> None:
    code = """
        SEEN = []
        async def on_fetch(request): ...
        async def on_scheduled(event, env): SEEN.append((event, env.X))
        def on_queue(batch): SEEN.append(batch)
    """
    module = load(tmp_path, code)
    app = find_app(module)
    assert app.scheduled is not None
    assert app.queue is not None

    async def scenario() -> None:
        assert app.scheduled is not None
        assert app.queue is not None
        await app.scheduled("cron", Env({"X": "1"}), Context(lambda work: None))
        await app.queue("batch", Env({}), Context(lambda work: None))

    asyncio.run(scenario())
    assert module.SEEN == [("cron", "1"), "batch"]


@pytest.mark.parametrize(
    "beside", ["", "async def app(scope, receive, send): ...", "def application(environ, start_response): ..."]
)
def test_events_stand_alone_or_beside_an_application(tmp_path: Path, beside: str) -> None:
    ran: list[object] = []
    module = load(tmp_path, f"{beside}\nasync def on_scheduled(controller):\n    RAN.append(controller)\n")
    vars(module)["RAN"] = ran
    app = find_app(module)
    assert app.queue is None
    assert app.scheduled is not None
    asyncio.run(_awaited(app.scheduled("now", Env({}), Context(lambda work: None))))
    assert ran == ["now"]
    if not beside:
        with pytest.raises(NoHandler, match="has no on_fetch: the app answers no requests of clients"):
            asyncio.run(refused(app))


async def _awaited(work: Awaitable[object]) -> object:
    return await work


@pytest.mark.parametrize("name", ["_hidden", "fetch", "env", "ctx", "nothing", "VALUE", "__init__"])
def test_other_apps_call_own_public_methods_only(tmp_path: Path, name: str) -> None:
    code = """
        from workers import WorkerEntrypoint

        class Default(WorkerEntrypoint):
            VALUE = 5
            def fetch(self): ...
            def _hidden(self): ...
            def twice(self, number): return 2 * number
    """
    app = find_app(load(tmp_path, code))

    async def call(method: str, *arguments: object) -> object:
        return await app.call(method, list(arguments), {}, Env({}), Context(lambda work: None))

    assert asyncio.run(call("twice", 3)) == 6
    with pytest.raises(NoHandler, match=f"no method '{name}' for other apps"):
        asyncio.run(call(name))


@pytest.mark.parametrize(
    "code",
    [
        "app = 5",
        "app = print",
        "def app(scope): ...",
        "async def app(one, two): ...",
        "class app:\n    def __call__(self, a, b): ...",
    ],
)
def test_what_is_no_application_is_none(tmp_path: Path, code: str) -> None:
    with pytest.raises(NoHandler, match="nor an ASGI or WSGI application named `app`"):
        find_handler(load(tmp_path, code))


def test_the_source_is_what_runs_whatever_bytecode_lies_beside_it(tmp_path: Path) -> None:
    stale = tmp_path / "stale.py"
    stale.write_text("def on_fetch():\n    return 'stale'\n")
    cached = importlib.util.cache_from_source(str(tmp_path / "main.py"))
    py_compile.compile(str(stale), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert answer(load(tmp_path, "def on_fetch():\n    return 'new'\n")) == "new"
