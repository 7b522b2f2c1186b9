"""Facts on the page: names with their values, in boxes beside each other."""

from collections.abc import Mapping

from nicegui import ui

from littoral.dashboard.cells import Cell
from littoral.dashboard.table import CellBox, Column


class Facts:
    """Shows values by their names; a name that comes later gets its box then."""

    def __init__(self) -> None:
        self._box = ui.element("div").classes("lt-facts")
        self._cells: dict[str, CellBox] = {}

    def update(self, facts: Mapping[str, Cell]) -> None:
        """Show these."""
        for name, cell in facts.items():
            if name not in self._cells:
                with self._box, ui.element("div").classes("lt-fact"):
                    ui.label(name).classes("lt-sub")
                    self._cells[name] = CellBox(Column(name))
            self._cells[name].show(cell)
