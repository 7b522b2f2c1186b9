"""The short form of the gateways' soak; and that its verdict can fail."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.web.connection import Broken
from tests.soak.web.run import Run
from tests.soak.web.site import BY_NAME, Page, version_of
from tests.soak.web.tally import Death, Tally
from tests.soak.web.watch import GROWTH_BYTES, Watch

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 300
"""Of a run that is to take a few seconds, on a machine that is busy with other things as well."""
DONE = (
    "gateways killed",
    "purges",
    "pages from a cache",
    "pages from the origin",
    "pages that had not changed",
    "parts",
    "clients that left early",
    "uploads",
    "talks",
    "streams of events",
)


def test_no_request_fails_but_those_in_hand_whichever_gateway_is_killed(seed: int):
    command = [sys.executable, "-m", "tests.soak.web", "--minutes", "0.2", "--seed", str(seed)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"0 violations, seed {seed}" in run.stdout
    counts = {
        what: int(count.replace(",", ""))
        for count, what in re.findall(r"^ *([\d,]+)  (\S.*)$", run.stdout, re.MULTILINE)
    }
    for what in DONE:
        assert counts.get(what, 0) > 0, run.stdout


# The verdict can fail


def test_a_page_that_is_another_or_not_whole_is_told():
    page = Page(BY_NAME["vary"], 7, "fr")
    whole = page.body(3)
    assert version_of(page, whole) == 3
    for wrong in (b"", whole[:-1], whole + b".", Page(page.kind, 7, "de").body(3), Page(page.kind, 8, "fr").body(3)):
        assert version_of(page, wrong) is None


def test_what_breaks_is_excused_only_by_a_death_that_came_later():
    tally = Tally()
    tally.deaths.append(Death(dead_s=10.0))
    tally.broke("page", Broken(9.0, "in the middle"))
    assert tally.violations == []
    tally.broke("page", Broken(11.0, "in the middle"))
    assert len(tally.violations) == 1
    tally.deaths.append(Death())
    tally.broke("page", Broken(12.0, "while one is dying"))
    assert len(tally.violations) == 1


@pytest.mark.parametrize(("samples", "grown"), [([100, 200, 200, 210], 10), ([100, 150, 50, 150], 0), ([1, 2], 0)])
def test_memory_grows_from_the_second_quarter_to_the_last(samples: list[int], grown: int):
    assert Watch(1, samples).growth_bytes == grown
    assert grown < GROWTH_BYTES


def test_connections_that_are_left_are_told(monkeypatch: pytest.MonkeyPatch):
    class Node:
        def pids(self) -> dict[str, int]:
            return {"hub": 1, "gateway-0": 7}

    monkeypatch.setattr("tests.soak.web.run.sockets", lambda pid: pid)
    monkeypatch.setattr("tests.soak.web.run.LEFT_S", 0)
    run = Run(1, 1)
    asyncio.run(run._nobody_left(Node(), {"gateway-0": 7}))  # type: ignore[arg-type]
    assert run.tally.violations == []
    asyncio.run(run._nobody_left(Node(), {"gateway-0": 6}))  # type: ignore[arg-type]
    assert run.tally.violations == ["gateway-0 has 7 sockets, and had 6 before anybody came"]
