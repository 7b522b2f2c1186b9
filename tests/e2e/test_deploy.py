"""From a project's folder to an answer: deployed to a real node, gone back, and cut off in between."""

import json
import shlex
import textwrap
from pathlib import Path

import pytest

from littoral.cli.main import run
from littoral.node.layout import APPS
from tests.e2e.test_pages import commands
from tests.support.real_node import RealNode, call
from tests.support.wheels import installed_wheels, only_from

ENTRY = """\
from fastapi import FastAPI
from pydantic import BaseModel

class Item(BaseModel):
    name: str

app = FastAPI()

@app.get("/")
async def root():
    return {"message": "one"}

@app.post("/items")
async def create(item: Item):
    return item
"""
TOML = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["fastapi"]\n'
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "develop-a-project.md"
AT = " --data-dir data"
"""At the end of the page's commands that are for a node."""


class Workshop:
    """A project, and the node it is deployed to."""

    def __init__(self, node: RealNode, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.node = node
        self.folder = folder
        self.capsys = capsys
        self.put(
            "wrangler.json", json.dumps({"name": "shop", "main": "src/entry.py", "compatibility_date": "2025-11-02"})
        )
        self.put("pyproject.toml", TOML)
        self.put("src/entry.py", ENTRY)

    def put(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(textwrap.dedent(text))

    def littoral(self, *arguments: str, status: int = 0) -> str:
        """Run a command at the node; returns what it says."""
        self.capsys.readouterr()
        found = run([*arguments, "--data-dir", str(self.node.data_dir)])
        said = self.capsys.readouterr()
        assert found == status, said.out + said.err
        return said.out if status == 0 else said.err

    def deploy(self, status: int = 0) -> str:
        return self.littoral("deploy", str(self.folder), status=status)

    def answer(self) -> object:
        return call(f"{self.node.url('gateway')}/").json()

    def folders(self) -> list[str]:
        return sorted(each.name for each in (self.node.data_dir / APPS).glob("shop-*"))


def test_a_fastapi_project_is_deployed_changed_and_gone_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed_wheels(tmp_path / "index", "fastapi")
    for name, value in only_from(tmp_path / "index").items():
        monkeypatch.setenv(name, value)
    with RealNode("root", listen={"gateway": "127.0.0.1:0"}, function_start_ms=60_000) as node:
        workshop = Workshop(node.start(), tmp_path / "shop", capsys)
        said = workshop.deploy().splitlines()
        first = said[0].split("revision ")[1].split(":")[0]
        assert said[1:2] == ["App shop: created"]
        assert said[-2:] == ["root: runs it", f"{node.url('gateway')}/"]
        assert workshop.answer() == {"message": "one"}
        posted = call(f"{node.url('gateway')}/items", "POST", b"{}", {"content-type": "application/json"})
        assert posted.status == 422
        a_line_is_changed_and_the_packages_stay(workshop)
        what_does_not_start_does_not_replace_what_runs(workshop)
        workshop.littoral("rollback", "shop", first[:6])
        node.until(lambda: workshop.answer() == {"message": "one"})
        listed = json.loads(workshop.littoral("app", "revisions", "shop", "--json"))
        assert (listed[0]["revision"], listed[0]["is_desired"], len(listed)) == (first, True, 3)
        assert first in workshop.littoral("app", "list")
        the_commands_of_the_page_are_these(workshop)


def the_commands_of_the_page_are_these(workshop: Workshop) -> None:
    workshop.put("src/entry.py", ENTRY.replace("one", "three"))
    lines = [line for line in commands(PAGE) if line.endswith(AT)]
    assert len(lines) == 6
    for line in lines:
        words = shlex.split(line.removesuffix(AT))[1:]
        # Who follows ends it with Ctrl-C.
        said = workshop.littoral(
            *(
                str(workshop.folder) if word == "shop" and words[0] == "deploy" else word
                for word in words
                if word != "-f"
            )
        )
        assert said or words[0] == "logs", line
    # The last of them.
    assert json.loads(workshop.littoral("app", "list", "--json")) == []


def a_line_is_changed_and_the_packages_stay(workshop: Workshop) -> None:
    packages = workshop.node.data_dir / APPS / ".packages"
    (shared,) = packages.iterdir()
    workshop.put("src/entry.py", ENTRY.replace("one", "two"))
    workshop.deploy()
    assert workshop.answer() == {"message": "two"}
    assert list(packages.iterdir()) == [shared]
    assert len(workshop.folders()) == 2


def what_does_not_start_does_not_replace_what_runs(workshop: Workshop) -> None:
    workshop.put("src/entry.py", ENTRY.replace("import FastAPI", "import FatAPI"))
    said = workshop.deploy(status=1)
    assert "cannot start revision" in said
    assert "cannot import name 'FatAPI' from 'fastapi'" in said
    assert "littoral rollback shop" in said
    assert workshop.answer() == {"message": "two"}
