"""Publishing, following and listing topics at a real hub, by way of its operator API."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from littoral.cli.main import run
from tests.support.operator_hub import serving_root
from tests.support.real_node import until

DEADLINE_S = 60


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("cloud")
    with serving_root(directory):
        yield directory


@pytest.fixture
def cloud(data_dir: Path, capfdbinary) -> Callable[..., bytes]:
    """Run a command at the node; it must succeed."""

    def call(*arguments: str | Path) -> bytes:
        capfdbinary.readouterr()
        code = run(["mqtt", *map(str, arguments), "--data-dir", str(data_dir)])
        out, err = capfdbinary.readouterr()
        assert (code, err) == (0, b"")
        return out

    return call


@pytest.fixture
def fails(data_dir: Path, capfd) -> Callable[..., tuple[int, str]]:
    """Run a command at the node that must not succeed."""

    def call(*arguments: str) -> tuple[int, str]:
        code = run(["mqtt", *arguments, "--data-dir", str(data_dir)])
        return code, capfd.readouterr().err

    return call


def test_a_retained_message_is_shown_in_each_format(cloud):
    cloud(
        "pub",
        "form/a",
        '{"on": true}',
        "--retain",
        "-q",
        "1",
        "--property",
        "k=v",
        "--content-type",
        "application/json",
    )
    assert cloud("sub", "form/+", "--retained-only") == b'{"on": true}\n'
    assert cloud("sub", "form/+", "--count", "1", "-v") == b'form/a {"on": true}\n'
    assert cloud("sub", "form/a", "-C", "1", "--format", "hex") == b'{"on": true}'.hex().encode() + b"\n"
    document = json.loads(cloud("sub", "form/#", "--retained-only", "--format", "json", "--qos", "0"))
    assert document.pop("at").endswith("+00:00")
    assert document == {
        "topic": "form/a",
        "qos": 0,
        "retain": True,
        "payload": '{"on": true}',
        "contentType": "application/json",
        "userProperties": [["k", "v"]],
    }
    cloud("pub", "form/a", "", "--retain")
    assert cloud("sub", "form/#", "--retained-only") == b""


def test_bytes_that_are_no_text(cloud, tmp_path):
    (tmp_path / "raw").write_bytes(b"\xff\x00")
    cloud("pub", "raw/a", "--file", tmp_path / "raw", "--retain")
    assert cloud("sub", "raw/a", "--retained-only") == b"\xff\x00\n"
    assert json.loads(cloud("sub", "raw/a", "--retained-only", "--format", "json"))["payloadBase64"] == "/wA="


def test_lines_and_repetitions(cloud, tmp_path):
    (tmp_path / "lines").write_bytes(b"one\ntwo\r\n\nfour")
    cloud("pub", "lines/a", "--lines", "--file", tmp_path / "lines")
    cloud("pub", "lines/b", "x", "--count", "3", "--interval", "0.001")
    first, second = json.loads(cloud("topics", "lines", "--json"))
    assert (first["topic"], first["value"], first["count"]) == ("lines/a", "four", 4)
    assert (second["topic"], second["value"], second["count"]) == ("lines/b", "x", 3)


def test_topics_are_a_table_with_their_last_values(cloud):
    cloud("pub", "tree/a/x", "on", "--retain")
    cloud("pub", "tree/a/y", "x" * 300)
    head, first, second = cloud("topics", "tree").decode().splitlines()
    assert head.split() == ["TOPIC", "VALUE", "AGE", "COUNT", "RETAINED"]
    assert first.split()[:2] == ["tree/a/x", "on"]
    assert first.split()[-2:] == ["1", "yes"]
    assert "… of 300 bytes" in second
    assert cloud("topics", "tree", "--levels", "1").decode().splitlines()[1].rstrip() == "tree/a/…  2 topics"
    assert cloud("topics", "--contains", "TREE/A/X").decode().count("\n") == 2
    assert cloud("topics", "tree", "--limit", "1").decode().splitlines()[-1] == "2 in all"


def test_sub_shows_what_passes_until_it_is_interrupted(data_dir, cloud):
    command = [sys.executable, "-m", "littoral.cli.main", "mqtt", "sub", "live/#", "-v", "--data-dir", str(data_dir)]
    cloud("pub", "live/kept", "0", "--retain")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as sub:
        try:
            assert sub.stdout is not None
            assert sub.stdout.readline() == b"live/kept 0\n"
            cloud("pub", "live/a", "1")
            assert sub.stdout.readline() == b"live/a 1\n"
            sub.send_signal(signal.SIGINT)
            out, err = sub.communicate(timeout=DEADLINE_S)
            assert (out, err, sub.returncode) == (b"", b"", 130)
        finally:
            sub.kill()


def test_what_cannot_be_done_says_why(fails):
    code, said = fails("pub", "a/#", "x")
    assert (code, said) == (
        1,
        "error: cannot publish to MQTT topic 'a/#': a topic name contains a wildcard [MQTT-3.3.2-2]\n",
    )
    code, said = fails("sub", "$share/g/a")
    assert code == 1
    assert "Follow the filter without $share and its name" in said
    code, said = fails("clients", "--state", "here")
    assert (code, "is not one of connected, away, waiting" in said) == (1, True)
    code, said = fails("topics", "a/+")
    assert code == 1
    assert "Give the first levels of topics" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pub", "a", "x", "--property", "k"), "is not of the form NAME=VALUE"),
        (("pub", "a", "x", "--lines"), "--lines reads messages from stdin"),
        (("pub", "a", "x", "--file", "y"), "it is given twice"),
        (("sub", "a", "--format", "xml"), "--format is text, json or hex"),
        (("sub", "a", "-R", "--retained-only"), "leave nothing to show"),
    ],
)
def test_wrong_usage_says_so(fails, arguments, said):
    code, error = fails(*arguments)
    assert code == 2
    assert said in error


def metrics(url: str) -> bytes:
    with urlopen(f"{url}/metrics", timeout=DEADLINE_S) as answer:
        return bytes(answer.read())


def test_sub_goes_on_when_the_node_was_away(tmp_path):
    def publish(text: str) -> None:
        assert run(["mqtt", "pub", "live/a", text, "--data-dir", str(tmp_path)]) == 0

    command = [sys.executable, "-m", "littoral.cli.main", "mqtt", "sub", "#", "--data-dir", str(tmp_path)]
    with contextlib.ExitStack() as stack:
        with serving_root(tmp_path) as url:
            assert run(["mqtt", "pub", "live/kept", "kept", "--retain", "-q", "1", "--data-dir", str(tmp_path)]) == 0
            sub = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
            stack.callback(sub.kill)
            assert sub.stdout is not None
            assert sub.stderr is not None
            assert sub.stdout.readline() == b"kept\n"
        assert sub.stderr.readline().rstrip().endswith(b"Following anew")
        with serving_root(tmp_path, address=url.removeprefix("http://")):
            until(lambda: b"littoral_mqtt_watches 1" in metrics(url))
            publish("1")
            assert sub.stdout.readline() == b"1\n"
            sub.send_signal(signal.SIGINT)
            assert sub.wait(DEADLINE_S) == 130


def test_clients_are_listed_as_asked_for(cloud):
    assert cloud("clients", "--contains", "press", "--state", "away").decode().split()[:3] == ["CLIENT", "STATE", "FOR"]
    assert json.loads(cloud("clients", "--json"))["clients"] == []
