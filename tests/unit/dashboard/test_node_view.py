"""The lines of the tree: what is said of each node, and why."""

from typing import Literal

import pytest

from littoral.core.lanes import Lane
from littoral.dashboard.links_api import Link
from littoral.dashboard.node_view import STALE_LEAST_MS, NodeView, node_views
from littoral.dashboard.picture import Picture
from littoral.node.status import NodeStatus
from tests.support.statuses import EXHAUSTED, NOW_MS, status


def views(*statuses: NodeStatus, now_ms: int = NOW_MS, cut: str = "") -> dict[str, NodeView]:
    picture = Picture("cloud")
    picture.heard_nodes(list(statuses), now_ms)
    states: list[tuple[str, Literal["up", "cut"]]] = [("plant-a", "cut" if cut == "plant-a" else "up")]
    picture.heard_links([Link(name, state, 75.0, 1_250_000, 800) for name, state in states], now_ms)
    return {view.name: view for view in node_views(picture, now_ms + 4000)}


CLOUD = status("cloud", tier="cloud", children=("eu",))
EU = status("eu", parent="cloud", tier="region", children=("plant-a", "plant-b"))
PLANT_A = status("plant-a", parent="eu")
PLANT_B = status("plant-b", parent="eu")


def test_children_stand_below_their_parents() -> None:
    shown = views(PLANT_B, CLOUD, PLANT_A, EU)
    assert [(view.name, view.depth) for view in shown.values()] == [
        ("cloud", 0),
        ("eu", 1),
        ("plant-a", 2),
        ("plant-b", 2),
    ]


def test_a_node_whose_parent_is_not_heard_of_stands_at_the_top() -> None:
    assert [(view.name, view.depth) for view in views(CLOUD, PLANT_A).values()] == [("cloud", 0), ("plant-a", 0)]


def test_nodes_that_claim_each_other_do_not_hang_the_page() -> None:
    looped = views(CLOUD, status("eu", parent="x", children=("x",)), status("x", parent="eu", children=("eu",)))
    assert looped["eu"].depth == 1


def test_a_node_in_order_says_how_long_its_link_is_up() -> None:
    view = views(CLOUD, EU, PLANT_A)["plant-a"]
    assert (view.health, view.reason) == ("ok", "reported 4 s ago")
    assert (view.link.main, view.link.sub) == ("Up to eu", "for 1 min 34 s")
    assert (view.wan.main, view.wan.sub, view.wan_state) == ("up 1.2 MB", "down 800 B", "up")
    assert views(CLOUD, EU)["eu"].wan_state is None


def test_a_node_whose_parent_has_no_channel_to_it_is_cut() -> None:
    eu = status("eu", parent="cloud", tier="region", children=("plant-a",), away=("plant-a",))
    view = views(CLOUD, eu, PLANT_A)["plant-a"]
    assert (view.health, view.link.main, view.link.sub) == ("cut", "Down to eu", "for 4 s")


def test_a_node_whose_wan_is_cut_at_the_relay_is_cut_though_its_parent_has_not_noticed() -> None:
    view = views(CLOUD, EU, PLANT_A, cut="plant-a")["plant-a"]
    assert (view.health, view.link.main, view.wan_state) == ("cut", "Down to eu", "cut")


def test_an_old_report_is_stale_and_so_is_what_it_says_of_the_link() -> None:
    old = status("plant-a", parent="eu", at_ms=NOW_MS - STALE_LEAST_MS)
    view = views(CLOUD, EU, old)["plant-a"]
    assert (view.health, view.reason, view.link.main) == ("stale", "reported 19 s ago", "Was up to eu")


def test_nothing_is_in_order_while_the_hub_does_not_answer() -> None:
    picture = Picture("cloud")
    picture.heard_nodes([CLOUD, EU], NOW_MS)
    picture.problem = "cannot reach it"
    assert {view.health for view in node_views(picture, NOW_MS)} == {"stale"}


def test_a_problem_is_named() -> None:
    view = views(CLOUD, EU, status("plant-a", parent="eu", problem="no such topic"))["plant-a"]
    assert (view.health, view.reason) == ("problem", "rule machine: no such topic")


def test_the_queue_is_summed_and_told_by_lane() -> None:
    waiting = status(
        "plant-a", parent="eu", waiting={"alerts": (2, NOW_MS - 9000), "telemetry": (1500, NOW_MS - 61_000)}
    )
    view = views(CLOUD, EU, waiting)["plant-a"]
    assert (view.queue.main, view.queue.sub) == ("1\u202f502", "alerts 2, telemetry 1\u202f500")
    assert view.oldest.main == "1 min 1 s"


def test_how_fast_the_queue_is_sent_and_when_it_is_empty_stands_below_its_age() -> None:
    waiting: dict[Lane, tuple[int, int]] = {"alerts": (2, NOW_MS - 9000), "telemetry": (12_400, NOW_MS - 61_000)}
    shrinks = views(CLOUD, EU, status("plant-a", parent="eu", waiting=waiting, flow=(425.0, 15.2)))["plant-a"]
    assert shrinks.oldest.sub == "850/s, empty in 15 s"
    grows = views(CLOUD, EU, status("plant-a", parent="eu", waiting=waiting, flow=(0.2, None)))["plant-a"]
    assert grows.oldest.sub == "0.4/s"
    assert views(CLOUD, EU, status("plant-a", parent="eu"))["plant-a"].oldest.sub == ""


def test_a_budget_that_is_exhausted_is_a_problem() -> None:
    view = views(CLOUD, EU, status("plant-a", parent="eu", budget=EXHAUSTED))["plant-a"]
    assert view.health == "problem"
    assert view.reason == ("bandwidth budget exhausted: only control and alerts are sent until 2023-11-15 00:00:00 UTC")


@pytest.mark.parametrize("node", ["eu"])
def test_a_link_that_stays_down_keeps_the_time_it_went_down(node: str) -> None:
    picture = Picture("cloud")
    cloud = status("cloud", tier="cloud", children=(node,), away=(node,))
    for now_ms in (NOW_MS, NOW_MS + 1000, NOW_MS + 2000):
        picture.heard_nodes([cloud, EU], now_ms)
    assert picture.disconnected_ms == {node: NOW_MS}
    picture.heard_nodes([CLOUD, EU], NOW_MS + 3000)
    assert picture.disconnected_ms == {}
