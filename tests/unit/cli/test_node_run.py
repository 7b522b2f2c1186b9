"""What `littoral node run` makes of its options; running it is tested end to end."""

from pathlib import Path

import pytest

from littoral.cli import node_run
from littoral.cli.main import run
from littoral.core.resources import Node

Call = tuple[Node, Path, str | None]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The nodes that would run."""
    made: list[Call] = []

    def run_node(config: Node, data_dir: Path, token: str | None, document: Path | None = None) -> int:
        made.append((config, data_dir, token))
        return 7

    monkeypatch.setattr(node_run, "run_node", run_node)
    return made


SITE = ["node", "run", "--data-dir", "d", "--name", "plant-a", "--tier", "site"]


def test_options_make_a_node(calls: list[Call]):
    options = ["--parent", "https://eu:7", "--token", "t", "--listen-mqtt", "127.0.0.1:1883"]
    options += ["--listen-streams", "127.0.0.1:7480"]
    assert run([*SITE, *options]) == 7
    ((config, data_dir, token),) = calls
    assert (config.metadata.name, config.spec.tier, data_dir, token) == ("plant-a", "site", Path("d"), "t")
    assert config.spec.parent is not None
    assert config.spec.parent.url == "https://eu:7"
    listen = config.spec.listen
    assert (listen.mqtt, listen.streams, listen.gateway) == ("127.0.0.1:1883", "127.0.0.1:7480", None)


def test_a_document_makes_a_node(calls: list[Call], tmp_path: Path):
    document = tmp_path / "node.yaml"
    document.write_text("apiVersion: littoral/v1\nkind: Node\nmetadata: {name: a}\nspec: {tier: cloud}\n")
    assert run(["node", "run", "--data-dir", "d", "--config", str(document)]) == 7
    assert calls[0][0].metadata.name == "a"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["node", "run", "--data-dir", "d"], 2, "give --name and --tier, or --config"),
        ([*SITE, "--config", "x"], 2, "--config says what the node is"),
        ([*SITE, "--join-url", "https://eu:8"], 2, "--join-url goes with --parent"),
        ([*SITE, "--parent", "http://eu:7"], 1, "spec.parent.url"),
        ([*SITE, "--listen-api", "here"], 1, "spec.listen.api"),
        (["node", "run", "--data-dir", "d", "--config", "none.yaml"], 1, "cannot read none.yaml: No such file"),
    ],
)
def test_what_makes_no_node_is_refused(arguments: list[str], code: int, said: str, calls: list[Call], capsys):
    assert run(arguments) == code
    assert said in capsys.readouterr().err
    assert calls == []
