"""How a command finds its node."""

import json
from pathlib import Path

import msgspec
import pytest

from littoral.cli.main import run
from littoral.cli.targets import Target, node_at, node_of_tree
from littoral.cli.tree_file import TREE_FILE, read_tree
from littoral.core.errors import InvalidInput, NotFound
from littoral.node.local_tree import NodeEntry
from littoral.node.local_tree import TreeFile as WrittenTree


def data_dir(path: Path, address: str = "127.0.0.1:7410") -> Path:
    (path / "run").mkdir(parents=True)
    (path / "identity").mkdir()
    (path / "run" / "api.json").write_text(json.dumps({"api": address, "mqtt": "127.0.0.1:1883"}))
    (path / "identity" / "operator.token").write_text(f"token-of-{path.name}\n")
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A state directory as `littoral up` writes it."""
    nodes = {}
    for name, parent in (("cloud", None), ("plant-a", "cloud")):
        directory = data_dir(tmp_path / name)
        nodes[name] = NodeEntry("site", parent, str(directory), f"http://{name}.test", "http://g", None)
    links = {"url": "http://127.0.0.1:9", "token": "t"}
    written = WrittenTree(nodes, links, None, {"username": "device", "password": "p"}, 1)
    (tmp_path / TREE_FILE).write_bytes(msgspec.json.encode(written))
    return tmp_path


def test_a_data_directory_tells_address_and_token(tmp_path: Path):
    assert node_at(data_dir(tmp_path / "a")) == Target("http://127.0.0.1:7410", "token-of-a")


def test_a_node_that_was_not_started_says_how_to_start_it(tmp_path: Path):
    with pytest.raises(NotFound) as error:
        node_at(tmp_path)
    assert error.value.remedy == f"Start it: `littoral node run --data-dir {tmp_path}`"


def test_the_root_of_the_local_tree_is_the_default(tree: Path):
    assert node_of_tree(tree, None) == Target("http://cloud.test", "token-of-cloud")


def test_a_node_of_the_local_tree_is_found_by_name(tree: Path):
    assert node_of_tree(tree, "plant-a") == Target("http://plant-a.test", "token-of-plant-a")


def test_a_name_that_is_not_in_the_tree_is_answered_with_those_that_are(tree: Path):
    with pytest.raises(NotFound, match="It has cloud, plant-a"):
        node_of_tree(tree, "plant-b")


def test_the_links_are_found(tree: Path):
    links = read_tree(tree).links
    assert links is not None
    assert (links.url, links.token) == ("http://127.0.0.1:9", "t")


def test_a_damaged_tree_file_is_said_to_be_one(tree: Path):
    (tree / TREE_FILE).write_text("{}")
    with pytest.raises(InvalidInput, match="littoral up"):
        node_of_tree(tree, None)


@pytest.mark.parametrize("command", [["status"], ["kv", "list", "n"], ["wan", "list"], ["wan", "cut", "plant-a"]])
def test_without_a_tree_every_command_says_how_to_start_one(command: list[str], tmp_path: Path, capsys, monkeypatch):
    monkeypatch.delenv("LITTORAL_URL", raising=False)
    monkeypatch.setenv("LITTORAL_TREE", str(tmp_path))
    assert run(command) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: cannot find a local tree in {tmp_path}: none runs there\n")
    assert "Start a local tree with `littoral up`" in error


def test_a_url_without_a_token_says_where_tokens_are(capsys, monkeypatch):
    monkeypatch.delenv("LITTORAL_TOKEN", raising=False)
    assert run(["status", "--url", "http://127.0.0.1:9"]) == 1
    assert "Give --token-file with the node's identity/operator.token" in capsys.readouterr().err


def test_only_a_url_takes_the_token_of_the_environment(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("LITTORAL_TOKEN", "another node's")
    assert node_at(data_dir(tmp_path / "a")).token == "token-of-a"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "No Node"], "a node's name is"),
        (["--at", "plant-a", "--deadline", "soon"], "a whole number and one of"),
    ],
)
def test_a_node_below_is_named_as_nodes_are_and_has_a_time_to_answer(options: list[str], said: str, capsys):
    assert run(["status", "--url", "http://127.0.0.1:9", "--token", "t", *options]) == 1
    assert said in capsys.readouterr().err
