"""What is drawn from seeds."""

from littoral.testing.simulation.draw import BANDWIDTHS, POLICIES, TTLS_S, draw_plan
from littoral.testing.simulation.world import LOSSES

SEEDS = range(40)


def test_some_nodes_of_some_runs_have_a_bandwidth_and_the_root_never_does():
    plans = [draw_plan(seed) for seed in SEEDS]
    with_some = [plan for plan in plans if any(node.bandwidth for node in plan.nodes)]
    assert 5 < len(with_some) < 35
    assert {node.bandwidth for plan in with_some for node in plan.nodes} == {0, *BANDWIDTHS}
    assert all(plan.nodes[0].bandwidth == 0 for plan in plans)


def test_some_nodes_of_some_runs_have_budgets_or_a_ttl_and_what_may_be_lost_is_not_spilled():
    plans = [draw_plan(seed) for seed in SEEDS]
    with_some = [plan for plan in plans if any(node.policy or node.ttl_s for node in plan.nodes)]
    assert 5 < len(with_some) < 20
    assert {node.policy for plan in with_some for node in plan.nodes} == set(POLICIES)
    assert {node.ttl_s for plan in with_some for node in plan.nodes} == set(TTLS_S)
    for plan in with_some:
        losing = {event.target for event in plan.events if event.kind in LOSSES}
        assert not any(node.policy == "spill" for node in plan.nodes if node.name in losing)
        assert any(event.kind == "pour" for event in plan.events)
