"""The HTTP caches: what they spare the origins at each node, what they hold, and purging it."""

from collections.abc import Sequence
from heapq import nlargest

from nicegui import ui

from littoral.dashboard.cache_cells import node_cells, route_lines, top_line, totals
from littoral.dashboard.cache_history import CachePoint, hit_ratio, requests_of
from littoral.dashboard.caches_api import CachesApi
from littoral.dashboard.charts import line_colors, ratio_options, result_options
from littoral.dashboard.node_picker import NODES, NodePicker, NodesTable
from littoral.dashboard.node_view import judge
from littoral.dashboard.purge_form import PurgeForm
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import count_text
from littoral.dashboard.totals import Totals
from littoral.node.cache_api import PurgeOrder
from littoral.node.status import NodeStatus

TOP = 10
TOTALS = ("Hit ratio", "Requests/s", "Bytes saved", "In memory", "On disk", "Evicted")
TABLE = NodesTable(
    "Nodes with caches",
    (
        Column("Hit ratio", is_number=True),
        Column("Requests/s", is_number=True),
        Column("Saved", is_number=True),
        Column("In memory", is_number=True),
    ),
    "minmax(90px, 1fr) repeat(4, minmax(60px, auto)) minmax(110px, auto)",
    "No HTTP caches.",
    "A node with spec.listen.gateway caches what the origins of its routes answer.",
)
"""Of the nodes whose caches are asked most."""


