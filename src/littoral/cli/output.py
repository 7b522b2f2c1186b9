"""How commands print: tables for people, JSON for programs, progress on stderr.

Without a terminal, or with NO_COLOR set, everything is plain text; tables are then as wide as what is in them.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

FILE_COLUMNS = 10_000
"""Width of what is no terminal: nothing is cut or wrapped there."""

Cell = str | Text


def print_json(value: object) -> None:
    """Print `value` as one indented JSON document."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Sequence[str] = (), spare: Sequence[str] = ()
) -> None:
    """Print a table. right: columns of numbers, which are never folded. spare: columns that are left out where no row has
    anything in them but a 0."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [place for place, column in enumerate(columns) if column not in spare or _says_anything(rows, place)]
    for column in (columns[place] for place in shown):
        number = column in right
        table.add_column(
            column.upper(),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number,
            # A heading is never folded.
            min_width=len(column),
        )
    for row in rows:
        table.add_row(*(row[place] for place in shown))
    console().print(table)


def _says_anything(rows: Sequence[Sequence[Cell]], place: int) -> bool:
    return any(str(row[place]) not in ("", "0") for row in rows)


def printable(text: str) -> str:
    """The text with an escape for whatever would move the cursor or change colours: it comes from anybody."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def cut(text: str, width: int) -> Text:
    """One line of at most so many columns, safe to print."""
    shown = Text(printable(text))
    shown.truncate(width, overflow="ellipsis")
    return shown


def console(*, stderr: bool = False) -> Console:
    """Where to print what is for people. Text is taken as it is: names and errors are no markup."""
    tty = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=None if tty else FILE_COLUMNS)


def progress() -> Progress:
    """A bar on stderr that goes away when it is done; nothing where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def age(since_ms: int | None, now_ms: int) -> str:
    """How long ago, in the largest unit that fits: "4m"; empty for None."""
    if since_ms is None:
        return ""
    return span((now_ms - since_ms) / 1000)


def span(seconds: float) -> str:
    """A length of time, in the largest unit that fits; less than none is none."""
    seconds = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def moment(at_ms: int) -> str:
    """A point in time, UTC, to the minute."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def rate(per_s: float) -> str:
    """How many in a second; a fraction only where it matters."""
    return f"{per_s:,.0f}/s" if per_s >= 9.95 or per_s == 0 else f"{per_s:.1f}/s"


def size(count: int) -> str:
    """Bytes for people: "1.5 MiB"."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
