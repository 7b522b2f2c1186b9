"""littoral trace: what is shown, and what is refused."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from littoral.cli.trace import show
from littoral.gateway.tracing import TraceReport, TraceStep
from littoral.node.route_desk import RouteAnswer
from littoral.node.trace_desk import Trace
from tests.support.operator_hub import serving_root

DEADLINE_S = 60
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
ASKED = RouteAnswer("GET", "edge.test", "/a", "route/shop", "origin servers", cache_key="http://edge.test/a")
REFUSED = "cannot connect to http://b: connection refused"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("cloud")
    with serving_root(directory):
        yield str(directory)


def report(*steps: TraceStep, status: int = 200, failure: str = "", cache_status: str = "edge; hit") -> TraceReport:
    return TraceReport(
        1, "g-7", "route/shop", status, 2048, 40.0, 1.0, "hit", cache_status, "http://b", 2, failure, list(steps)
    )


def shown(capsys: pytest.CaptureFixture[str], asked: RouteAnswer, *steps: TraceStep, **facts: object) -> list[str]:
    show(Trace(asked, report(*steps, **facts)))  # type: ignore[arg-type]
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_steps_are_bars_on_one_scale(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        ASKED,
        TraceStep("origin", "http://a", 0, 0.0, 10.0, 0, REFUSED),
        TraceStep("connect", "", 1, 0.0, 0.0, 0, REFUSED),
        TraceStep("origin", "http://b", 0, 10.0, 20.0, 200),
        TraceStep("db", "a query", 1, None, 15.0),
        TraceStep("body", "", 0, 30.0, None),
    )
    start = lines.index(next(line for line in lines if line.startswith("STEP")))
    bars = [line.count("━") for line in lines[start + 1 :]]
    assert bars == [48, 12, 1, 24, 0, 12, 0]
    columns = [line.find("━") - lines[start + 1].find("━") for line in lines[start + 1 : -1]]
    assert [columns[number] for number in (0, 1, 2, 3, 5)] == [0, 0, 0, 12, 36]
    assert lines[start + 2].split()[-1] == "failed"
    assert lines[start + 4].split()[0:2] == ["origin", "http://b"]
    assert lines[start + 5].startswith("    db a query")
    assert lines[-1] == f"failed: {REFUSED}"
    assert lines.count(lines[-1]) == 1


def test_what_is_known_of_the_request_stands_above(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, ASKED, status=502, failure=REFUSED)
    assert lines[1:9] == [
        "request    GET edge.test /a",
        "answer     502, 2.0 KiB in 40.0 ms",
        f"           {REFUSED}",
        "route      route/shop, to origin servers",
        "cache      hit (edge; hit)",
        "cache key  http://edge.test/a",
        "origin     http://b, 2 tries",
        "gateway    1, request g-7",
    ]


def test_nothing_that_is_shown_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[31m\r\n"
    asked = RouteAnswer("GET", f"edge.test{evil}", f"/{evil}", "route/shop", "x", cache_key=evil)
    lines = shown(capsys, asked, TraceStep("db", evil, 0, None, 1.0, 0, evil), failure=f"not {evil}", cache_status=evil)
    assert not any("\x1b" in line or "\r" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["http://edge.test/"], 1, "node cloud has no gateway"),
        (["http://edge.test/", "-H", "nonsense"], 2, "'nonsense' is no header field; write 'NAME: VALUE'"),
        ([], 2, "Missing argument 'URL'"),
    ],
)
def test_what_is_wrong_is_said(data_dir: str, arguments: list[str], code: int, words: str) -> None:
    command = [sys.executable, "-m", "littoral.cli.main", "trace", *arguments, "--data-dir", data_dir]
    said = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE_S, check=False)
    assert (said.returncode, said.stdout) == (code, "")
    assert words in said.stderr
