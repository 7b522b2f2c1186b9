"""The simulator finds what it should: faults put into the product on purpose, each found and shrunk to a few events."""

from collections.abc import Callable

import pytest

from littoral.testing.simulation import run
from littoral.testing.simulation.draw import draw_plan
from littoral.testing.simulation.plan import Plan
from littoral.testing.simulation.run import Outcome, simulate
from littoral.testing.simulation.shrink import shrink
from littoral.testing.simulation.timeline import text_timeline
from tests.support import planted

SEEDS = 100
TREE = (5, 0.3)
"""Nodes and hours of most."""
SETTLE_S = 120.0
"""Four times the longest backoff, and eight times what it takes to notice a silent cut: what hangs then hangs for good, and
what does not is not mistaken for it, as the plans without the plants show. Ten times as long would be waited elsewhere."""
EVENTS_MOST = 20
"""Far fewer are left where nothing bounds the trials; `littoral sim` tries longer."""


def first_failure(first_seed: int, tree: tuple[int, float]) -> Outcome:
    for seed in range(first_seed, first_seed + SEEDS):
        outcome, _ = simulate(draw_plan(seed, *tree), whole=False)
        if outcome.violation is not None:
            return outcome
    raise AssertionError(f"nothing was found in {SEEDS} seeds from {first_seed}")


@pytest.mark.parametrize(
    ("plant", "first_seed", "tree", "trials"),
    [
        (planted.acknowledge_before_sync, 0, TREE, 14),
        # Two begin with a seed that finds them: about one in a hundred does.
        (planted.effect_and_offset_in_two_transactions, 136, TREE, 19),
        (planted.retry_recuts_its_batch, 2, TREE, 8),
        (planted.relay_drops_the_origin, 0, TREE, 30),
        (planted.fold_ignores_the_tombstone_horizon, 39, (3, 0.2), 20),
        (planted.invariant_breaks_in_every_seventh_request, 0, TREE, 30),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_bug_is_found_and_shrunk(
    plant: Callable[[pytest.MonkeyPatch], None],
    first_seed: int,
    tree: tuple[int, float],
    trials: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "SETTLE_S", SETTLE_S)
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        found = first_failure(first_seed, tree)
        assert found.violation is not None
        check = found.violation[0]

        def fails(plan: Plan) -> bool:
            violation = simulate(plan, whole=False)[0].violation
            return violation is not None and violation[0] == check

        shortest = shrink(found.plan, fails, trials)
        outcome, history = simulate(shortest, whole=False, record=True)
        assert outcome.violation is not None
        assert len(shortest.events) <= EVENTS_MOST
        assert check in text_timeline(history, shortest)
    # It is the plant that was found.
    assert simulate(shortest, whole=False)[0].violation is None
    assert simulate(found.plan, whole=False)[0].violation is None
