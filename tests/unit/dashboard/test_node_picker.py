"""Nodes at the top of a page."""

from littoral.dashboard.cells import Cell
from littoral.dashboard.node_picker import node_line
from tests.support.statuses import status


def test_a_node_says_whether_it_is_picked_and_how_it_is() -> None:
    line = node_line(status("edge"), (Cell("7"),), ("cut", "reported 5 s ago"), is_picked=True)
    assert line.name == "edge"
    assert line.cells == (Cell("edge", "shown below"), Cell("7"), Cell("Link cut", "reported 5 s ago", "bad"))
    other = node_line(status("eu"), (), ("ok", "reported just now"), is_picked=False)
    assert other.cells == (Cell("eu"), Cell("OK", "reported just now", "ok"))
