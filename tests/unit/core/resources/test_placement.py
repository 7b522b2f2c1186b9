import pytest

from littoral.core.resources import Placement, placement_matches


@pytest.mark.parametrize(
    ("placement", "matches"),
    [
        (Placement(), True),
        (Placement(tiers=["site", "region"]), True),
        (Placement(tiers=["cloud"]), False),
        (Placement(nodes=["plant-b", "plant-a"]), True),
        (Placement(nodes=["plant-b"]), False),
        (Placement(labels={"line": "1"}), True),
        (Placement(labels={"line": "1", "floor": "2"}), True),
        (Placement(labels={"line": "2"}), False),
        (Placement(labels={"hall": "1"}), False),
        (Placement(tiers=["site"], nodes=["plant-b"]), False),
        (Placement(tiers=["site"], nodes=["plant-a"], labels={"line": "1"}), True),
    ],
)
def test_a_node_matches_when_every_criterion_does(placement: Placement, matches: bool) -> None:
    labels = {"line": "1", "floor": "2"}
    assert placement_matches(placement, tier="site", node="plant-a", labels=labels) is matches
