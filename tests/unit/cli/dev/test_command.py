"""What a developer's node runs, and which saved files matter to it."""

import json
import socket
from datetime import date
from pathlib import Path

import msgspec
import pytest

from littoral.cli.dev.command import Session, at_home, check_port, developed
from littoral.cli.main import run
from littoral.core.errors import StartupError
from littoral.core.resources import App
from littoral.drivers.clock import SystemClock
from littoral.projects.project import read_project


@pytest.mark.parametrize(
    "path",
    [
        "src/entry.py",
        "wrangler.jsonc",
        "pyproject.toml",
        "requirements.txt",
        ".dev.vars",
        ".env",
        ".littoralignore",
        "a",
    ],
)
def test_files_of_the_project_count(tmp_path: Path, path: str):
    assert Session(tmp_path, None, 1, SystemClock()).counts(path)


@pytest.mark.parametrize(
    "path",
    [
        ".littoral/dev/db/node.db",
        ".littoral/wheels/a.whl",
        ".git/HEAD",
        "src/.entry.py.swp",
        "src/__pycache__/entry.cpython-311.pyc",
        "node_modules/x/index.js",
        "venv/lib/python3.11/site.py",
        "littoral-cp311-x86_64.lock",
        ".dev.vars.staging",
    ],
)
def test_what_tools_write_does_not(tmp_path: Path, path: str):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    assert not Session(tmp_path, None, 1, SystemClock()).counts(path)


def test_variables_of_an_environment_count(tmp_path: Path):
    assert Session(tmp_path, "staging", 1, SystemClock()).counts(".dev.vars.staging")


def test_an_app_is_at_home_wherever_it_is_placed_and_routed():
    spec = {
        "main": "main.py",
        "routes": [{"host": "shop.example", "path": "/a"}],
        "placement": {"nodes": ["far"]},
        "vars": {"A": "1", "B": "2"},
        "isolation": "inline",
    }
    document = {"kind": "App", "apiVersion": "littoral/v1", "metadata": {"name": "shop"}, "spec": spec}
    app = at_home(msgspec.convert(document, App), {"B": "mine"})
    assert [(each.host, each.path) for each in app.spec.routes] == [(None, "/*")]
    assert app.spec.placement.nodes == []
    assert app.spec.isolation == "process"
    assert app.spec.vars == {"A": "1", "B": "mine"}


def test_what_is_marked_as_remote_is_so_where_it_is_asked_for_and_is_else_told(tmp_path: Path):
    config = {"name": "shop", "main": "a.py", "compatibility_date": "2025-11-02"}
    kv = [{"binding": "KV", "id": "things", "remote": True}, {"binding": "OWN", "id": "own"}]
    (tmp_path / "wrangler.json").write_text(json.dumps({**config, "kv_namespaces": kv}, indent=1))
    project = read_project(tmp_path, None, date(2026, 5, 1))

    def remote(names: list[str] | None) -> list[bool]:
        return [each.remote for each in developed(project, {}, names).app.spec.kv]

    assert (remote(None), remote([]), remote(["OWN"])) == ([False, False], [True, False], [False, True])
    assert [str(each) for each in developed(project, {}, None).warnings] == [
        "wrangler.json:6: kv_namespaces[0]: env.KV (namespace things) is local: `remote` holds with --remote only"
    ]
    assert developed(project, {}, []).warnings == []


def test_a_route_for_all_that_the_app_answers_here_is_left_out(tmp_path: Path):
    (tmp_path / "main.py").write_text("")
    app = {
        "kind": "App",
        "apiVersion": "littoral/v1",
        "metadata": {"name": "shop"},
        "spec": {"main": "main.py", "source": "."},
    }
    routes = [
        {
            "kind": "Route",
            "apiVersion": "littoral/v1",
            "metadata": {"name": name},
            "spec": {"match": [match], "app": "shop"},
        }
        for name, match in {
            "all": {"path": "/*"},
            "host": {"path": "/*", "host": "a.b"},
            "some": {"path": "/a"},
        }.items()
    ]
    (tmp_path / "littoral.yaml").write_text("\n---\n".join(json.dumps(each) for each in [app, *routes]))
    project = developed(read_project(tmp_path, None, date(2026, 5, 1)), {}, None)
    assert [each.metadata.name for each in project.others] == ["host", "some"]


def test_a_node_is_named_for_remote_bindings_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["dev", str(tmp_path), "--node", "edge"]) == 2
    assert "--node names the node whose bindings are used; give --remote with it" in capsys.readouterr().err
    assert run(["dev", str(tmp_path), "--remote-only", ","]) == 2
    assert "--remote-only names no binding" in capsys.readouterr().err


def test_remote_bindings_are_not_those_of_the_developers_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LITTORAL_URL", raising=False)
    (tmp_path / ".littoral/dev/run").mkdir(parents=True)
    (tmp_path / ".littoral/dev/run/api.json").write_text('{"api": "127.0.0.1:1"}')
    assert run(["dev", "--remote"]) == 1
    assert "or name a node with --url or --data-dir" in capsys.readouterr().err


def test_a_port_that_somebody_has_is_an_error_that_says_who():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"in use by \S+ \(pid \d+\)\. .*--port {port + 1}"):
            check_port(port)
    check_port(port)
