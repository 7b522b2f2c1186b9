"""What is drawn from seeds."""

from littoral.testing.simulation.draw import BANDWIDTHS, draw_plan

SEEDS = range(40)


def test_some_nodes_of_some_runs_have_a_bandwidth_and_the_root_never_does():
    plans = [draw_plan(seed) for seed in SEEDS]
    with_some = [plan for plan in plans if any(node.bandwidth for node in plan.nodes)]
    assert 5 < len(with_some) < 35
    assert {node.bandwidth for plan in with_some for node in plan.nodes} == {0, *BANDWIDTHS}
    assert all(plan.nodes[0].bandwidth == 0 for plan in plans)
