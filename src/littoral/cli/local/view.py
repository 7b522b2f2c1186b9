"""The live view of `littoral up`: a table on a terminal, a line now and then elsewhere."""

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from littoral.cli.local.observer import NodeLine

LINK_STYLES = {"up": "green", "root": "", "cut": "bold red", "connecting": "yellow", "away": "yellow"}
COLUMNS = ("NODE", "WAN", "QUEUE", "OLDEST", "READINGS/S", "WINDOWS", "ALERTS")
PLAIN_EVERY_S = 10.0


class TreeView:
    """Shows the nodes. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._links: dict[str, str] = {}
        self._plain_at_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, lines: Sequence[NodeLine], note: str, now_s: float) -> None:
        """The nodes as they are now. note: one line below them."""
        if self._live is not None:
            self._live.update(_table(lines, note), refresh=True)
            return
        for line in lines:
            if self._links.get(line.node) != line.link:
                self._console.print(f"{line.node}: WAN {line.link}")
                self._links[line.node] = line.link
        if now_s >= self._plain_at_s:
            self._plain_at_s = now_s + PLAIN_EVERY_S
            self._console.print("; ".join(_plain(line) for line in lines) + f"; {note}")


def _table(lines: Sequence[NodeLine], note: str) -> Table:
    table = Table(box=None, header_style="bold", caption=note, caption_justify="left", padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("NODE", "WAN") else "right", no_wrap=True)
    for line in lines:
        is_long = line.oldest_s is not None and line.oldest_s >= 5
        style = "yellow" if is_long else ""
        table.add_row(
            line.node,
            Text(line.link, style=LINK_STYLES[line.link]),
            Text("" if line.link == "root" else f"{line.queue:,}", style=style),
            Text(_seconds(line.oldest_s), style=style),
            "" if line.readings_per_s is None else f"{line.readings_per_s:,.0f}",
            f"{line.windows:,}",
            f"{line.alerts:,}",
        )
    return table


def _plain(line: NodeLine) -> str:
    parts = [f"{line.node}: {line.windows} windows, {line.alerts} alerts"]
    if line.link != "root":
        parts.append(f"queue {line.queue}")
    if line.readings_per_s is not None:
        parts.append(f"{line.readings_per_s:.0f} readings/s")
    return ", ".join(parts)


def _seconds(age_s: float | None) -> str:
    if age_s is None:
        return ""
    return f"{age_s:.0f} s" if age_s < 120 else f"{age_s / 60:.0f} min"
