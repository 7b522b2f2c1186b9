"""littoral cache, against a real hub."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.commands import command
from tests.support.operator_hub import serving_root

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("cloud")
    with serving_root(directory):
        yield str(directory)


def cache(*arguments: str) -> "subprocess.CompletedProcess[str]":
    done = command("cache", *arguments, environment=ENVIRONMENT)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_what_came_of_it_is_said(data_dir: str) -> None:
    said = cache("purge", "http://edge.test/a", "--data-dir", data_dir)
    assert (said.returncode, said.stdout, said.stderr) == (0, "purge 0: 0 stored responses in 0 gateways\n", "")
    said = cache("purge", "--tag", "page", "--soft", "--json", "--data-dir", data_dir)
    assert json.loads(said.stdout) == {"number": 1, "gateways": 0, "objects": 0, "unconfirmed": 0}
    said = cache("inspect", "http://edge.test/a", "--data-dir", data_dir)
    assert (said.returncode, said.stdout) == (0, "not stored in any of 0 gateways\n")
    said = cache("top", "--data-dir", data_dir)
    assert (said.returncode, said.stdout) == (0, "nothing is stored in any of 0 gateways\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["purge"], 2, "name a URL, or give one of --tag, --prefix and --all"),
        (["purge", "edge.test/a", "--all"], 2, "name a URL, or give one of"),
        (["purge", "edge.test/a b"], 1, "cannot read target of request /a b: its path holds a character"),
        (["purge", "--tag", "a,b"], 1, "cannot purge by tag a,b: a tag has no spaces"),
        (["top", "--count", "101"], 2, "Invalid value for '--count'"),
        (["inspect", "ftp://edge.test"], 1, "Write it as clients do: http://HOST[:PORT]/PATH"),
    ],
)
def test_what_is_wrong_is_said(data_dir: str, arguments: list[str], code: int, words: str) -> None:
    said = cache(*arguments, "--data-dir", data_dir)
    assert (said.returncode, said.stdout) == (code, "")
    assert words in said.stderr
