"""The main job with the power cut at every sync of every node, and at its other points as far as time allows.

The workload runs once to count the points of each node's disk: writes, truncations, syncs, removals, from the first
file of a new node on, so enrolment, recovery and checkpoints are among them. Then it runs once per point, with the
power cut there, before the point reaches the disk and after it. `LITTORAL_TEST_FULL=1` takes all points; without it all
syncs and a slice of the rest, drawn from the seed.
"""

import os
import sys
from collections.abc import Iterator

import msgspec
import pytest

from littoral.store import database
from littoral.testing.disk import CutAt
from littoral.testing.loop import run
from littoral.testing.random import SeededRandom
from tests.support.vertical import Vertical

FULL = "LITTORAL_TEST_FULL"
OTHER_POINTS = 5
"""Points of each node that are tried besides syncs, unless all are."""
CHECKPOINT_PAGES = 60
"""Few, so that the WAL is moved into the database, and begun anew, several times in a run."""
NODES = ("cloud", "eu", "plant-a")
WORKLOAD_SEED = 5


class Points(msgspec.Struct, frozen=True):
    """What one node's disk went through without a cut."""

    all: int
    syncs: tuple[int, ...]
    """Numbers of those points that are syncs, among all points."""


@pytest.fixture(autouse=True)
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", CHECKPOINT_PAGES)


def count_points() -> dict[str, Points]:
    async def main() -> dict[str, Points]:
        vertical = Vertical(WORKLOAD_SEED)
        await vertical.work()
        await vertical.settle()
        vertical.check()
        points = {}
        for name, node in vertical.tree.nodes.items():
            syncs = tuple(point.number for point in node.disk.log if point.kind == "sync")
            points[name] = Points(node.disk.points, syncs)
        await vertical.stop()
        return points

    return run(main, seed=WORKLOAD_SEED)


def survive(node: str, cut: CutAt) -> None:
    """Run the workload with one cut."""

    async def main() -> None:
        vertical = Vertical(WORKLOAD_SEED)
        victim = vertical.tree.nodes[node]
        victim.disk.schedule_cut(cut)
        await vertical.work()
        await vertical.settle()
        vertical.check()
        assert victim.disk.incarnation == 1, "the point was not reached"
        await vertical.stop()

    try:
        run(main, seed=WORKLOAD_SEED)
    except BaseException as error:
        error.add_note(f"{node}: {cut}")
        raise


def cuts(points: Points, others: list[int]) -> Iterator[CutAt]:
    for number in (*points.syncs, *others):
        for takes_effect in (False, True):
            yield CutAt(number, takes_effect=takes_effect)


@pytest.mark.parametrize("node", NODES)
def test_a_power_cut_at_any_sync_loses_and_repeats_nothing(
    node: str, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    points = count_points()[node]
    assert len(points.syncs) > 40
    rest = sorted(set(range(1, points.all + 1)) - set(points.syncs))
    if not os.environ.get(FULL):
        rest = sorted(SeededRandom(seed).fork(node).sample(rest, OTHER_POINTS))
    planned = list(cuts(points, rest))
    for cut in planned:
        survive(node, cut)
    with capsys.disabled():
        others = points.all - len(points.syncs)
        sys.stdout.write(f" {node}: {len(points.syncs)} syncs, {len(rest)} of {others} other points;")
