"""ECharts options for what flows through the tree: pure functions from the picture to a dictionary.

Every node has one colour in all charts. The colours can be told apart with any kind of colour blindness, and lines of
one colour by their dashes; anomalies have a colour and a shape of their own. What is text takes its colour from the
page's style sheet, so that one set of options serves light and dark.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from littoral.dashboard.cache_history import CachePoint
from littoral.dashboard.rates import RatePoint
from littoral.dashboard.records import Alert, Window
from littoral.dashboard.series import SeriesName
from littoral.node.status import CacheCounts

Options = dict[str, Any]
Measure = Literal["mean", "count"]

# After M. Okabe and K. Ito, "Color Universal Design", 2008; lightened where needed for dark ground.
COLORS = ("#1f83c9", "#dd9500", "#0a9b74", "#c774a6", "#55b4e9", "#8b8f3f")
ANOMALY_COLOR = "#d9480f"
DASHES = ("solid", "dashed", "dotted")
FAINT = "rgba(128, 138, 152, 0.28)"
LINES = 8
"""Lines drawn in one chart: more cannot be told apart. The tree has the figures of all."""
RESULTS = {"hit": COLORS[2], "stale": COLORS[1], "collapsed": COLORS[4], "validated": COLORS[3], "miss": ANOMALY_COLOR}
"""What becomes of requests to a cache, and its colour: what no origin was asked for at the bottom of the stack."""
RULES = 3
"""Rules drawn, one above the other."""


def line_colors(nodes: Iterable[str]) -> dict[str, str]:
    """A colour for each node, or whatever else has lines of its own, by the order of names; they repeat when there are more nodes than colours."""
    return {node: COLORS[index % len(COLORS)] for index, node in enumerate(sorted(nodes))}


def rate_options(history: dict[str, list[RatePoint]], colors: dict[str, str]) -> Options:
    """Readings per second of each node, over the time of its reports."""
    shown = sorted(history)[:LINES]
    series = [
        {
            "name": node,
            "type": "line",
            "showSymbol": False,
            "itemStyle": {"color": colors.get(node, COLORS[0])},
            "lineStyle": {"width": _width(index, len(shown))},
            "data": [[point.at_ms, round(point.per_s, 2)] for point in history[node]],
        }
        for index, node in enumerate(shown)
    ]
    return _time_chart(shown, series, _value_axis(0, from_zero=True))


def window_options(
    rules: dict[str, dict[SeriesName, list[Window]]],
    alerts: Sequence[Alert],
    colors: dict[str, str],
    measure: Measure,
) -> Options:
    """One chart a rule, below each other: a measure of each window over event time, with the anomalies on it."""
    shown = sorted(rules)[:RULES]
    lines: list[Options] = []
    for index, rule in enumerate(shown):
        series = dict(list(rules[rule].items())[:LINES])
        lines += _lines(index, series, colors, measure)
        lines.append(_anomalies(index, [alert for alert in alerts if alert.rule == rule], rules[rule], measure))
    names = list(dict.fromkeys(line["name"] for line in lines if line["type"] == "line"))
    step = 100 / max(1, len(shown))
    return {
        **_common([*map(_legend, names), {"name": "anomaly", "icon": "diamond"}]),
        "title": [
            {
                "text": f"{rule}: {measure}",
                "left": 8,
                "top": f"{9 + index * step * 0.91:.1f}%",
                "textStyle": {"fontSize": 12, "fontWeight": 500},
            }
            for index, rule in enumerate(shown)
        ],
        "grid": [
            {
                "left": 8,
                "right": 24,
                "top": f"{18 + index * step * 0.91:.1f}%",
                "height": f"{step * 0.91 - 11:.1f}%",
                "containLabel": True,
            }
            for index in range(len(shown))
        ],
        "xAxis": [_time_axis(index) for index in range(len(shown))],
        "yAxis": [_value_axis(index) for index in range(len(shown))],
        "series": lines,
    }


def ratio_options(lines: Mapping[str, Sequence[tuple[int, float | None]]], colors: Mapping[str, str]) -> Options:
    """Hit ratios over time, in percent; where nothing was asked, there is a gap. lines: (ms since the epoch, ratio) by name."""
    shares = {
        name: [(at_ms, None if ratio is None else round(100 * ratio, 1)) for at_ms, ratio in line]
        for name, line in lines.items()
    }
    percent = {
        **_value_axis(0, from_zero=True),
        "max": 100,
        "interval": 25,
        "axisLabel": {"fontSize": 11, "formatter": "{value} %"},
    }
    return _named_lines(shares, colors, percent)


def value_options(
    lines: Mapping[str, Sequence[tuple[int, float | None]]], colors: Mapping[str, str], unit: str = ""
) -> Options:
    """Values over time, from zero; where there is none, there is a gap. lines: (ms since the epoch, value) by name."""
    axis = _value_axis(0, from_zero=True)
    if unit:
        axis["axisLabel"] = {"fontSize": 11, "formatter": f"{{value}} {unit}"}
    return _named_lines(lines, colors, axis)


def _named_lines(
    lines: Mapping[str, Sequence[tuple[int, float | None]]], colors: Mapping[str, str], axis: Options
) -> Options:
    shown = sorted(lines)[:LINES]
    series = [
        {
            "name": name,
            "type": "line",
            "showSymbol": False,
            "itemStyle": {"color": colors.get(name, COLORS[0])},
            "lineStyle": {"width": 2, "type": DASHES[place // len(COLORS) % len(DASHES)]},
            "data": [[at_ms, value] for at_ms, value in lines[name]],
        }
        for place, name in enumerate(shown)
    ]
    return _time_chart(shown, series, axis)


def result_options(points: Sequence[CachePoint]) -> Options:
    """Requests per second by what became of them, one upon the other."""
    counted = [(point, _results(point.counts)) for point in points]
    series = [
        {
            "name": result,
            "type": "line",
            "stack": "requests",
            "showSymbol": False,
            "itemStyle": {"color": color},
            "lineStyle": {"width": 1},
            "areaStyle": {"opacity": 0.55},
            "data": [[point.at_ms, round(counts[result] * 1000 / point.span_ms, 2)] for point, counts in counted],
        }
        for result, color in RESULTS.items()
    ]
    return _time_chart(list(RESULTS), series, _value_axis(0, from_zero=True))


def _results(counts: CacheCounts) -> dict[str, int]:
    return {
        "hit": counts.hits,
        "stale": counts.stale,
        "collapsed": counts.collapsed,
        "validated": counts.validated,
        "miss": counts.misses,
    }


def _time_chart(names: Sequence[str], series: Sequence[Options], value_axis: Options) -> Options:
    """One chart over time, with a legend."""
    return {
        **_common([_legend(name) for name in names]),
        "grid": [{"left": 8, "right": 24, "top": 40, "bottom": 6, "containLabel": True}],
        "xAxis": [_time_axis(0)],
        "yAxis": [value_axis],
        "series": list(series),
    }


def _lines(
    index: int, series: dict[SeriesName, list[Window]], colors: dict[str, str], measure: Measure
) -> list[Options]:
    keys_of: dict[str, list[str]] = {}
    for name in series:
        keys_of.setdefault(name.node, []).append(name.key)
    return [
        {
            "name": name.node if len(keys_of[name.node]) == 1 else f"{name.node} {name.key}",
            "type": "line",
            "xAxisIndex": index,
            "yAxisIndex": index,
            "showSymbol": False,
            "itemStyle": {"color": colors.get(name.node, COLORS[0])},
            "lineStyle": {
                "width": _width(order, len(series)),
                "type": DASHES[keys_of[name.node].index(name.key) % len(DASHES)],
            },
            "data": [[window.start, value] for window in windows if (value := _value(window, measure)) is not None],
        }
        for order, (name, windows) in enumerate(series.items())
    ]


def _anomalies(
    index: int, alerts: Sequence[Alert], series: dict[SeriesName, list[Window]], measure: Measure
) -> Options:
    # The alerts reach further back than the windows that are held.
    since_ms = min((windows[0].start for windows in series.values() if windows), default=0)
    points = []
    for alert in alerts:
        if alert.ts < since_ms:
            continue
        value = alert.value if measure == "mean" else _window_value(series, alert, measure)
        if value is not None:
            points.append([alert.ts, value])
    return {
        "name": "anomaly",
        "type": "scatter",
        "xAxisIndex": index,
        "yAxisIndex": index,
        "symbol": "diamond",
        "symbolSize": 11,
        "z": 5,
        "itemStyle": {"color": ANOMALY_COLOR, "borderColor": "#ffffff", "borderWidth": 1},
        "data": points,
    }


def _window_value(series: dict[SeriesName, list[Window]], alert: Alert, measure: Measure) -> float | None:
    for window in series.get(SeriesName(alert.rule, alert.node, alert.key), ()):
        if window.start <= alert.ts < window.end:
            return _value(window, measure)
    return None


def _value(window: Window, measure: Measure) -> float | None:
    value = window.mean if measure == "mean" else window.count
    return None if value is None else round(value, 3)


def _width(order: int, lines: int) -> float:
    """Later lines are drawn over earlier ones, and are thinner: where they coincide, both are seen."""
    return min(4.0, 1.6 + 1.2 * (lines - 1 - order))


def _legend(name: str) -> Options:
    return {"name": name, "icon": "roundRect"}


def _common(legend: Sequence[object]) -> Options:
    return {
        "animation": False,
        "useUTC": True,
        "backgroundColor": "transparent",
        "textStyle": {"fontFamily": "Roboto, system-ui, sans-serif"},
        "legend": {"type": "scroll", "top": 2, "left": 4, "itemWidth": 12, "itemHeight": 10, "data": list(legend)},
        "tooltip": {"trigger": "axis", "className": "lt-tooltip", "confine": True},
    }


def _time_axis(index: int) -> Options:
    return {
        "type": "time",
        "gridIndex": index,
        "axisLabel": {"fontSize": 11, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": FAINT}},
        "axisTick": {"show": False},
    }


def _value_axis(index: int, *, from_zero: bool = False) -> Options:
    return {
        "type": "value",
        "gridIndex": index,
        "scale": not from_zero,
        "splitNumber": 3,
        "axisLabel": {"fontSize": 11},
        "splitLine": {"lineStyle": {"color": FAINT}},
    }
