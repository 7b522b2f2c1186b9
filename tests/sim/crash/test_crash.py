"""Every workload with the power cut at every point, or at all syncs and a seeded slice of the rest.

The counts are printed. `LITTORAL_TEST_FULL=1` takes all points of all workloads, with every fate of what was not synced
at each sync, and second cuts during the recovery: thousands of runs, which take some minutes.
"""

import os
import sys

import msgspec
import pytest

from littoral.node import certificate_keeper
from littoral.store import database
from littoral.testing.crash import Workload, crash_everywhere
from tests.sim.crash.blobs import blobs
from tests.sim.crash.bootstrap import bootstrap
from tests.sim.crash.dead_letters import dead_letter_desk
from tests.sim.crash.enrolment import enrolment
from tests.sim.crash.forks import forks
from tests.sim.crash.inbox import inbox
from tests.sim.crash.kv import kv
from tests.sim.crash.messages import messages
from tests.sim.crash.migration import migration
from tests.sim.crash.mqtt import mqtt
from tests.sim.crash.renewal import renewal
from tests.sim.crash.restore import restore
from tests.sim.crash.rules import numbered, unnumbered
from tests.sim.crash.spill import spill
from tests.sim.crash.store import store
from tests.sim.crash.subscriptions import subscriptions
from tests.sim.crash.vertical import vertical

FULL = "LITTORAL_TEST_FULL"
CHECKPOINT_PAGES = 60
"""Few, so that the WAL is moved into the database, and begun anew, several times in a run."""
RENEWAL_CHECK_S = 5.0
"""An hour of virtual time, in which nothing happens, would take a second of ours."""


class Plan(msgspec.Struct, frozen=True):
    """A workload, and how much of it is tried when nobody asks for all."""

    workload: Workload
    syncs_least: dict[str, int]
    """Fewer of a victim would mean that the workload does not do its work."""
    others: int | None
    """Points of each victim besides its syncs; None for every point and fate."""


PLANS = [
    Plan(store, {"plant-a": 40}, 8),
    Plan(forks, {"plant-a": 40}, 8),
    Plan(blobs, {"plant-a": 20}, 10),
    Plan(spill, {"plant-a": 20, "plant-a spill": 5}, 10),
    Plan(migration, {"plant-a": 4}, None),
    Plan(numbered, {"plant-a": 25}, 6),
    Plan(unnumbered, {"plant-a": 25}, 6),
    Plan(mqtt, {"plant-a": 25}, 6),
    Plan(subscriptions, {"plant-a": 30}, 8),
    Plan(dead_letter_desk, {"plant-a": 25}, 8),
    Plan(enrolment, {"cloud": 20, "eu": 15, "plant-a": 10}, 1),
    Plan(renewal, {"cloud": 4, "eu": 4, "plant-a": 2}, 1),
    Plan(bootstrap, {"cloud": 6, "plant-a": 10}, 1),
    Plan(restore, {"cloud": 2, "plant-a": 6}, 4),
    Plan(inbox, {"cloud": 8, "plant-a": 12}, 2),
    Plan(kv, {"cloud": 15, "plant-a": 15}, 1),
    Plan(messages, {"cloud": 10, "plant-a": 12}, 1),
    Plan(vertical, {"cloud": 20, "eu": 20, "plant-a": 25}, 1),
]


@pytest.fixture(autouse=True)
def frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens seldom happens often."""
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", CHECKPOINT_PAGES)
    monkeypatch.setattr(certificate_keeper, "RENEWAL_CHECK_S", RENEWAL_CHECK_S)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.workload.__name__)
def test_a_power_cut_at_any_point_is_recovered_from(plan: Plan, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    everything = plan.others is None or bool(os.environ.get(FULL))
    report = crash_everywhere(plan.workload, seed, others=None if everything else plan.others)
    with capsys.disabled():
        sys.stdout.write(f"\n  {report} ")
    assert report.points.keys() == plan.syncs_least.keys()
    for victim, least in plan.syncs_least.items():
        points, tried = report.points[victim], report.tried[victim]
        assert tried["sync"] == points["sync"] >= least, victim
        assert tried == points or not everything
    assert report.again > 0
