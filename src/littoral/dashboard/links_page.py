"""The uplink of each node that is known here: whether it is up, what waits in its lanes, and what its budget allows."""

from collections.abc import Sequence

from nicegui import ui

from littoral.dashboard.facts import Facts
from littoral.dashboard.link_cells import budget_facts, lane_lines
from littoral.dashboard.node_view import HEALTH_WORDS, NodeView, in_tree_order, judge, node_view
from littoral.dashboard.pager import Pager
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import bytes_text, count_text, event_time_text
from littoral.node.status import NodeStatus

NODES = 10
"""Shown at a time."""
COLUMNS = (
    Column("Lane"),
    Column("Waiting", is_number=True),
    Column("Bytes", is_number=True),
    Column("Oldest", is_number=True),
    Column("Sent", is_number=True),
    Column("Bytes sent", is_number=True),
    Column("Empty in", is_number=True),
)


class LinksPage:
    """One browser's view."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._names: list[str] = []
        self._links: list[_Link] = []
        with shell.body:
            with ui.element("div").classes("lt-filters lt-filters-bare"):
                self._text = ui.input(placeholder="Node contains", on_change=self._changed)
                self._text.props('dense outlined clearable debounce=200 aria-label="Node contains"')
                shown = {"all": "All nodes", "waiting": "With records waiting", "wrong": "Not in order"}
                self._kind = ui.select(shown, value="all", on_change=self._changed)
                self._kind.props('dense outlined options-dense aria-label="Which"')
            self._empty = ui.label("No node is like that.").classes("lt-empty")
            self._box = ui.element("div").classes("lt-links")
            self._pager = Pager("links", NODES, self.update)
        self.update()
        ui.timer(UPDATE_S, self.update)

    def _changed(self) -> None:
        self._pager.restart()
        self.update()

    def update(self) -> None:
        """Show the picture as it is now."""
        now_ms = self._shell.clock.wall_ms()
        picture = self._shell.picture
        nodes = picture.nodes
        found = [each for each in in_tree_order(picture) if self._takes(each[0], now_ms)]
        part = found[self._pager.skip : self._pager.skip + NODES]
        shown = [node_view(picture, status, depth, now_ms) for status, depth in part]
        if [view.name for view in shown] != self._names:
            self._build(shown)
        for link, view in zip(self._links, shown, strict=True):
            link.update(view, nodes[view.name], picture.carried.per_s(view.name), now_ms)
        is_root_only = len(nodes) == 1 and not self._text.value
        self._empty.set_text("No node has joined below this one." if is_root_only else "No node is like that.")
        self._empty.set_visibility(not found)
        self._pager.update(len(shown), len(found))

    def _takes(self, status: NodeStatus, now_ms: int) -> bool:
        if status.link is None or (self._text.value or "").lower() not in status.node:
            return False
        match self._kind.value:
            case "waiting":
                return any(lane.records for lane in status.lanes.values())
            case "wrong":
                return judge(self._shell.picture, status, now_ms)[0] != "ok"
        return True

    def _build(self, views: Sequence[NodeView]) -> None:
        self._names = [view.name for view in views]
        self._box.clear()
        with self._box:
            self._links = [_Link(view) for view in views]


class _Link:
    """The uplink of one node."""

    def __init__(self, view: NodeView) -> None:
        self._health = view.health
        with card(view.name, "lt-link-card") as head:
            head.props["data-link"] = view.name
            with head:
                ui.label(view.tier).classes("lt-sub")
                ui.element("div").classes("lt-space")
                with ui.element("div").classes(f"lt-badge lt-{view.health}") as self._badge:
                    ui.element("span").classes("lt-mark")
                    self._word = ui.label()
            with ui.element("div").classes("lt-link-state"):
                self._state = ui.label().classes("lt-main")
                self._since = ui.label().classes("lt-sub")
                self._sent = ui.label().classes("lt-sub")
            self._error = ui.label().classes("lt-problem-text")
            self._lanes = Table(
                f"Lanes of {view.name}",
                COLUMNS,
                empty="Nothing waits in any lane.",
                widths="minmax(80px, 1fr) repeat(6, minmax(0, 1fr))",
            )
            self._budget = Facts()
            self._no_budget = ui.label("No bandwidth budget: the link may carry all it can.").classes("lt-sub lt-foot")

    def update(self, view: NodeView, status: NodeStatus, carried_s: float | None, now_ms: int) -> None:
        link = status.link
        assert link is not None, "a node without an uplink is not shown"
        if view.health != self._health:
            self._badge.classes(add=f"lt-{view.health}", remove=f"lt-{self._health}")
            self._health = view.health
        self._word.set_text(HEALTH_WORDS[view.health])
        self._state.set_text(view.link.main)
        self._since.set_text(f"{view.link.sub}, {view.reason}" if link.connected else view.reason)
        self._sent.set_text(
            f"since its start {count_text(link.shipped_records)} records, {bytes_text(link.shipped_bytes)} sent in"
            f" {count_text(link.sessions)} session{'s' * (link.sessions != 1)}"
        )
        self._error.set_text(_error(status))
        self._lanes.update(lane_lines(status))
        if link.budget is not None:
            self._budget.update(budget_facts(link.budget, carried_s, now_ms))
        self._no_budget.set_visibility(link.budget is None)


def _error(status: NodeStatus) -> str:
    """What is wrong with the link, or was at last."""
    link = status.link
    if link is None or link.connected or not link.last_error:
        return ""
    return f"Last error, {event_time_text(link.since_ms)} UTC: {link.last_error}"
