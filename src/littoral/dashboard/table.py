"""Tables on the page: lines that are kept and filled anew, and become cards where the window is narrow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nicegui import ui

from littoral.dashboard.cells import Cell, Line

FULL_FROM = 0.9
"""A bar from this share of its bound on has the colour of a warning."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    title: str
    order: str = ""
    """By what its title sorts the table when clicked; empty where it does not."""
    is_number: bool = False
    """Stands at the right."""
    is_wide: bool = False
    """Has the whole width of a card, where lines are cards."""
    is_state: bool = False
    """Stands beside the first one, where lines are cards."""


class Table:
    """Shows lines."""

    def __init__(
        self,
        label: str,
        columns: Sequence[Column],
        *,
        empty: str,
        hint: str = "",
        widths: str = "",
        sort: Callable[[str], object] | None = None,
        pick: Callable[[str], object] | None = None,
        acts: Sequence[tuple[str, Callable[[str], object]]] = (),
    ) -> None:
        """label: for who cannot see it. empty, hint: said where there are no lines. widths: of the columns, as
        CSS. sort: told a column's order. pick: told the name of a line whose first cell was clicked. acts: buttons of each
        line, told its name."""
        self._columns = columns
        self._pick = pick
        self._acts = acts
        self._rows: list[_Row] = []
        self._heads: dict[str, ui.element] = {}
        self._waits = ui.label("Asking …").classes("lt-empty")
        with ui.element("div").classes("lt-empty") as self._empty:
            self._empty_text = ui.label(empty).classes("lt-main")
            ui.label(hint).classes("lt-sub")
        self._empty.set_visibility(False)
        self._table = ui.element("div").classes("lt-table").props(f'role=table aria-label="{label}"')
        template = widths or "minmax(0, 1fr) " + " ".join("auto" for _ in columns[1:])
        self._table.set_visibility(False)
        self._table.style(f"--widths: {template}{' auto' if acts else ''}")
        with self._table, ui.element("div").classes("lt-line lt-line-head").props("role=row"):
            for column in columns:
                self._head(column, sort)
            if acts:
                ui.element("div")

    def _head(self, column: Column, sort: Callable[[str], object] | None) -> None:
        side = "lt-right" if column.is_number else ""
        with ui.element("div").classes(f"lt-head {side}").props("role=columnheader") as head:
            if column.order and sort is not None:
                button = ui.element("button").classes("lt-sort").props("type=button")
                button.on("click", lambda: sort(column.order))
                with button:
                    ui.label(column.title)
                self._heads[column.order] = head
            else:
                ui.label(column.title)

    def update(self, lines: Sequence[Line], order: str = "", *, descending: bool = False) -> None:
        """Show these. order: by which they are sorted."""
        self._waits.set_visibility(False)
        self._empty.set_visibility(not lines)
        self._table.set_visibility(bool(lines))
        for each, head in self._heads.items():
            head.props(f"aria-sort={('descending' if descending else 'ascending') if each == order else 'none'}")
        while len(self._rows) < len(lines):
            with self._table:
                self._rows.append(_Row(self._columns, self._pick, self._acts))
        for row in self._rows[len(lines) :]:
            row.hide()
        for row, line in zip(self._rows, lines, strict=False):
            row.show(line)

    def allow_acts(self, *, allowed: bool) -> None:
        """Whether the buttons of the lines are shown."""
        self._table.classes(add="" if allowed else "lt-no-acts", remove="lt-no-acts" if allowed else "")

    def wait(self) -> None:
        """Show no lines, and that they are being asked for."""
        self._waits.set_visibility(True)
        self._empty.set_visibility(False)
        self._table.set_visibility(False)

    def say_empty(self, text: str) -> None:
        """What is said where there are no lines, from now on."""
        self._empty_text.set_text(text)


class _Row:
    def __init__(
        self,
        columns: Sequence[Column],
        pick: Callable[[str], object] | None,
        acts: Sequence[tuple[str, Callable[[str], object]]],
    ) -> None:
        self._name = ""
        with ui.element("div").classes("lt-line").props("role=row") as self._row:
            self._cells = [
                CellBox(column, pick=self._picked if pick and not place else None, is_first=not place)
                for place, column in enumerate(columns)
            ]
            if acts:
                with ui.element("div").classes("lt-acts").props("role=cell"):
                    for title, act in acts:
                        button = ui.button(title).props("outline no-caps dense").classes("lt-act")
                        button.on("click", lambda act=act: act(self._name))
        self._pick = pick

    def show(self, line: Line) -> None:
        self._name = line.name
        self._row.set_visibility(True)
        # Not as text of props, which a name with quotes in it would break out of.
        self._row.props["data-row"] = line.name
        for cell, value in zip(self._cells, line.cells, strict=True):
            cell.show(value, line.target)

    def hide(self) -> None:
        self._row.set_visibility(False)

    def _picked(self) -> object:
        assert self._pick is not None
        return self._pick(self._name)


class CellBox:
    """One value with what there is to say of it; in a table, or on its own."""

    def __init__(self, column: Column, *, pick: Callable[[], object] | None = None, is_first: bool = False) -> None:
        """pick: called at a click on it. is_first: it may lead somewhere."""
        self._tone = ""
        self._link: ui.link | None = None
        look = (" lt-right" if column.is_number else "") + (" lt-wide" if column.is_wide else "")
        look += " lt-state" if column.is_state else ""
        with ui.element("div").classes(f"lt-cell{look}").props(f'role=cell data-label="{column.title}"') as self._box:
            if pick is not None:
                with ui.element("button").classes("lt-pick").props("type=button").on("click", pick):
                    self._main = ui.label().classes("lt-main")
            elif is_first:
                self._link = ui.link("", "").classes("lt-main lt-link")
            else:
                self._main = ui.label().classes("lt-main")
            with ui.element("div").classes("lt-bar") as self._bar:
                self._fill = ui.element("div").classes("lt-bar-fill")
            self._sub = ui.label().classes("lt-sub")

    def show(self, cell: Cell, target: str = "") -> None:
        """Show this. target: where a click leads."""
        if self._link is not None:
            self._link.set_text(cell.main)
            if target:
                self._link.props["href"] = target
            self._link.props["tabindex"] = 0 if target else -1
            self._link.classes(add="" if target else "lt-no-link", remove="lt-no-link" if target else "")
        else:
            self._main.set_text(cell.main)
        self._sub.set_text(cell.sub)
        self._bar.set_visibility(cell.share is not None)
        tone = "warn" if cell.share is not None and cell.share >= FULL_FROM and not cell.tone else cell.tone
        self._fill.style(f"width: {100 * min(1.0, cell.share or 0.0):.1f}%")
        if tone != self._tone:
            self._box.classes(add=f"lt-tone-{tone}" if tone else "", remove=f"lt-tone-{self._tone}")
            self._tone = tone
