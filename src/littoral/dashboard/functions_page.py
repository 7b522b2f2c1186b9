"""The functions: what the apps of a node are asked, how long they take, what fails, and what they raised."""

from collections.abc import Sequence

from nicegui import ui

from littoral.dashboard.app_cells import app_line, busiest_first, exception_line, exception_name, node_cells, totals
from littoral.dashboard.app_history import AppHistory
from littoral.dashboard.apps_api import AppsApi
from littoral.dashboard.charts import line_colors, value_options
from littoral.dashboard.node_picker import NODES, NodePicker, NodesTable
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import age_text, count_text
from littoral.dashboard.totals import Totals
from littoral.node.app_messages import AppEntry, ExceptionPage, RaisedGroup

APPS = 50
"""Shown: those that are asked most."""
TOTALS = ("Calls/s", "Errors/s", "CPU", "Memory", "Workers", "Cold starts")
TABLE = NodesTable(
    "Nodes with apps",
    (Column("Apps", is_number=True), Column("Workers", is_number=True)),
    "minmax(90px, 1fr) repeat(2, minmax(80px, auto)) minmax(140px, 1fr)",
    "No apps.",
    "`littoral deploy` puts one on the nodes that it is placed on.",
)


class FunctionsPage:
    """One browser's view."""

    def __init__(self, shell: Shell, apps: AppsApi, history: AppHistory) -> None:
        """history: of the process, so that a page that is opened anew has something to draw."""
        self._shell = shell
        self._apps = apps
        self._history = history
        self._app = ""
        """Whose exceptions are shown."""
        self._exception = ""
        self._entries: Sequence[AppEntry] = ()
        self._groups: dict[str, RaisedGroup] = {}
        self._drawn: tuple[object, ...] = ()
        self._nodes = NodePicker(shell, shell.body, TABLE, apps.here, picked=self._picked, ask=self._ask, say=self._say)
        with self._nodes.below:
            self._totals = Totals(TOTALS)
            self._make_charts()
            self._make_apps()
            self._make_exceptions()
        self.update()
        ui.timer(UPDATE_S, self.update)

    def _make_charts(self) -> None:
        with ui.element("div").classes("lt-columns lt-halves"):
            with card("Calls per second", "lt-card-chart"):
                no_calls = ui.label("Nothing to draw yet.").classes("lt-empty lt-over")
                self._calls = ui.echart(value_options({}, {}), renderer="svg").classes("lt-chart lt-chart-low")
            with card("95 % of answers began within", "lt-card-chart"):
                no_times = ui.label("Nothing to draw yet.").classes("lt-empty lt-over")
                self._times = ui.echart(value_options({}, {}, "ms"), renderer="svg").classes("lt-chart lt-chart-low")
        self._none = (no_calls, no_times)

    def _make_apps(self) -> None:
        with card("Apps") as head:
            with head, ui.element("div").classes("lt-controls"):
                self._note = ui.label().classes("lt-sub")
                self._nodes.make_again_button()
            self._problem = ui.label().classes("lt-problem-text")
            self._table = Table(
                "Apps",
                (
                    Column("App"),
                    Column("Calls/s", is_number=True),
                    Column("p50, p95 · p99", is_number=True),
                    Column("Errors/s", is_number=True),
                    Column("CPU", is_number=True),
                    Column("Memory", is_number=True),
                    Column("Cold starts", is_number=True),
                    Column("State", is_wide=True),
                ),
                widths="minmax(130px, 1.2fr) repeat(6, minmax(80px, auto)) minmax(110px, 1fr)",
                empty="No app runs here.",
                pick=self._pick_app,
            )

    def _make_exceptions(self) -> None:
        with card("Exceptions") as head:
            with head:
                self._exceptions_note = ui.label().classes("lt-sub")
            self._exceptions = Table(
                "Exceptions",
                (
                    Column("Exception", is_wide=True),
                    Column("Place", is_wide=True),
                    Column("Count", is_number=True),
                    Column("Last", is_number=True),
                ),
                widths="minmax(0, 1.4fr) minmax(0, 1fr) auto minmax(120px, auto)",
                empty="Nothing was raised.",
                hint="Since the node's hub started. Pick an app to see those that its code raised.",
                pick=self._pick_exception,
            )
            with ui.element("div").classes("lt-trace") as self._trace_box:
                self._trace_note = ui.label().classes("lt-sub")
                self._trace = ui.label().classes("lt-content")

    # What is shown

    def update(self) -> None:
        """Show the picture as it is now."""
        picture = self._shell.picture
        nodes = sorted((each for each in picture.nodes.values() if each.apps), key=lambda each: each.node)[:NODES]
        names = [each.node for each in nodes]
        here = self._apps.here if self._apps.here in names else ""
        self._nodes.update(nodes, here or next(iter(names), ""), node_cells)

    def _show_apps(self) -> None:
        recently = self._history.recently() if self._nodes.is_picked(self._history.node) else {}
        figures = totals(self._entries, recently)
        self._totals.update(
            {name: cell.main for name, cell in figures.items()}, {name: cell.sub for name, cell in figures.items()}
        )
        ordered = busiest_first(self._entries, recently)
        if not self._app and ordered:
            self._app = ordered[0].name
        self._table.update(
            [app_line(each, recently.get(each.name), is_picked=each.name == self._app) for each in ordered[:APPS]]
        )
        shown = f"the {APPS} busiest of {count_text(len(ordered))}, " if len(ordered) > APPS else ""
        self._note.set_text(f"{shown}at {self._nodes.node}")
        self._draw()

    def _draw(self) -> None:
        """Send the charts anew, where there is something new in them."""
        history = self._history
        state = (history.node, history.revision)
        if state == self._drawn:
            return
        self._drawn = state
        apps = history.busiest()
        for none in self._none:
            none.set_visibility(not apps)
        colors = line_colors(apps)
        calls: dict[str, list[tuple[int, float | None]]] = {app: [] for app in apps}
        times: dict[str, list[tuple[int, float | None]]] = {app: [] for app in apps}
        for point in history.points:
            for app in apps:
                rates = point.rates.get(app)
                wall = rates.wall_ms if rates is not None else None
                calls[app].append((point.at_ms, round(rates.calls_s, 2) if rates is not None else None))
                times[app].append((point.at_ms, round(wall.p95, 2) if wall is not None else None))
        for chart, options in (
            (self._calls, value_options(calls, colors)),
            (self._times, value_options(times, colors, "ms")),
        ):
            chart.options.clear()
            chart.options.update(options)
            chart.update()

    def _show_exceptions(self, page: ExceptionPage) -> None:
        now_ms = self._shell.clock.wall_ms()
        # Not by the last one: lines that change places every few seconds cannot be read.
        groups = sorted(page.groups, key=lambda group: (-group.count, group.type, group.place))
        self._groups = {exception_name(group): group for group in groups}
        self._exceptions.update(
            [
                exception_line(group, f"{age_text(group.last_ms, now_ms)} ago", is_picked=name == self._exception)
                for name, group in self._groups.items()
            ]
        )
        gone = f"; {count_text(page.forgotten)} more of kinds that had to leave" if page.forgotten else ""
        self._exceptions_note.set_text(f"of {self._app}{gone}")
        picked = self._groups.get(self._exception)
        self._trace_box.set_visibility(picked is not None)
        if picked is not None:
            request = f", request {picked.request_id}" if picked.request_id else ""
            self._trace_note.set_text(f"{picked.subject}{request}")
            self._trace.set_text(picked.trace)

    # What is asked

    def _picked(self) -> None:
        self._app, self._exception = "", ""
        self._table.wait()
        self._exceptions.wait()
        self.update()

    async def _pick_app(self, app: str) -> None:
        self._app, self._exception = app, ""
        self._exceptions.wait()
        await self._nodes.ask()

    async def _pick_exception(self, name: str) -> None:
        self._exception = "" if name == self._exception else name
        await self._nodes.ask()

    def _say(self, problem: str) -> None:
        self._problem.set_text(f"{self._nodes.node} does not say how its apps are: {problem}" if problem else "")

    async def _ask(self, node: str) -> None:
        entries = await self._apps.apps(node)
        if not self._nodes.is_picked(node):
            return
        self._entries = entries
        self._history.add(node, entries)
        self._show_apps()
        if not self._app:
            return
        page = await self._apps.exceptions(node, self._app)
        if self._nodes.is_picked(node):
            self._show_exceptions(page)
