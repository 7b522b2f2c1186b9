"""The overview: the tree, what flows through it, and its alerts, brought up to date once a second."""

from nicegui import ui

from littoral.dashboard.alert_list import AlertList
from littoral.dashboard.charts import Measure, line_colors, rate_options, window_options
from littoral.dashboard.node_view import node_views
from littoral.dashboard.picture import Picture
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.texts import count_text, rate_text
from littoral.dashboard.totals import Totals
from littoral.dashboard.tree_table import Steer, TreeTable

TOTALS = ("Readings", "Readings/s", "Windows", "Alerts", "Unsent", "Dead letters")

TREE_NODES = 100
"""Shown in the tree, from the top: more are no overview."""


class Overview:
    """One browser's view."""

    def __init__(self, shell: Shell, steer: Steer) -> None:
        self._picture = shell.picture
        self._clock = shell.clock
        self._drawn: tuple[object, ...] = ()
        with shell.body:
            self._totals = Totals(TOTALS)
            with card("Tree", "lt-card-tree"):
                self._tree = TreeTable(steer)
                self._more = ui.label().classes("lt-sub lt-foot")
            with ui.element("div").classes("lt-columns"):
                with card("Windows and anomalies", "lt-card-windows") as head:
                    with head:
                        options = {"mean": "Mean", "count": "Count"}
                        self._measure = ui.toggle(options, value="mean").props("no-caps dense unelevated")
                    self._none = ui.label("No windows so far.").classes("lt-empty lt-over")
                    self._windows = ui.echart(window_options({}, [], {}, "mean"), renderer="svg").classes("lt-chart")
                    self._not_drawn = ui.label().classes("lt-sub lt-foot")
                with card("Readings per second", "lt-card-rates"):
                    self._rates = ui.echart(rate_options({}, {}), renderer="svg").classes("lt-chart")
                with card("Alerts", "lt-card-alerts"):
                    self._alerts = AlertList()
        self.update()
        ui.timer(UPDATE_S, self.update)

    def update(self) -> None:
        """Show the picture as it is now."""
        picture, now_ms = self._picture, self._clock.wall_ms()
        history = picture.rates.history()
        colors = line_colors({*history, *(name.node for name in picture.windows.names())})
        self._show_totals()
        self._tree.update(node_views(picture, now_ms, TREE_NODES), colors)
        more = len(picture.nodes) - TREE_NODES
        self._more.set_text(f"{count_text(more)} more nodes are not shown here; Links finds them." if more > 0 else "")
        self._alerts.update(picture.alerts)
        self._draw(colors)

    def _show_totals(self) -> None:
        picture = self._picture
        rates = [rate for name in picture.nodes if (rate := picture.rates.latest(name)) is not None]
        waiting = sum(lane.records for status in picture.nodes.values() for lane in status.lanes.values())
        self._totals.update(
            {
                "Readings": count_text(picture.rates.total),
                "Readings/s": rate_text(sum(rates) if rates else None),
                "Windows": count_text(picture.window_count),
                "Alerts": count_text(picture.alert_count),
                "Unsent": count_text(waiting),
                "Dead letters": count_text(picture.dead_letter_count),
            }
        )

    def _draw(self, colors: dict[str, str]) -> None:
        """Send the charts anew, where there is something new in them."""
        picture = self._picture
        measure: Measure = "count" if self._measure.value == "count" else "mean"
        state = (picture.rates.revision, picture.windows.revision, picture.alerts.count, measure, tuple(colors.items()))
        if state == self._drawn:
            return
        self._drawn = state
        self._rates.options.update(rate_options(picture.rates.history(), colors))
        self._rates.update()
        windows = picture.windows
        of_rules = {rule: windows.of_rule(rule) for rule in windows.rules()}
        self._none.set_visibility(not of_rules)
        self._windows.options.update(window_options(of_rules, picture.alerts.since(0), colors, measure))
        self._windows.update()
        self._not_drawn.set_text(_not_drawn(picture))


def _not_drawn(picture: Picture) -> str:
    parts = []
    if picture.windows.left_out:
        parts.append(f"at least {len(picture.windows.left_out)} more keys are not drawn")
    if picture.unread_streams:
        parts.append(f"{picture.unread_streams} streams are not followed")
    return "; ".join(parts).capitalize()
