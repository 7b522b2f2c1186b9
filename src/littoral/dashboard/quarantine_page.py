"""What was put aside, what is held back, and what was not taken over: all that waits for a person to decide."""

from nicegui import ui

from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.pager import Pager
from littoral.dashboard.quarantine_cells import aside_line, blocked_lines, not_taken_lines, restored_lines
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import count_text

POLL_S = 3.0
LINES = 25
BLOCKED_MOST = 100
"""Lines of each other table; how many there are stands above."""


class QuarantinePage:
    """One browser's view."""

    def __init__(self, shell: Shell, hub: HubApi) -> None:
        self._shell = shell
        self._hub = hub
        with shell.body:
            self._make_aside()
            self._make_blocked()
            with ui.element("div").classes("lt-columns lt-halves"):
                self._make_not_taken()
                self._make_restored()
        self.update()
        ui.timer(UPDATE_S, self.update)
        ui.timer(POLL_S, self.refresh)

    def _make_aside(self) -> None:
        with card("Put aside"):
            self._aside = Table(
                "Streams put aside",
                (
                    Column("Stream"),
                    Column("Records", is_number=True),
                    Column("Bytes", is_number=True),
                    Column("Oldest"),
                ),
                widths="minmax(0, 1fr) auto auto minmax(90px, auto)",
                empty="Nothing was put aside.",
                hint="Here is what a restored node wrote in place of records that its parent has (quarantine/), and copies"
                " of streams that their origin deleted and made anew (former/).",
            )
            self._pager = Pager("streams", LINES, self.refresh)

    def _make_blocked(self) -> None:
        with card("Held back") as head:
            with head:
                self._blocked_count = ui.label().classes("lt-sub")
            self._blocked = Table(
                "Streams held back",
                (Column("Stream"), Column("Reason, and what to do", is_wide=True)),
                widths="minmax(0, 1fr) minmax(0, 2fr)",
                empty="All streams go up.",
                hint="A stream that a parent cannot take over is kept at its node and not sent; the others go on.",
            )

    def _make_not_taken(self) -> None:
        with card("Batches not taken over"):
            self._not_taken = Table(
                "Batches not taken over",
                (Column("At"), Column("Cause", is_wide=True), Column("Batches", is_number=True)),
                widths="auto minmax(0, 1fr) auto",
                empty="All batches were taken over.",
                hint="Counted at each node since its hub started.",
            )

    def _make_restored(self) -> None:
        with card("Restored stores"):
            self._restored = Table(
                "Restored stores",
                (Column("Node"), Column("Set back to a backup", is_wide=True)),
                widths="minmax(0, 1fr) auto",
                empty="No store was set back to a backup.",
                hint="As far back as each store remembers.",
            )

    def update(self) -> None:
        """Show what the nodes say of themselves."""
        statuses = list(self._shell.picture.nodes.values())
        blocked = blocked_lines(statuses)
        self._blocked_count.set_text(f"{count_text(len(blocked))} streams" if len(blocked) > BLOCKED_MOST else "")
        self._blocked.update(blocked[:BLOCKED_MOST])
        self._not_taken.update(not_taken_lines(statuses)[:BLOCKED_MOST])
        self._restored.update(restored_lines(statuses)[:BLOCKED_MOST])

    async def refresh(self) -> None:
        """Ask the hub for the streams that were put aside."""
        query = {"kind": "aside", "skip": str(self._pager.skip), "limit": str(LINES)}
        page = await self._shell.ask(self._hub.streams(**query))
        if page is not None:
            self._aside.update([aside_line(row, page.now_ms) for row in page.streams])
            self._pager.update(len(page.streams), page.found)
