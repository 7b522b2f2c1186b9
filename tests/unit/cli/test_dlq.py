"""littoral dlq, against a real hub: what is listed, shown, retried and dropped."""

import asyncio
import base64
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.store.dead_letters import PART_BYTES, append_dead_letters, dead_letters
from tests.support.commands import command
from tests.support.operator_hub import serving_root
from tests.support.stores import local_store

DEADLINE_S = 60
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "TERM": "xterm"}
LARGE = bytes(range(256)) * (PART_BYTES // 256 + 1)
LONG = "cannot accept timestamp 117093590311632896: it is 90000 ms ahead of this node's clock; at most 60000 ms are allowed"
AT_MS = 1_700_000_000_000
LETTERS = [
    ("plant-a/kv/factory@17", LONG, b"\x94 no entry", "fold/kv"),
    (
        "factory/a-topic-of-some-length/\x1b[31mtemperature",
        "rule heat: malformed: JSON is malformed",
        b"not json\n",
        "",
    ),
    ("plant-b/kv/factory@3", "large", LARGE, "fold/kv"),
    *((f"plant-c/poison@{n}", f"rule {n}", b"x", "") for n in range(4)),
]
"""At offsets 0, 1, 2 (in two parts) and 4 to 7."""


async def fill(directory: Path) -> None:
    async with local_store(directory, "cloud") as store:
        for source, reason, record, by in LETTERS:
            letters = dead_letters(source, reason, record, AT_MS, by)
            await store.submit(lambda tx, letters=letters: append_dead_letters(tx, letters))


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "cloud"
    directory.mkdir()
    asyncio.run(fill(directory))
    with serving_root(directory):
        yield directory


def dlq(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return command("dlq", *arguments, "--data-dir", data_dir, environment=ENVIRONMENT)


def done(data_dir: Path, *arguments: str) -> str:
    ended = dlq(data_dir, *arguments)
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout.decode()


def in_terminal(data_dir: Path, columns: int, *arguments: str) -> list[str]:
    """The lines that a terminal of so many columns would show; what is bold is not."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "littoral.cli.main", "dlq", *arguments, "--data-dir", str(data_dir)]
    environment = ENVIRONMENT | {"NO_COLOR": "1"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # what Linux says once nobody has the other end open
                break
            if not piece:
                break
            shown += piece
        assert process.wait(DEADLINE_S) == 0
    os.close(ours)
    text = shown.decode().replace("\x1b[1m", "").replace("\x1b[0m", "")
    return [line.rstrip() for line in text.split("\r\n") if line.strip()]


@pytest.mark.parametrize("columns", [80, 120])
def test_each_letter_is_one_line_that_fits_the_terminal(data_dir: Path, columns: int):
    head, *rows = in_terminal(data_dir, columns, "list")
    assert head.split() == ["OFFSET", "AGE", "SIZE", "SOURCE", "REASON"]
    assert [row.split()[0] for row in rows] == ["0", "1", "2", "4", "5", "6", "7"]
    assert all(len(row) <= columns for row in rows)
    assert rows[0].split()[4] == "plant-a/kv/factory@17"
    assert rows[0].endswith("…")
    assert "it is 90000 ms ahead of" in rows[0]
    assert "\x1b[31m" not in rows[1]
    assert "malformed: JSON is" in rows[1]
    assert rows[2].split()[2:4] == ["384.2", "KiB"]


def test_a_file_gets_all_of_it_and_json_too(data_dir: Path):
    rows = done(data_dir, "list").splitlines()
    assert LONG.partition(": ")[2] in rows[1]
    letters = json.loads(done(data_dir, "list", "--json"))
    assert [(each["offset"], each["reason"]) for each in letters][:2] == [(0, LONG), (1, LETTERS[1][1])]
    some = json.loads(done(data_dir, "list", "--json", "--source", "plant-c", "--reason", "rule 2"))
    assert [each["offset"] for each in some] == [6]
    ended = dlq(data_dir, "list", "--json", "--limit", "2")
    assert len(json.loads(ended.stdout)) == 2
    assert ended.stderr == b"There may be more: --from 2\n"


def test_one_is_shown_whole(data_dir: Path):
    shown = done(data_dir, "show", "0")
    assert shown.splitlines() == [
        "letter     0, open",
        "put aside  2023-11-14T22:13:20+00:00",
        "source     plant-a/kv/factory@17",
        "by         fold/kv",
        "size       10 B",
        f"reason     {LONG}",
        "",
        "00000000  94 20 6e 6f 20 65 6e 74 72 79                    . no entry",
    ]
    text = done(data_dir, "show", "1")
    assert text.endswith("\n\nnot json\n\n")
    assert "\\x1b[31mtemperature" in text
    assert "by         nobody who can retry it" in text
    assert dlq(data_dir, "show", "2", "--raw").stdout == LARGE
    assert base64.b64decode(json.loads(done(data_dir, "show", "2", "--json"))["record"]) == LARGE


def test_one_is_retried_and_dropped(data_dir: Path):
    failed = dlq(data_dir, "retry", "0")
    assert failed.returncode == 1
    assert failed.stderr.startswith(b"error: cannot apply write of plant-a/kv/factory: it is no key-value entry (")
    assert done(data_dir, "drop", "0") == "0: dropped\n"
    again = dlq(data_dir, "drop", "0")
    assert again.returncode == 1
    assert b"error: cannot drop dead letter 0: it was dropped, at 20" in again.stderr
    assert done(data_dir, "show", "0").startswith("letter     0, dropped, at 20")
    assert json.loads(done(data_dir, "drop", "1", "--json")) == {"offset": 1, "outcome": "dropped"}


def test_many_are_retried_and_dropped(data_dir: Path):
    failed = dlq(data_dir, "retry", "--all", "--source", "plant-a")
    assert (failed.returncode, failed.stdout) == (1, b"retried 0, 1 stay open\n")
    assert failed.stderr.startswith(b"0: cannot apply write of plant-a/kv/factory: it is no key-value entry")
    assert json.loads(done(data_dir, "drop", "--all", "--reason", "rule", "--json")) == {"done": 5, "failed": []}
    assert done(data_dir, "drop", "--all") == "dropped 2\n"
    assert done(data_dir, "list") == ""
    assert done(data_dir, "list", "--json") == "[]\n"


@pytest.mark.parametrize(
    "arguments", [["drop"], ["drop", "3", "--all"], ["retry", "3", "--source", "x"], ["show"], ["retry", "-1"]]
)
def test_wrong_usage_is_said(data_dir: Path, arguments: list[str]):
    assert dlq(data_dir, *arguments).returncode == 2