class CachePage:
    """One browser's view."""

    def __init__(self, shell: Shell, caches: CachesApi) -> None:
        self._shell = shell
        self._caches = caches
        self._drawn: tuple[object, ...] = ()
        self._urls: dict[str, str] = {}
        """By the names of the lines of what was given most often."""
        with shell.body:
            top = ui.element("div").classes("lt-columns lt-nodes-and-form")
        self._nodes = NodePicker(
            shell, top, TABLE, caches.here, picked=self._picked, ask=self._ask_top, say=self._say_top
        )
        with top, card("Purge"):
            self._form = PurgeForm(shell.picture, caches, shell.body, self._nodes.ask)
        with self._nodes.below:
            self._totals = Totals(TOTALS)
            self._make_charts()
            self._make_routes()
            self._make_top()
        self.update()
        ui.timer(UPDATE_S, self.update)

    def _make_charts(self) -> None:
        with ui.element("div").classes("lt-columns lt-halves"):
            with card("Hit ratio", "lt-card-chart") as head:
                with head:
                    self._by = ui.toggle({"routes": "Routes", "nodes": "Nodes"}, value="routes", on_change=self.update)
                    self._by.props("no-caps dense unelevated")
                self._no_ratios = ui.label("Nothing to draw yet.").classes("lt-empty lt-over")
                self._ratios = ui.echart(ratio_options({}, {}), renderer="svg").classes("lt-chart lt-chart-low")
            with card("Requests per second, by what became of them", "lt-card-chart"):
                self._no_results = ui.label("Nothing to draw yet.").classes("lt-empty lt-over")
                self._results = ui.echart(result_options([]), renderer="svg").classes("lt-chart lt-chart-low")

    def _make_routes(self) -> None:
        with card("Routes"):
            self._routes = Table(
                "Routes",
                (
                    Column("Route"),
                    Column("Leads to", is_wide=True),
                    Column("Hit ratio", is_number=True),
                    Column("Hits", is_number=True),
                    Column("Collapsed", is_number=True),
                    Column("Validated", is_number=True),
                    Column("Misses", is_number=True),
                    Column("Saved", is_number=True),
                ),
                widths="minmax(100px, 1fr) minmax(140px, 1.5fr) repeat(6, minmax(60px, auto))",
                empty="No routes.",
                hint="A Route document says which requests lead where.",
            )

    def _make_top(self) -> None:
        with card("Given most often") as head:
            with head, ui.element("div").classes("lt-controls"):
                self._top_note = ui.label().classes("lt-sub")
                self._nodes.make_again_button()
            self._top_problem = ui.label().classes("lt-problem-text")
            self._top = Table(
                "Given most often",
                (
                    Column("URL"),
                    Column("Size", is_number=True),
                    Column("Age", is_number=True),
                    Column("Fresh for", is_number=True),
                    Column("Hits", is_number=True),
                ),
                widths="minmax(0, 1fr) repeat(4, minmax(70px, auto))",
                empty="Nothing is stored.",
                acts=[("Purge", self._purge)],
            )

    # What is shown

    def update(self) -> None:
        """Show the picture as it is now."""
        picture = self._shell.picture
        nodes = self._with_caches()
        busiest = max(nodes, key=_requests, default=None)
        self._nodes.update(
            nodes,
            busiest.node if busiest is not None else "",
            lambda status: node_cells(status, picture.caches.recently(status.node)),
        )
        node = self._nodes.node
        self._form.show(node or self._caches.here)
        status = picture.nodes.get(node)
        if status is None or status.gateway is None:
            return
        is_old = judge(picture, status, self._shell.clock.wall_ms())[0] in ("cut", "stale")
        self._nodes.below.classes(add="lt-dim" if is_old else "", remove="" if is_old else "lt-dim")
        figures = totals(status.gateway, picture.caches.recently(node))
        self._totals.update(
            {name: cell.main for name, cell in figures.items()}, {name: cell.sub for name, cell in figures.items()}
        )
        self._routes.update(route_lines(status))
        self._draw()

    def _with_caches(self) -> list[NodeStatus]:
        nodes = [status for status in self._shell.picture.nodes.values() if status.gateway is not None]
        return sorted(nlargest(NODES, nodes, key=_requests), key=lambda status: status.node)

    def _draw(self) -> None:
        """Send the charts anew, where there is something new in them."""
        caches = self._shell.picture.caches
        state = (caches.revision, self._nodes.node, self._by.value)
        if state == self._drawn:
            return
        self._drawn = state
        points = caches.points(self._nodes.node)
        if self._by.value == "routes":
            lines = {
                route: _of_route(points, route) for route in sorted({name for each in points for name in each.routes})
            }
        else:
            lines = {node: _of_node(caches.points(node)) for node in caches.nodes()}
        self._no_ratios.set_visibility(not lines)
        self._ratios.options.clear()
        self._ratios.options.update(ratio_options(lines, line_colors(lines)))
        self._ratios.update()
        was_asked = any(requests_of(point.counts) for point in points)
        self._no_results.set_visibility(not was_asked)
        self._results.options.update(result_options(points if was_asked else []))
        self._results.update()

    # What is asked

    def _picked(self) -> None:
        self._top.wait()
        self.update()

    def _say_top(self, problem: str) -> None:
        if not problem:
            self._top_problem.set_text("")
            return
        self._top_problem.set_text(f"{self._nodes.node} does not say what it gives most often: {problem}")
        self._top_note.set_text("")
        self._top.say_empty("Not known.")
        self._top.update([])

    async def _ask_top(self, node: str) -> None:
        found = await self._caches.top(node, TOP)
        if not self._nodes.is_picked(node):
            return
        lines = [top_line(top) for top in found.objects]
        self._urls = {line.name: top.object.url for line, top in zip(lines, found.objects, strict=True)}
        self._top.say_empty("Nothing is stored.")
        self._top_note.set_text(f"by {count_text(found.gateways)} gateway{'s' * (found.gateways != 1)} of {node}")
        self._top.update(lines)

    async def _purge(self, name: str) -> None:
        if (url := self._urls.get(name)) is not None:
            await self._form.order(PurgeOrder(url=url))


def _requests(status: NodeStatus) -> int:
    return requests_of(status.gateway.cache) if status.gateway is not None else 0


def _of_route(points: Sequence[CachePoint], route: str) -> list[tuple[int, float | None]]:
    return [(point.at_ms, point.routes.get(route)) for point in points]


def _of_node(points: Sequence[CachePoint]) -> list[tuple[int, float | None]]:
    return [(point.at_ms, hit_ratio(point.counts)) for point in points]
