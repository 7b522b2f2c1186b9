"""The table of commands, and what becomes of errors."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from littoral import __version__
from littoral.cli import version as version_module
from littoral.cli.lazy import Entry, Group
from littoral.cli.main import COMMANDS, PANELS, run


def functions(entries: dict[str, Entry]) -> list[str]:
    found: list[str] = []
    for entry in entries.values():
        found += functions(dict(entry.commands)) if isinstance(entry, Group) else [entry]
    return found


@pytest.mark.parametrize("entry", functions(COMMANDS))
def test_every_command_is_there_and_says_what_it_does(entry: str):
    module, _, name = entry.partition(":")
    assert getattr(importlib.import_module(module), name).__doc__


def test_every_command_stands_under_one_heading_of_the_help():
    assert sorted(name for names in PANELS.values() for name in names) == sorted(COMMANDS)


def test_help_says_no_type_of_what_takes_no_value(capsys):
    assert run(["stream", "tail", "--help"]) == 0
    assert "<bool>" not in capsys.readouterr().out


def test_version(capsys):
    assert run(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["stream"], ["stream", "tail", "--help"]])
def test_help(arguments: list[str], capsys):
    assert run(arguments) == 0
    assert "Usage: littoral" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["staus"], "error: No such command 'staus'. Did you mean 'status'?"),
        (["kv", "get"], "error: Missing argument 'namespace'."),
        (["wan", "delay", "plant-a", "soon"], "error: Invalid value for 'MS': Input should be a valid number"),
        (["apply"], "error: Invalid value: name at least one file"),
        (["status", "--url", "http://x", "--node", "a"], "error: Invalid value: --url and --node each name a node"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], said: str, capsys, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("LITTORAL_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LITTORAL_TOKEN", "t")
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_a_node_that_does_not_answer(capsys):
    assert run(["status", "--url", "http://127.0.0.1:9", "--token", "t"]) == 1
    assert capsys.readouterr().err == (
        "error: cannot reach http://127.0.0.1:9: connection refused\nCheck that the node runs and listens there\n"
    )


def _break() -> None:
    raise ZeroDivisionError("broken")


def test_a_fault_of_ours_shows_its_traceback_on_demand_only(capsys, monkeypatch):
    monkeypatch.setattr(version_module, "version", _break)
    monkeypatch.setenv("LITTORAL_DEBUG", "0")
    assert run(["version"]) == 1
    assert capsys.readouterr().err == (
        "error: this should not have happened: ZeroDivisionError: broken\nLITTORAL_DEBUG=1 shows where\n"
    )
    assert run(["--debug", "version"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_version_loads_no_servers_and_no_cryptography():
    """What keeps `littoral version` fast."""
    code = (
        "import sys; from littoral.cli.main import run; run(['version'])\n"
        "heavy = {'granian', 'nicegui', 'fastapi', 'cryptography', 'apsw', 'pyreqwest', 'asyncio', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
