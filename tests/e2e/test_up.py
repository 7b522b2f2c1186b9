"""`littoral up`: it says where everything is, goes on where it was, and leaves nothing behind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

FACTORY = Path(__file__).parents[2] / "examples" / "factory"
DEADLINE_S = 60
LITTORAL = [sys.executable, "-m", "littoral.cli.main"]
SPEED = 10_000
"""Seconds of the recordings a second: the first window after a few seconds, and little to do for the nodes."""


@contextlib.contextmanager
def up(state, *options):
    """A tree that runs, and what it has said so far."""
    command = [*LITTORAL, "up", "--state-dir", str(state), "--app", str(FACTORY), "--port", "0", *options]
    command += ["--speed", str(SPEED)]
    said = state.parent / "said"
    with (
        said.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            until(lambda: "Ctrl-C ends it" in said.read_text() or process.poll() is not None)
            assert process.poll() is None, said.read_text()
            yield process, said.read_text
        finally:
            process.kill()


def until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_runs_until_it_is_told_to_end_and_goes_on_where_it_was(tmp_path):
    state = tmp_path / "t"
    with up(state) as (process, said):
        page = re.search(r"^plant-a +(http://\S+/lines) +MQTT 127\.0\.0\.1:\d+$", said(), re.MULTILINE)
        assert page is not None, said()
        until(lambda: b"plant-a / machine" in urllib.request.urlopen(page[1]).read())
        again = subprocess.run(
            [*LITTORAL, "up", "--state-dir", str(state), "--port", "0"], capture_output=True, text=True, check=False
        )
        assert again.returncode == 1
        assert "a tree is running there" in again.stderr
        listed = subprocess.run(
            [*LITTORAL, "status", "--tree", str(state), "--json"], capture_output=True, check=True
        ).stdout
        assert [each["node"] for each in json.loads(listed)] == ["cloud", "eu", "plant-a", "plant-b"]
        pids = [json.loads((state / name / "run" / "pids.json").read_text()) for name in ("cloud", "plant-a")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        assert not any(is_alive(pid) for each in pids for pid in each.values())
    played = json.loads((state / "devices.json").read_text())
    assert sorted(played) == ["plant-a/ambient", "plant-a/machine", "plant-b/ambient", "plant-b/machine"]
    assert all(rows > 0 for rows in played.values())

    with up(state) as (process, said):
        until(lambda: json.loads((state / "devices.json").read_text())["plant-a/machine"] > played["plant-a/machine"])
        assert "plant-a" in said()
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
    assert "stopped" in said()
