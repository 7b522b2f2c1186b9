"""Putting the reports of a subtree together."""

from msgspec.structs import replace

from littoral.cli.nodes import Nodes
from littoral.cli.output import age, size
from littoral.cli.status import problems
from littoral.node.status import LinkStatus, NodeStatus, RuleStatus
from littoral.streams.blocked import Blocked

LINK = LinkStatus("cloud", True, 1_000, "", 1, 0, 0, 0)
CLOUD = NodeStatus(
    "cloud", "cloud", "1", 60_000, 0, "L", None, {}, ["plant-a"], ["plant-a"], 0, 0, {}, {}, 0, 0, 0
)  # fmt: skip
PLANT = replace(CLOUD, node="plant-a", tier="site", at_ms=50_000, link=LINK, children=[], connected=[])


def test_a_node_is_connected_while_its_parent_says_so():
    nodes = Nodes([CLOUD, PLANT])
    assert nodes.is_connected(PLANT)
    assert nodes.link_since_ms(PLANT) == 1_000


def test_the_last_report_from_beyond_a_cut_is_not_believed():
    nodes = Nodes([replace(CLOUD, connected=[]), PLANT])
    assert not nodes.is_connected(PLANT)
    assert nodes.link_since_ms(PLANT) == 50_000


def test_the_node_that_was_asked_knows_its_own_link():
    assert Nodes([PLANT]).is_connected(PLANT)
    cut = replace(PLANT, link=replace(LINK, connected=False, last_error="refused"))
    assert not Nodes([cut]).is_connected(cut)
    assert list(problems(cut)) == ["plant-a: link: refused"]


def test_problems_name_node_and_part():
    rule = RuleStatus(1, 0, 0, 0, 0, 2, 0, problem="no such namespace")
    sick = replace(
        PLANT, rules={"heat": rule}, link=replace(LINK, blocked={"plant-a/x": Blocked("diverged", "it has diverged")})
    )
    assert list(problems(sick)) == [
        "plant-a: stream plant-a/x: it has diverged",
        "plant-a: rule heat: no such namespace",
        "plant-a: rule heat: 2 readings could not be decoded",
    ]


def test_ages_and_sizes_are_short():
    assert [age(since, 200_000_000) for since in (None, 200_000_000, 199_000_000, 100_000_000, 1, 300_000_000)] == [
        "",
        "0s",
        "16m",
        "1d",
        "2d",
        "0s",
    ]
    assert [size(count) for count in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
