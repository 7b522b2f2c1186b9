"""Whole trees under faults from a seed: a slice of what `make sim` runs, that a run repeats, and what a failure leaves."""

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from littoral.testing.simulation.campaign import Campaign
from littoral.testing.simulation.draw import draw_plan
from littoral.testing.simulation.orders import Order, answer_of_line, order_to_line
from littoral.testing.simulation.plan import plan_of_json, plan_to_json
from littoral.testing.simulation.processes import COMMAND
from littoral.testing.simulation.run import simulate

RUNS = 20
SEEDS = 1 << 20
PLANS = Path(__file__).parent / "plans"
DEADLINE_S = 120

FAILS = """\
from littoral.testing.simulation.checks import CHECKS
from littoral.testing.simulation.world import Violation

def nobody_publishes(world):
    if world.ledger.readings:
        raise Violation("nobody publishes", "<somebody> did")

CHECKS["nobody publishes"] = nobody_publishes
"""


def littoral(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "littoral.cli.main", "sim", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "LITTORAL_DEBUG": ""}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def test_a_slice_of_the_campaign(seed: int, capsys: pytest.CaptureFixture[str]):
    tally = Campaign(first_seed=seed % SEEDS, runs=RUNS, jobs=2).run()
    assert [(each.plan.seed, each.violation) for each in tally.failed] == []
    assert tally.runs == RUNS
    with capsys.disabled():
        sys.stdout.write(f" {tally.acknowledged} acknowledged records, {sum(tally.hits.values())} faults;")


@pytest.mark.parametrize("file", sorted(PLANS.glob("*.json")), ids=lambda file: file.stem)
def test_what_broke_once_does_not_break_again(file: Path):
    """The shortest plans of what the simulator has found in the product. Their names say what it was."""
    outcome, _ = simulate(plan_of_json(file.read_bytes()), whole=False)
    assert outcome.violation is None


def test_a_run_is_the_same_in_every_process(seed: int):
    order = order_to_line(Order(draw_plan(seed % SEEDS, nodes=5, hours=0.3), record=True))
    answers = []
    for hash_seed in ("1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            COMMAND, input=order, env=environment, capture_output=True, timeout=DEADLINE_S, check=True
        )
        answers.append(done.stdout)
    first, second = (answer_of_line(line) for line in answers)
    assert first.history is not None
    assert second.history is not None
    assert list(first.history.lines()) == list(second.history.lines())
    assert answers[0] == answers[1]
    assert first.outcome.digest == first.history.digest()
    assert len(first.history.records) > 500


def test_a_plan_is_the_same_wherever_it_was(seed: int):
    plan = draw_plan(seed % SEEDS)
    assert plan_of_json(plan_to_json(plan)) == plan
    assert len({event.number for event in plan.events}) == len(plan.events)
    assert [event.at_s for event in plan.events] == sorted(event.at_s for event in plan.events)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_failure_is_shrunk_shown_and_left_in_files(tmp_path: Path):
    (tmp_path / "fails.py").write_text(FAILS, encoding="utf-8")
    options = ("--seed", "3", "--nodes", "4", "--hours", "0.2", "--with", "fails.py")
    failed = littoral(*options, folder=tmp_path)
    assert failed.returncode == 1, failed.stderr
    assert "seed 3: nobody publishes: <somebody> did" in failed.stderr
    shrunk = re.search(r"shrunk from (\d+) to (\d+) events", failed.stdout)
    assert shrunk is not None
    assert int(shrunk[1]) > 40
    assert int(shrunk[2]) == 1
    assert "VIOLATION" in failed.stdout
    plan = plan_of_json((tmp_path / "sim" / "seed-3.json").read_bytes())
    assert [event.kind for event in plan.events] == ["publish"]
    page = _Text()
    page.feed((tmp_path / "sim" / "seed-3.html").read_text(encoding="utf-8"))
    assert "<somebody> did" in page.text

    again = re.search(r"^again: littoral sim (.*)$", failed.stdout, re.MULTILINE)
    assert again is not None
    repeated = littoral(*shlex.split(again[1]), "--with", "fails.py", folder=tmp_path)
    assert repeated.returncode == 1
    assert "violation: nobody publishes" in repeated.stdout
    assert littoral(*shlex.split(again[1]), folder=tmp_path).returncode == 0


def test_the_tally_of_a_campaign_as_json(tmp_path: Path):
    done = littoral("--runs", "2", "--nodes", "3", "--hours", "0.1", "--json", folder=tmp_path)
    tally = msgspec.json.decode(done.stdout)
    assert done.returncode == 0, done.stderr
    assert tally["failed"] == []
    assert sum(tally["hits"].values()) > 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--replay", "missing.json"), "cannot read plan missing.json: No such file"),
        (("--replay", "bad.json"), "cannot read plan bad.json: it is no plan"),
        (("--with", "missing.py"), "cannot load missing.py: No such file"),
        (("--with", "bad.json"), "cannot load bad.json: it fails: SyntaxError"),
        (("--nodes", "1"), "--nodes"),
    ],
)
def test_what_cannot_be_run_is_said(arguments: tuple[str, ...], said: str, tmp_path: Path):
    (tmp_path / "bad.json").write_text('{"seed": "x"', encoding="utf-8")
    done = littoral(*arguments, folder=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr
