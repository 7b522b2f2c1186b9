"""What is seen of modules without running them."""

import ast
from pathlib import Path

import pytest

from littoral.projects.entry import compiled, entry_finding, unknown_bindings
from littoral.projects.finding import Finding

PROJECTS = Path(__file__).parents[2] / "projects"


def tree(source: str) -> ast.Module:
    module = compiled("src/entry.py", source.encode())
    assert isinstance(module, ast.Module), module
    return module


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "class Default:\n    async def fetch(self, request)\n        return 1\n",
            "src/entry.py:2: expected ':'\n    async def fetch(self, request)\n" + " " * 34 + "^\nCorrect it",
        ),
        ("a = 1\n  b = 2\n", "src/entry.py:2: unexpected indent\n    b = 2\n"),
        ("x = (\n", "src/entry.py:1: '(' was never closed\n    x = (\n        ^\n"),
        ("return 5\n", "src/entry.py:1: 'return' outside function"),
        ("a = '\0'", "src/entry.py: source code string cannot contain null bytes"),
        ("# coding: nothing\n", "src/entry.py: "),
        ("(" * 300 + ")" * 300, "src/entry.py:1: too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1", "src/entry.py"),
    ],
)
def test_what_does_not_compile_shows_the_place(source: str, said: str):
    finding = compiled("src/entry.py", source.encode())
    assert isinstance(finding, Finding)
    assert said in str(finding)


@pytest.mark.parametrize(
    "source",
    [
        "class Default(WorkerEntrypoint): ...",
        "class Shop(workers.WorkerEntrypoint): ...",
        "class Default(DjangoCF, WorkerEntrypoint): ...",
        "async def on_fetch(request, env, ctx): ...",
        "def fetch(request): ...",
        "app = FastAPI()",
        "app: FastAPI = FastAPI()",
        "from shop.wsgi import application",
        "from shop import create as app",
        "try:\n    from a import app\nexcept ImportError:\n    app = None",
        "if True:\n    class Default: ...",
    ],
)
def test_what_answers_requests_is_found(source: str):
    assert entry_finding("src/entry.py", tree(source)) is None


@pytest.mark.parametrize("path", sorted(PROJECTS.glob("*/src/entry.py")), ids=lambda path: path.parts[-3])
def test_projects_in_the_published_style_are_found_fit(path: Path):
    module = compiled("src/entry.py", path.read_bytes())
    assert isinstance(module, ast.Module)
    assert entry_finding("src/entry.py", module) is None


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import app_tools",
        "from workers import Response, fetch",
        "class Shop: ...",
        "def handler(): ...",
        "class A:\n    def fetch(self): ...",
    ],
)
def test_a_main_module_without_an_entry_point(source: str):
    said = str(entry_finding("src/entry.py", tree(source)))
    assert said.startswith(
        "src/entry.py: nothing in it answers requests: it has no class that derives WorkerEntrypoint"
    )
    assert said.endswith("Write `class Default(WorkerEntrypoint)` with `async def fetch(self, request)`")


def test_names_that_nothing_gives_are_said_once_with_their_line():
    source = """\
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.VISITS.get("a")
        await self.env.VISIT.get("b")
        await self.env.VISIT.get("c")
        self.env["TOKEN"], self.env.__class__
        self.env.NEW = 1

async def on_fetch(request, env):
    env.SECRET
    env["OTHER"]
    env.get_template("page.html")
    os.environ["HOME"]
    request.scope["env"]
"""
    assert [str(each) for each in unknown_bindings("src/entry.py", tree(source), {"VISITS"})] == [
        'src/entry.py:4: env.VISIT is not defined: no variable and no binding has that name; a secret may. Did you mean "VISITS"?',
        "src/entry.py:6: env.TOKEN is not defined: no variable and no binding has that name; a secret may.",
        "src/entry.py:10: env.SECRET is not defined: no variable and no binding has that name; a secret may.",
        "src/entry.py:11: env.OTHER is not defined: no variable and no binding has that name; a secret may.",
    ]
