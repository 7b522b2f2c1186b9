"""Topics on the page: a tree whose branches are unfolded one by one, or a plain list of those that were looked for."""

from collections.abc import Callable, Sequence

from nicegui import ui

from littoral.dashboard.mqtt_cells import TopicLine
from littoral.dashboard.texts import count_text

COLUMNS = ("Topic", "Last value", "When", "Messages")


class TopicTree:
    """Shows lines, which are kept and filled anew."""

    def __init__(self, turned: Callable[[str], object]) -> None:
        """turned: told the topic of a branch that is to be folded or unfolded."""
        self._turned = turned
        self._rows: list[_Row] = []
        self._waits = ui.label("Asking …").classes("lt-empty")
        self._empty = ui.label().classes("lt-empty lt-main")
        self._empty.set_visibility(False)
        self._box = ui.element("div").classes("lt-topics").props('role=treegrid aria-label="Topics"')
        with self._box, ui.element("div").classes("lt-topic lt-topic-head").props("role=row"):
            for column in COLUMNS:
                ui.label(column).props("role=columnheader")
        self._box.set_visibility(False)

    def wait(self) -> None:
        """Show no lines, and that they are being asked for."""
        self._waits.set_visibility(True)
        self._empty.set_visibility(False)
        self._box.set_visibility(False)

    def update(self, lines: Sequence[TopicLine], empty: str) -> None:
        """Show these. empty: said where there are none."""
        self._waits.set_visibility(False)
        self._empty.set_text(empty)
        self._empty.set_visibility(not lines)
        self._box.set_visibility(bool(lines))
        while len(self._rows) < len(lines):
            with self._box:
                self._rows.append(_Row(self._turned))
        for row in self._rows[len(lines) :]:
            row.hide()
        for row, line in zip(self._rows, lines, strict=False):
            row.show(line)


class _Row:
    def __init__(self, turned: Callable[[str], object]) -> None:
        self._turned = turned
        self._topic = ""
        with ui.element("div").classes("lt-topic").props("role=row") as self._row:
            with ui.element("div").classes("lt-topic-name").props("role=gridcell"):
                with ui.element("button").classes("lt-pick lt-twist").props("type=button") as self._twist:
                    self._mark = ui.icon("chevron_right").classes("lt-twist-mark")
                    self._branch = ui.label().classes("lt-main")
                self._twist.on("click", self._turn)
                self._leaf = ui.label().classes("lt-main lt-leaf")
                self._below = ui.label().classes("lt-sub")
            with ui.element("div").classes("lt-topic-value").props("role=gridcell"):
                self._value = ui.label().classes("lt-value")
                self._note = ui.label().classes("lt-sub")
            with ui.element("div").classes("lt-topic-when").props("role=gridcell"):
                self._when = ui.label()
                self._retained = ui.label("retained").classes("lt-chip")
            self._count = ui.label().classes("lt-topic-count").props("role=gridcell")

    def show(self, line: TopicLine) -> None:
        self._topic = line.topic
        self._row.set_visibility(True)
        # Not as text of props, which a topic with quotes in it would break out of.
        self._row.props["data-topic"] = line.topic
        self._row.props["aria-level"] = line.depth + 1
        self._row.style(f"--depth: {min(line.depth, 12)}")
        is_branch = line.below > 0
        self._twist.set_visibility(is_branch)
        self._twist.props["aria-expanded"] = "true" if line.is_open else "false"
        self._leaf.set_visibility(not is_branch)
        self._branch.set_text(line.name)
        self._leaf.set_text(line.name)
        self._below.set_text(f"{count_text(line.below)} topic{'s' * (line.below != 1)}" if is_branch else "")
        self._value.set_text(line.value)
        self._note.set_text(line.note)
        self._when.set_text(line.when)
        self._when.props["title"] = line.at
        self._retained.set_visibility(line.retained)
        self._count.set_text(line.count)
        for element in (self._row, self._twist, self._when):
            element.update()

    def hide(self) -> None:
        self._row.set_visibility(False)

    def _turn(self) -> object:
        return self._turned(self._topic)
