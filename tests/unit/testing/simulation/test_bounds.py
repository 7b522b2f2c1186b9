"""What budgets and TTLs do in a simulated run, and what is found by it: each with a fault of ours put into the product, as a
slip of a programmer's would.
"""

from typing import Any

import msgspec
import pytest

from littoral.core.errors import StorageFull
from littoral.core.lanes import LANES
from littoral.core.resources.model import BudgetPolicy
from littoral.store.budgets import Budget, Budgets
from littoral.store.retention import Retention
from littoral.store.retention_writes import RetentionWrites
from littoral.store.spill import SpillReader
from littoral.store.stream import StreamInfo
from littoral.streams import server
from littoral.streams.answers import answer
from littoral.streams.append import append
from littoral.streams.outbox import Outbox
from littoral.streams.peer_server import PeerServer
from littoral.streams.ttl import SendTtl
from littoral.testing.simulation.plan import Event, Plan, PlannedNode
from littoral.testing.simulation.run import Outcome, simulate

ENDED_S = 400.0
EVENTS = [(15.0, "pour", 0.0, 20), (60.0, "partition", 200.0, 0), (62.0, "pour", 0.0, 40), (70.0, "pour", 0.0, 40)]
EVENTS += [(250.0, "pour", 0.0, 20), (300.0, "pour", 0.0, 20), (ENDED_S, "device-again", 0.0, 0)]


def outcome_of(
    policy: BudgetPolicy | None = None, ttl_s: int = 0, *more: tuple[float, str, float, int], at: str = "plant"
) -> Outcome:
    """Of a run in which records are poured at the site, most of them while its link is cut; at: who has the budget."""
    nodes = [
        PlannedNode("cloud", "cloud"),
        PlannedNode("eu", "region", "cloud"),
        PlannedNode("plant", "site", "eu"),
    ]
    planned = tuple(
        msgspec.structs.replace(node, policy=policy, budget_bytes=4000, ttl_s=ttl_s) if node.name == at else node
        for node in nodes
    )
    events = [
        Event(number, at_s, kind, "plant", for_s, count)
        for number, (at_s, kind, for_s, count) in enumerate(sorted((*EVENTS, *more)))
    ]
    return simulate(Plan(seed=1, hours=0.1, nodes=planned, events=tuple(events)), whole=False)[0]


def found(outcome: Outcome) -> str:
    """The promise that was broken."""
    assert outcome.violation is not None
    return outcome.violation[0]


AROUND_SPILLING = [(65.0, "spill-place-failing", 30.0, 0), (80.0, "kill", 5.0, 0), (260.0, "kill", 5.0, 0)]


def test_what_is_poured_arrives_whole():
    outcome = outcome_of()
    assert outcome.violation is None
    assert outcome.recoveries.get("taken by a budget", 0) == 0


@pytest.mark.parametrize("at", ["plant", "eu", "cloud"])
def test_a_budget_takes_the_oldest_and_no_more(at: str):
    outcome = outcome_of("drop-oldest", at=at)
    assert outcome.violation is None
    assert outcome.recoveries["taken by a budget"] > 0


def test_that_a_budget_takes_too_much_is_found(monkeypatch: pytest.MonkeyPatch):
    retain = RetentionWrites.retain
    monkeypatch.setattr(
        RetentionWrites, "retain", lambda self, name, now_ms, most, most_bytes=None: retain(self, name, now_ms, most, 0)
    )
    assert found(outcome_of("drop-oldest")) == "budgets"


def test_that_a_budget_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Retention, "_is_over", lambda self, info: False)
    assert found(outcome_of("drop-oldest")) == "nothing wedges"


def test_that_a_node_without_a_budget_takes_something_is_found(monkeypatch: pytest.MonkeyPatch):
    of = Budgets.of

    def small(self: Budgets, info: StreamInfo) -> Budget:
        return msgspec.structs.replace(of(self, info), bytes=4000)

    monkeypatch.setattr(Budgets, "of", small)
    assert found(outcome_of()) == "budgets"


