import asyncio
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from littoral.functions.loader import NoHandler, find_handler, load_module
from littoral.workers import Context, Env, Request


@pytest.fixture(autouse=True)
def interpreter_as_it_was() -> Iterator[None]:
    """Workers load one app and end; here the modules are put back."""
    modules, path, flag = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
    yield
    sys.dont_write_bytecode = flag
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]


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
    assert answer(module).body == b"1/a"


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
