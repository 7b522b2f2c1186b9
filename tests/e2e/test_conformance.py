"""The public conformance suite of Durable Streams, run as its authors publish it, against a real node."""

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
DISPROVED: dict[str, str] = {}
"""Tests that fail because the protocol's text says otherwise -> the sentence that does."""


def run_suite(url: str, report: Path) -> dict[str, str]:
    """The state of each test, by its full name."""
    environment = {**os.environ, "STREAMS_URL": url, "NO_COLOR": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = ["node", "node_modules/vitest/vitest.mjs", "run", "--reporter=json", f"--outputFile={report}"]
    done = subprocess.run(
        command, cwd=SUITE, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert report.exists(), done.stderr
    files = json.loads(report.read_bytes())["testResults"]
    return {each["fullName"]: each["status"] for file in files for each in file["assertionResults"]}


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
        states = run_suite(node.url("streams"), tmp_path / "report.json")
    counts = Counter(states.values())
    with capsys.disabled():
        sys.stdout.write(f" {counts['passed']} of {len(states)} pass;")
    assert {name for name, state in states.items() if state == "failed"} == set(DISPROVED)
    assert len(states) == TESTS
    assert counts["passed"] == TESTS - len(DISPROVED)