def test_that_what_a_budget_took_is_not_counted_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Retention, "dropped_batches", property(lambda self: 0, lambda self, count: None), raising=False)
    assert found(outcome_of("drop-oldest")) == "budgets"


def test_that_what_never_came_is_not_counted_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PeerServer, "lost_records", property(lambda self: 0, lambda self, count: None), raising=False)
    assert found(outcome_of("drop-oldest")) == "counts"


@pytest.mark.parametrize("at", ["plant", "eu", "cloud"])
def test_what_is_refused_is_not_there_and_what_a_parent_refuses_arrives_later(at: str):
    outcome = outcome_of("reject", at=at)
    assert outcome.violation is None
    assert (outcome.recoveries.get("append refused by a budget", 0) > 0) == (at == "plant")
    assert (outcome.recoveries.get("batch: full", 0) > 0) == (at != "plant")


def test_that_what_is_refused_is_acknowledged_is_found(monkeypatch: pytest.MonkeyPatch):
    def careless(*arguments: Any) -> Any:
        try:
            return append(*arguments)
        except StorageFull:
            return answer(200)

    monkeypatch.setattr(server, "append", careless)
    assert found(outcome_of("reject")) == "poured records"


def test_that_nothing_is_refused_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Budgets, "check", lambda self, info, adding_bytes, total_bytes: None)
    assert found(outcome_of("reject")) == "budgets"


@pytest.mark.parametrize("at", ["plant", "eu", "cloud"])
def test_what_is_spilled_is_read_and_sent_as_before(at: str):
    outcome = outcome_of("spill", 0, *AROUND_SPILLING, at=at)
    assert outcome.violation is None
    assert outcome.recoveries["byte spilled"] > 0
    assert outcome.hits.get("spill-place-failing", 0) == (at == "plant")


def test_that_what_was_spilled_is_not_looked_for_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SpillReader, "files", lambda self, stream, first, following: [])
    assert outcome_of("spill", 0, *AROUND_SPILLING).violation is not None


def test_that_a_spill_file_is_dropped_is_found(monkeypatch: pytest.MonkeyPatch):
    drop = RetentionWrites._drop_beyond
    monkeypatch.setattr(RetentionWrites, "_drop_beyond", lambda self, most_bytes: drop(self, 3000))
    assert found(outcome_of("spill", 0, *AROUND_SPILLING)) == "budgets"


def test_what_is_too_old_is_not_sent_and_all_else_is():
    outcome = outcome_of(None, 60)
    assert outcome.violation is None
    assert outcome.recoveries["record too old to be sent"] == 80


def test_that_what_is_young_is_not_sent_is_found(monkeypatch: pytest.MonkeyPatch):
    oldest_ms = SendTtl.oldest_ms

    def early(self: SendTtl, info: StreamInfo) -> int | None:
        oldest = oldest_ms(self, info)
        return None if oldest is None else oldest + 200_000

    monkeypatch.setattr(SendTtl, "oldest_ms", early)
    assert found(outcome_of(None, 300)) == "poured records"


def test_that_a_ttl_is_taken_for_that_of_all_lanes_is_found(monkeypatch: pytest.MonkeyPatch):
    init = SendTtl.__init__

    def for_all(self: SendTtl, *arguments: Any) -> None:
        init(self, *arguments)
        self._lanes = dict.fromkeys(LANES, self._lanes["bulk"]) if self._lanes else {}

    monkeypatch.setattr(SendTtl, "__init__", for_all)
    assert found(outcome_of(None, 60, (64.0, "append", 0.0, 20))) == "acknowledged appends"
    assert found(outcome_of(None, 60, (14.0, "publish", 0.0, 30), (64.0, "publish", 0.0, 100))) == "folds"


def test_that_what_was_too_old_is_not_counted_is_found(monkeypatch: pytest.MonkeyPatch):
    step_over = Outbox._step_over

    def uncounted(self: Outbox, *arguments: Any) -> Any:
        aged = step_over(self, *arguments)
        self.expired = dict.fromkeys(LANES, 0)
        return aged

    monkeypatch.setattr(Outbox, "_step_over", uncounted)
    assert found(outcome_of(None, 60)) == "counts"
