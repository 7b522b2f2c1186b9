"""The public conformance suite of Durable Streams, run as its authors publish it, against a real node."""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from littoral.core.resources.model import ANYONE, StreamAccess, Streams, Webhooks
from tests.support.real_node import RealNode

SUITE = Path(__file__).parents[1] / "conformance" / "durable-streams"
TESTS = 338
LONG_POLL_S = 2
"""The suite waits five seconds for an answer."""
DEADLINE_S = 300
WAITING = "TTL|[Ll]ong-[Pp]oll"
"""Names of tests that mostly wait: some of these run at once, and beside the others, which run one after the other."""
AT_ONCE = 12
DISPROVED: dict[str, str] = {}
"""Tests that fail because the protocol's text says otherwise -> the sentence that does."""


def start_suite(url: str, report: Path, *options: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "STREAMS_URL": url, "NO_COLOR": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = ["node", "node_modules/vitest/vitest.mjs", "run", "--reporter=json", f"--outputFile={report}", *options]
    return subprocess.Popen(command, cwd=SUITE, env=environment, stdout=subprocess.DEVNULL)


def run_suite(url: str, folder: Path) -> dict[str, str]:
    """The state of each test, by its full name."""
    parts = {
        folder / "waiting": ("-t", WAITING, "--sequence.concurrent", f"--maxConcurrency={AT_ONCE}"),
        folder / "others": ("-t", f"^(?!.*({WAITING}))"),
    }
    states: dict[str, str] = {}
    with contextlib.ExitStack() as running:
        processes = []
        for report, options in parts.items():
            processes.append(running.enter_context(start_suite(url, report, *options)))
            running.callback(processes[-1].kill)
        for process in processes:
            process.wait(DEADLINE_S)
    for report in parts:
        files = json.loads(report.read_bytes())["testResults"]
        # Those of the other part are "skipped" in this one.
        tests = [each for file in files for each in file["assertionResults"] if each["status"] != "skipped"]
        assert tests
        assert not states.keys() & {each["fullName"] for each in tests}
        states |= {each["fullName"]: each["status"] for each in tests}
    return states


def test_the_conformance_suite_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    everybody = StreamAccess(streams=["*"], read=[ANYONE], append=[ANYONE], manage=[ANYONE])
    with RealNode(
        "cloud",
        listen={"streams": "127.0.0.1:0"},
        # The suite's receivers of webhooks listen on this machine.
        streams=Streams(access=[everybody], webhooks=Webhooks(allow=["http://127.0.0.1:*"])),
        long_poll_seconds=LONG_POLL_S,
    ) as node:
        node.start()
        states = run_suite(node.url("streams"), tmp_path)
    counts = Counter(states.values())
    with capsys.disabled():
        sys.stdout.write(f" {counts['passed']} of {len(states)} pass;")
    assert {name for name, state in states.items() if state == "failed"} == set(DISPROVED)
    assert len(states) == TESTS
    assert counts["passed"] == TESTS - len(DISPROVED)
