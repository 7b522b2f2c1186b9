"""What a developer's node runs, and which saved files matter to it."""

import socket
from pathlib import Path

import msgspec
import pytest

from littoral.cli.dev.command import Session, at_home, check_port
from littoral.core.errors import StartupError
from littoral.core.resources import App
from littoral.drivers.clock import SystemClock


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
    }
    document = {"kind": "App", "apiVersion": "littoral/v1", "metadata": {"name": "shop"}, "spec": spec}
    app = at_home(msgspec.convert(document, App), {"B": "mine"})
    assert [(each.host, each.path) for each in app.spec.routes] == [(None, "/*")]
    assert app.spec.placement.nodes == []
    assert app.spec.vars == {"A": "1", "B": "mine"}


def test_a_port_that_somebody_has_is_an_error_that_says_who():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"in use by \S+ \(pid \d+\)\. .*--port {port + 1}"):
            check_port(port)
    check_port(port)
