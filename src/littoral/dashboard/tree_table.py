"""The tree on the page: a line for each node, which becomes a card where the window is narrow."""

from collections.abc import Awaitable, Callable

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.cells import Cell
from littoral.dashboard.links_api import Action
from littoral.dashboard.node_view import HEALTH_WORDS, NodeView

Steer = Callable[[str, Action], Awaitable[None]]

COLUMNS = ("Node", "Health", "Uplink", "Queue", "Oldest unsent", "Readings/s", "Memory", "Dead letters", "WAN")


class TreeTable:
    """Shows node views; built anew only when nodes come, go or move."""

    def __init__(self, steer: Steer) -> None:
        """steer: cuts or restores the link of a node; raises LittoralError."""
        self._steer = steer
        self._shape: list[tuple[str, int]] = []
        self._rows: list[_Row] = []
        self._table = ui.element("div").classes("lt-tree").props('role=table aria-label="Nodes"')

    def update(self, views: list[NodeView], colors: dict[str, str]) -> None:
        """Show these. colors: of the nodes that are in charts."""
        shape = [(view.name, view.depth) for view in views]
        if shape != self._shape:
            self._shape = shape
            self._build(views)
        self._table.classes(
            add="" if any(view.wan_state for view in views) else "lt-no-wan",
            remove="lt-no-wan" if any(view.wan_state for view in views) else "",
        )
        for row, view in zip(self._rows, views, strict=True):
            row.update(view, colors.get(view.name))

    def _build(self, views: list[NodeView]) -> None:
        self._table.clear()
        with self._table:
            with ui.element("div").classes("lt-row lt-row-head").props("role=row"):
                for column in COLUMNS:
                    ui.label(column).props("role=columnheader").classes(_class_of(column))
            self._rows = [_Row(view, self._steer) for view in views]


class _Row:
    """One node."""

    def __init__(self, view: NodeView, steer: Steer) -> None:
        self._name = view.name
        self._steer = steer
        self._health = view.health
        self._wan_state = view.wan_state
        with ui.element("div").classes("lt-row").props(f"role=row data-node={view.name}") as self._row:
            with ui.element("div").classes("lt-cell lt-node").style(f"--depth: {view.depth}").props("role=cell"):
                with ui.element("div"):
                    ui.label(view.name).classes("lt-main")
                    ui.label(view.tier).classes("lt-sub")
                self._swatch = ui.element("span").classes("lt-swatch")
            with _cell("Health"):
                with ui.element("div").classes(f"lt-badge lt-{view.health}") as self._badge:
                    ui.element("span").classes("lt-mark")
                    self._word = ui.label()
                self._reason = ui.label().classes("lt-sub")
            self._values = [_Value(column) for column in COLUMNS[2:8]]
            with _cell("WAN"), ui.element("div").classes("lt-wan-box") as self._wan:
                self._button = ui.button(on_click=self._act).props("outline no-caps dense").classes("lt-wan-button")
                with ui.element("div"):
                    self._up = ui.label().classes("lt-sub")
                    self._down = ui.label().classes("lt-sub")

    def update(self, view: NodeView, color: str | None) -> None:
        self._swatch.style(f"background: {color or 'transparent'}")
        if view.health != self._health:
            self._badge.classes(add=f"lt-{view.health}", remove=f"lt-{self._health}")
            self._health = view.health
        self._row.classes(
            add="lt-dim" if view.health in ("stale", "cut") else "",
            remove="" if view.health in ("stale", "cut") else "lt-dim",
        )
        self._word.set_text(HEALTH_WORDS[view.health])
        self._reason.set_text(view.reason)
        cells = (view.link, view.queue, view.oldest, view.rate, view.memory, view.dead_letters)
        for value, cell in zip(self._values, cells, strict=True):
            value.update(cell)
        self._wan_state = view.wan_state
        self._wan.set_visibility(view.wan_state is not None)
        self._button.set_text("Restore WAN" if view.wan_state == "cut" else "Cut WAN")
        self._up.set_text(view.wan.main)
        self._down.set_text(view.wan.sub)

    async def _act(self) -> None:
        action: Action = "restore" if self._wan_state == "cut" else "cut"
        self._button.disable()
        try:
            await self._steer(self._name, action)
        except LittoralError as error:
            ui.notify(str(error), type="negative")
        finally:
            self._button.enable()


class _Value:
    """One cell."""

    def __init__(self, column: str) -> None:
        with _cell(column):
            self._main = ui.label().classes("lt-main")
            self._sub = ui.label().classes("lt-sub")

    def update(self, cell: Cell) -> None:
        self._main.set_text(cell.main)
        self._sub.set_text(cell.sub)


def _cell(column: str) -> ui.element:
    return ui.element("div").classes(f"lt-cell {_class_of(column)}").props(f'role=cell data-label="{column}"')


def _class_of(column: str) -> str:
    return "lt-col-" + column.lower().replace("/", "-").replace(" ", "-")
