from typing import Any

from littoral.dashboard.cache_history import (
    CACHE_NODES,
    CACHE_POINTS,
    POINT_MS,
    RECENT_MS,
    CacheHistory,
    CachePoint,
    hit_ratio,
)
from littoral.node.status import CacheCounts, GatewayStatus, NodeStatus, TierStatus
from tests.support.statuses import NOW_MS, status

EMPTY = TierStatus(0, 0, 0)


def report(after_ms: int, *, gateways: int = 1, node: str = "edge", started_ms: int = 0, **counts: int) -> NodeStatus:
    counted = CacheCounts(**counts)
    gateway = GatewayStatus(gateways, counted, EMPTY, routes={"all": counted})
    return status(node, at_ms=NOW_MS + after_ms, started_ms=started_ms, gateway=gateway)


def history(*reports: NodeStatus) -> CacheHistory:
    made = CacheHistory()
    for each in reports:
        made.add(each)
    return made


def test_what_no_origin_was_asked_for_is_a_hit() -> None:
    assert hit_ratio(CacheCounts()) is None
    assert hit_ratio(CacheCounts(hits=3, stale=1, collapsed=2, validated=1, misses=1)) == 0.75


def test_an_interval_has_what_was_counted_in_it() -> None:
    made = history(report(0, hits=5, misses=5), report(5000, hits=8, misses=6, saved_bytes=70))
    counted = CacheCounts(hits=3, misses=1, saved_bytes=70)
    assert made.points("edge") == [CachePoint(NOW_MS + 5000, 5000, counted, {"all": 0.75})]
    recently = made.recently("edge")
    assert recently is not None
    assert (recently.requests_s, recently.saved_s) == (0.8, 14.0)
    assert (made.points("other"), made.recently("other"), made.nodes()) == ([], None, ["edge"])


def test_reports_that_come_twice_or_close_together_make_no_interval() -> None:
    made = history(
        report(0), report(5000, hits=1), report(5000, hits=1), report(0), report(5000 + POINT_MS - 1, hits=2)
    )
    assert [point.counts.hits for point in made.points("edge")] == [1]
    made.add(report(5000 + POINT_MS, hits=9))
    assert [point.counts.hits for point in made.points("edge")] == [1, 8]


def test_counters_of_another_hub_or_of_more_gateways_are_not_compared() -> None:
    changes: list[dict[str, Any]] = [{"started_ms": 9}, {"gateways": 2}]
    for change in changes:
        made = history(report(0, hits=5), report(5000, hits=5000, **change), report(10_000, hits=5001, **change))
        assert [point.counts.hits for point in made.points("edge")] == [1]
    assert [point.counts.hits for point in history(report(0, hits=5), report(5000)).points("edge")] == [0]


def test_what_was_long_ago_is_not_now_and_is_forgotten_in_the_end() -> None:
    made = history(*(report(number * POINT_MS, hits=number) for number in range(2 * CACHE_POINTS)))
    recently = made.recently("edge")
    assert recently is not None
    assert (recently.span_ms, recently.counts.hits) == (RECENT_MS, RECENT_MS // POINT_MS)
    assert len(made.points("edge")) == CACHE_POINTS
    for number in range(2 * CACHE_NODES):
        for after_ms in (0, POINT_MS):
            made.add(report(after_ms, node=f"n{number}"))
    assert len(made.nodes()) == CACHE_NODES


def test_a_node_without_gateways_has_no_history() -> None:
    made = history(status("edge"), status("edge", at_ms=NOW_MS + 5000))
    assert made.nodes() == []
