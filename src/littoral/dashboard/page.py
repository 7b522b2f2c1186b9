"""The page: what each browser that is open shows of the one picture, brought up to date once a second."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import ui

from littoral.core.clock import Clock
from littoral.dashboard.alert_list import AlertList
from littoral.dashboard.charts import Measure, node_colors, rate_options, window_options
from littoral.dashboard.node_view import node_views
from littoral.dashboard.picture import Picture
from littoral.dashboard.texts import clock_text, count_text, rate_text
from littoral.dashboard.tree_table import Steer, TreeTable

UPDATE_S = 1.0
"""Figures that change faster cannot be read."""
LOGO = (
    '<svg viewBox="0 0 32 32" width="30" height="30" aria-hidden="true"><rect width="32" height="32" rx="8" '
    'fill="#0b6aa2"/><path d="M5 13c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 3.6-3 7.3-3M5 19c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 '
    '3.6-3 7.3-3M5 25c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 3.6-3 7.3-3" fill="none" stroke="#fff" stroke-width="2.2" '
    'stroke-linecap="round"/></svg>'
)
REMEMBER_THEME = (
    "() => { Quasar.Dark.toggle(); localStorage.setItem('littoral-theme', Quasar.Dark.isActive ? 'dark' : 'light'); }"
)
RECALL_THEME = "const theme = localStorage.getItem('littoral-theme'); if (theme) Quasar.Dark.set(theme === 'dark');"
STYLE = (Path(__file__).parent / "assets" / "style.css").read_text(encoding="utf-8")
TOTALS = ("Readings", "Readings/s", "Windows", "Alerts", "Unsent", "Dead letters")


class Page:
    """One browser's view."""

    def __init__(self, picture: Picture, clock: Clock, steer: Steer) -> None:
        self._picture = picture
        self._clock = clock
        self._drawn: tuple[object, ...] = ()
        ui.add_css(STYLE)
        with ui.element("div").classes("lt-page"):
            self._header = _Header()
            self._banner = _Banner()
            with ui.element("section").classes("lt-totals"):
                self._totals = {name: _Total(name) for name in TOTALS}
            with _card("Tree", "lt-card-tree"):
                self._tree = TreeTable(steer)
            with ui.element("div").classes("lt-columns"):
                with _card("Windows and anomalies", "lt-card-windows") as head:
                    with head:
                        options = {"mean": "Mean", "count": "Count"}
                        self._measure = ui.toggle(options, value="mean").props("no-caps dense unelevated")
                    self._none = ui.label("No windows so far.").classes("lt-empty lt-over")
                    self._windows = ui.echart(window_options({}, [], {}, "mean"), renderer="svg").classes("lt-chart")
                    self._not_drawn = ui.label().classes("lt-sub lt-foot")
                with _card("Readings per second", "lt-card-rates"):
                    self._rates = ui.echart(rate_options({}, {}), renderer="svg").classes("lt-chart")
                with _card("Alerts", "lt-card-alerts"):
                    self._alerts = AlertList()
        self.update()
        ui.timer(UPDATE_S, self.update)
        ui.timer(0, lambda: ui.run_javascript(RECALL_THEME), once=True)

    def update(self) -> None:
        """Show the picture as it is now."""
        picture, now_ms = self._picture, self._clock.wall_ms()
        history = picture.rates.history()
        colors = node_colors({*history, *(name.node for name in picture.windows.names())})
        self._header.update(picture, now_ms)
        self._banner.update(picture)
        self._show_totals()
        self._tree.update(node_views(picture, now_ms), colors)
        self._alerts.update(picture.alerts)
        self._draw(colors)

    def _show_totals(self) -> None:
        picture = self._picture
        rates = [rate for name in picture.nodes if (rate := picture.rates.latest(name)) is not None]
        waiting = sum(lane.records for status in picture.nodes.values() for lane in status.lanes.values())
        texts = {
            "Readings": count_text(picture.rates.total),
            "Readings/s": rate_text(sum(rates) if rates else None),
            "Windows": count_text(picture.window_count),
            "Alerts": count_text(picture.alert_count),
            "Unsent": count_text(waiting),
            "Dead letters": count_text(picture.dead_letter_count),
        }
        for name, text in texts.items():
            self._totals[name].set_text(text)

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


@contextmanager
def _card(title: str, css: str) -> Iterator[ui.element]:
    """A titled part of the page; yields its head, for controls beside the title."""
    with ui.element("section").classes(f"lt-card {css}"):
        with ui.element("div").classes("lt-card-head") as head:
            ui.label(title).classes("lt-title").props("role=heading aria-level=2")
        yield head


class _Header:
    def __init__(self) -> None:
        with ui.element("header").classes("lt-header"):
            ui.html(LOGO, sanitize=False).classes("lt-logo")
            ui.label("Littoral").classes("lt-brand")
            self._name = ui.label().classes("lt-root")
            self._version = ui.label().classes("lt-sub lt-version")
            ui.element("div").classes("lt-space")
            with ui.element("div").classes("lt-badge lt-stale") as self._badge:
                ui.element("span").classes("lt-mark")
                self._state = ui.label()
            self._clock = ui.label().classes("lt-clock")
            theme = ui.button(icon="contrast").props('flat round dense aria-label="Light or dark"').classes("lt-theme")
            theme.on("click", js_handler=REMEMBER_THEME)

    def update(self, picture: Picture, now_ms: int) -> None:
        root = picture.nodes.get(picture.name)
        self._name.set_text(picture.name)
        self._version.set_text(f"version {root.version}" if root else "")
        live = picture.problem is None
        self._badge.classes(add="lt-ok" if live else "lt-cut", remove="lt-stale " + ("lt-cut" if live else "lt-ok"))
        self._state.set_text("Live" if live else "No answer")
        self._clock.set_text(clock_text(now_ms))


class _Banner:
    def __init__(self) -> None:
        with ui.element("div").classes("lt-banner").props("role=status") as self._box:
            self._title = ui.label().classes("lt-main")
            self._text = ui.label()

    def update(self, picture: Picture) -> None:
        self._box.set_visibility(bool(picture.problem or picture.links_problem))
        if picture.problem:
            self._title.set_text("There is no answer from the hub. What is shown is the last that was heard.")
            self._text.set_text(picture.problem)
        elif picture.links_problem:
            self._title.set_text("The WAN links cannot be steered.")
            self._text.set_text(picture.links_problem)


class _Total:
    def __init__(self, name: str) -> None:
        with ui.element("div").classes("lt-total"):
            ui.label(name).classes("lt-sub")
            self._value = ui.label().classes("lt-figure").props(f'data-total="{name}"')

    def set_text(self, text: str) -> None:
        self._value.set_text(text)


def _not_drawn(picture: Picture) -> str:
    parts = []
    if picture.windows.left_out:
        parts.append(f"at least {len(picture.windows.left_out)} more keys are not drawn")
    if picture.unread_streams:
        parts.append(f"{picture.unread_streams} streams are not followed")
    return "; ".join(parts).capitalize()
