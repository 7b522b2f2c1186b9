"""What the charts are told to draw."""

from littoral.dashboard.cache_history import CachePoint
from littoral.dashboard.charts import (
    ANOMALY_COLOR,
    COLORS,
    LINES,
    RESULTS,
    line_colors,
    rate_options,
    ratio_options,
    result_options,
    window_options,
)
from littoral.dashboard.rates import RatePoint
from littoral.dashboard.records import Alert, Window
from littoral.dashboard.series import SeriesName
from littoral.node.status import CacheCounts


def series(rule: str, node: str, key: str = "k") -> dict[SeriesName, list[Window]]:
    windows = [
        Window(rule=rule, node=node, key=key, start=start, end=start + 10, count=start, mean=start / 2)
        for start in (10, 20)
    ]
    return {SeriesName(rule, node, key): windows}


def alert(ts: int) -> Alert:
    return Alert(id=str(ts), rule="machine", node="plant-a", key="k", ts=ts, value=99.0)


def test_a_node_has_one_colour_in_all_charts() -> None:
    colors = line_colors(["plant-b", "plant-a"])
    assert colors == {"plant-a": COLORS[0], "plant-b": COLORS[1]}
    rates = rate_options({"plant-b": [RatePoint(1, 2.0)]}, colors)
    windows = window_options({"machine": series("machine", "plant-b")}, [], colors, "mean")
    assert rates["series"][0]["itemStyle"]["color"] == COLORS[1]
    assert windows["series"][0]["itemStyle"]["color"] == COLORS[1]
    assert ANOMALY_COLOR not in COLORS


def test_each_rule_has_a_chart_of_its_own() -> None:
    rules = {"machine": series("machine", "plant-a"), "ambient": series("ambient", "plant-a")}
    options = window_options(rules, [], {}, "count")
    assert [title["text"] for title in options["title"]] == ["ambient: count", "machine: count"]
    assert len(options["grid"]) == len(options["xAxis"]) == len(options["yAxis"]) == 2
    assert options["series"][0]["data"] == [[10, 10], [20, 20]]


def test_an_anomaly_stands_at_its_value_or_on_its_window_and_not_before_the_first() -> None:
    rules = {"machine": series("machine", "plant-a")}
    alerts = [alert(3), alert(15), alert(500)]
    assert window_options(rules, alerts, {}, "mean")["series"][-1]["data"] == [[15, 99.0], [500, 99.0]]
    assert window_options(rules, alerts, {}, "count")["series"][-1]["data"] == [[15, 10]]


def test_keys_of_one_node_are_told_apart_by_name_and_dash() -> None:
    rules = {"machine": series("machine", "plant-a", "x") | series("machine", "plant-a", "y")}
    lines = window_options(rules, [], {}, "mean")["series"][:2]
    assert [line["name"] for line in lines] == ["plant-a x", "plant-a y"]
    assert lines[0]["lineStyle"]["type"] != lines[1]["lineStyle"]["type"]


def test_lines_are_bounded() -> None:
    history = {f"plant-{number:02}": [RatePoint(1, 1.0)] for number in range(LINES + 3)}
    assert len(rate_options(history, {})["series"]) == LINES


def test_hit_ratios_are_percentages_with_gaps_where_nothing_was_asked() -> None:
    lines = {f"r{number}": [(1, 0.5), (2, None)] for number in range(LINES + 1)}
    options = ratio_options(lines, line_colors(lines))
    assert [line["name"] for line in options["series"]] == [f"r{number}" for number in range(LINES)]
    assert options["series"][0]["data"] == [[1, 50.0], [2, None]]
    assert options["yAxis"][0]["max"] == 100
    looks = [(line["itemStyle"]["color"], line["lineStyle"]["type"]) for line in options["series"]]
    assert len(set(looks)) == LINES, "each looks unlike the others"


def test_requests_are_stacked_by_what_became_of_them() -> None:
    counts = CacheCounts(hits=10, stale=2, collapsed=4, validated=6, misses=8)
    options = result_options([CachePoint(9, 2000, counts, {})])
    assert {line["name"]: line["data"] for line in options["series"]} == {
        "hit": [[9, 5.0]],
        "stale": [[9, 1.0]],
        "collapsed": [[9, 2.0]],
        "validated": [[9, 3.0]],
        "miss": [[9, 4.0]],
    }
    assert {line["stack"] for line in options["series"]} == {"requests"}
    assert len(set(RESULTS.values())) == len(RESULTS)
