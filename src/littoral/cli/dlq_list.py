"""littoral dlq list."""

import sys
from typing import Annotated

import typer
from rich.cells import cell_len

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, age, console, cut, print_json, print_table, size
from littoral.cli.targets import at_node
from littoral.node.letter_messages import PATH, LetterEntry, LetterPage

COLUMNS = ("OFFSET", "AGE", "SIZE", "SOURCE", "REASON")
BETWEEN = 2
"""Columns between two of a table."""

SourceOption = Annotated[str, typer.Option(metavar="TEXT", help="Only letters whose source contains it.")]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Only letters whose reason contains it.")]


@at_node
def list_letters(
    api: ApiClient,
    source: SourceOption = "",
    reason: ReasonOption = "",
    after: Annotated[int, typer.Option("--from", min=0, help="Offset to begin at.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the dead letters of a node that are open, the oldest first: what could not be applied, and why.

    On a terminal, sources and reasons are cut to its width; `littoral dlq show OFFSET` has them whole.
    """
    letters: list[LetterEntry] = []
    following: int | None = after
    now_ms = 0
    while following is not None and len(letters) < limit:
        query = {"after": str(following), "limit": str(limit - len(letters)), "source": source, "reason": reason}
        page = api.get(PATH, LetterPage, query)
        letters += page.letters
        following, now_ms = page.next, page.now_ms
    if as_json:
        print_json(letters)
    elif letters:
        _print(letters, now_ms)
    if following is not None:
        print(f"There may be more: --from {following}", file=sys.stderr)


def _print(letters: list[LetterEntry], now_ms: int) -> None:
    numbers = [
        [str(each.offset), age(each.at_ms, now_ms), size(each.size) if each.size is not None else ""]
        for each in letters
    ]
    widths = [max(cell_len(text) for text in (head, *texts)) for head, *texts in zip(COLUMNS, *numbers, strict=False)]
    left = console().width - sum(widths) - len(COLUMNS[1:]) * BETWEEN
    sources = [cut(each.source, max(len("SOURCE"), left // 2)) for each in letters]
    used = max(len("SOURCE"), *(text.cell_len for text in sources))
    rows: list[list[Cell]] = [
        [*texts, source, cut(_cause(each.reason), max(len("REASON"), left - used))]
        for texts, source, each in zip(numbers, sources, letters, strict=True)
    ]
    print_table(COLUMNS, rows, right=COLUMNS[:3])


def _cause(reason: str) -> str:
    """Without what could not be done, or which rule it was: the line is short, and `show` says it."""
    what, found, cause = reason.partition(": ")
    return cause if found and what.startswith(("cannot ", "rule ")) else reason
