"""The functions: what the apps of a node are asked, how long they take, what fails, and what they raised."""

from collections.abc import Sequence

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.app_cells import app_line, busiest_first, exception_line, exception_name, node_line, totals
from littoral.dashboard.app_history import AppHistory
from littoral.dashboard.apps_api import AppsApi
from littoral.dashboard.charts import line_colors, value_options
from littoral.dashboard.node_view import judge
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import age_text, count_text
from littoral.dashboard.totals import Totals
from littoral.node.app_messages import AppEntry, ExceptionPage, RaisedGroup

NODES = 50
APPS = 50
"""Shown: those that are asked most."""
AGAIN_S = 3.0
"""Before this node is asked again. Others are asked when they are picked, or somebody says so: their links may be slow, or cost
money."""
TOTALS = ("Calls/s", "Errors/s", "CPU", "Memory", "Workers", "Cold starts")


class FunctionsPage:
    """One browser's view."""

    def __init__(self, shell: Shell, apps: AppsApi, history: AppHistory) -> None:
        """history: of the process, so that a page that is opened anew has something to draw."""
        self._shell = shell
        self._apps = apps
        self._history = history
        self._node = ""
        self._app = ""
        """Whose exceptions are shown."""
        self._exception = ""
        self._entries: Sequence[AppEntry] = ()
        self._groups: dict[str, RaisedGroup] = {}
        self._drawn: tuple[object, ...] = ()
        with shell.body:
            self._make_nodes()
            with ui.element("div").classes("lt-picked") as self._picked:
                self._totals = Totals(TOTALS)
                self._make_charts()
                self._make_apps()
                self._make_exceptions()
        self.update()
        ui.timer(UPDATE_S, self.update)
        ui.timer(AGAIN_S, self._ask_here)

    def _make_nodes(self) -> None:
        with card("Nodes"):
            self._nodes = Table(
                "Nodes with apps",
                (
                    Column("Node"),
                    Column("Apps", is_number=True),
                    Column("Workers", is_number=True),
                    Column("State", is_wide=True),
                ),
                widths="minmax(90px, 1fr) repeat(2, minmax(80px, auto)) minmax(140px, 1fr)",
                empty="No apps.",
                hint="`littoral deploy` puts one on the nodes that it is placed on.",
                pick=self._pick_node,
            )

    def _make_charts(self) -> None:
        with ui.element("div").classes("lt-columns lt-halves"):
            with card("Calls per second", "lt-card-chart"):
                self._none = ui.label("Nothing to draw yet.").classes("lt-empty lt-over")
                self._calls = ui.echart(value_options({}, {}), renderer="svg").classes("lt-chart lt-chart-low")
            with card("95 % of answers began within"):
                self._times = ui.echart(value_options({}, {}, "ms"), renderer="svg").classes("lt-chart lt-chart-low")

    def _make_apps(self) -> None:
        with card("Apps") as head:
            with head, ui.element("div").classes("lt-controls"):
                self._note = ui.label().classes("lt-sub")
                again = ui.button(icon="refresh", on_click=self._ask)
                again.props('flat round dense aria-label="Ask again"').classes("lt-icon")
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
        if not self._node and nodes:
            here = any(each.node == self._apps.here for each in nodes)
            self._node = self._apps.here if here else nodes[0].node
            with self._picked:
                ui.timer(0, self._ask, once=True)
        now_ms = self._shell.clock.wall_ms()
        self._nodes.update(
            [node_line(each, judge(picture, each, now_ms), is_picked=each.node == self._node) for each in nodes]
        )
        self._picked.set_visibility(bool(self._node))

    def _show_apps(self) -> None:
        recently = self._history.recently() if self._history.node == self._node else {}
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
        self._note.set_text(f"{shown}at {self._node}")
        self._draw()

    def _draw(self) -> None:
        """Send the charts anew, where there is something new in them."""
        history = self._history
        state = (history.node, history.revision)
        if state == self._drawn:
            return
        self._drawn = state
        apps = history.busiest()
        self._none.set_visibility(not apps)
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

    async def _pick_node(self, node: str) -> None:
        self._node, self._app, self._exception = node, "", ""
        self._table.wait()
        self._exceptions.wait()
        self.update()
        await self._ask()

    async def _pick_app(self, app: str) -> None:
        self._app, self._exception = app, ""
        self._exceptions.wait()
        await self._ask()

    async def _pick_exception(self, name: str) -> None:
        self._exception = "" if name == self._exception else name
        await self._ask()

    async def _ask_here(self) -> None:
        if self._node == self._apps.here:
            await self._ask()

    async def _ask(self) -> None:
        node = self._node
        if not node:
            return
        try:
            entries = await self._apps.apps(node)
            if node != self._node:
                return
            self._entries = entries
            self._history.add(node, entries)
            self._show_apps()
            page = await self._apps.exceptions(node, self._app) if self._app else None
        except LittoralError as error:
            if node == self._node:
                self._problem.set_text(f"{node} does not say how its apps are: {error}")
            return
        self._problem.set_text("")
        if page is not None and node == self._node:
            self._show_exceptions(page)
