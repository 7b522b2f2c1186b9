"""littoral top."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from littoral.cli.client import ApiClient
from littoral.cli.output import console, cut, print_json, printable, rate, size
from littoral.cli.targets import at_node
from littoral.node.app_messages import PATH, AppEntry
from littoral.node.app_rates import AppRates, between

NAME_COLUMNS = 40
NOT_KNOWN = "-"
COLUMNS = ("APP", "REQ/S", "P50", "P95", "P99", "ERR/S", "CPU", "MEMORY", "WORKERS", "COLD", "STATE")


class AppLine(msgspec.Struct, frozen=True):
    """One app, as `littoral top` shows it."""

    app: str
    revision: str
    """The one that runs; empty where none does."""
    rates: AppRates | None
    """Over the interval; None where they are not known yet."""
    calls: int
    """Since the node counts, as are the next two."""
    errors: dict[str, int]
    cold_starts: int
    workers: int
    starting: int
    memory_bytes: int | None
    problem: str


@at_node
def top(
    api: ApiClient,
    *,
    interval: Annotated[float, typer.Option(min=1.0, max=60.0, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One table, and no more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; without --once one document a line.")] = False,
) -> None:
    """Show what the apps of a node are doing: calls a second and how long they took, errors, processor, memory, workers, and
    starts that calls waited for. The busiest first; until Ctrl-C.

    A call is a request or an event. How long it took is until the answer began, by the buckets of the node's histogram.
    """
    looks = _looks(api, interval)
    if once:
        lines = next(looks)
        if as_json:
            print_json(lines)
        else:
            console().print(_table(lines))
        return
    if as_json or not console().is_terminal:
        for lines in looks:
            if as_json:
                print(msgspec.json.encode(lines).decode(), flush=True)
            else:
                console().print(_table(lines))
        return
    with Live(console=console(), auto_refresh=False) as live:
        for lines in looks:
            live.update(Group(_table(lines), Text(f"every {interval:g} s; Ctrl-C ends it", style="dim")), refresh=True)


def _looks(api: ApiClient, interval_s: float) -> Iterator[list[AppLine]]:
    """The apps, at every interval."""
    before = _placed(api)
    while True:
        time.sleep(interval_s)
        now = _placed(api)
        yield sorted_lines(before, now)
        before = now


def _placed(api: ApiClient) -> dict[str, AppEntry]:
    return {each.name: each for each in api.get(PATH, list[AppEntry]) if each.here is not None}


def sorted_lines(before: Mapping[str, AppEntry], now: Mapping[str, AppEntry]) -> list[AppLine]:
    """The apps of two looks, the one that is asked most first."""
    lines = [_line(before.get(name), each) for name, each in now.items()]
    return sorted(lines, key=lambda line: (-(line.rates.calls_s if line.rates else 0.0), -line.calls, line.app))


def _line(before: AppEntry | None, now: AppEntry) -> AppLine:
    assert now.here is not None, now.name
    figures = now.figures
    total = figures.total() if figures is not None else None
    earlier = before.figures if before is not None else None
    return AppLine(
        app=now.name,
        revision=now.here.running,
        rates=between(earlier, figures) if earlier is not None and figures is not None else None,
        calls=total.calls if total is not None else 0,
        errors=dict[str, int](total.errors.items()) if total is not None else {},
        cold_starts=figures.cold if figures is not None else 0,
        workers=now.here.workers,
        starting=figures.starting if figures is not None else 0,
        memory_bytes=figures.memory_bytes if figures is not None else None,
        problem=now.here.problem,
    )


def _table(lines: Sequence[AppLine]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        is_text = column in ("APP", "STATE")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=column != "STATE", overflow="fold")
    for line in lines:
        rates, wall = line.rates, line.rates.wall_ms if line.rates else None
        fails = rates is not None and rates.errors_s > 0
        table.add_row(
            cut(line.app, NAME_COLUMNS),
            rate(rates.calls_s) if rates else NOT_KNOWN,
            *([milliseconds(each) for each in (wall.p50, wall.p95, wall.p99)] if wall else [NOT_KNOWN] * 3),
            Text(rate(rates.errors_s) if rates else NOT_KNOWN, style="bold red" if fails else ""),
            f"{100 * rates.cpu_share:.1f} %" if rates else NOT_KNOWN,
            size(line.memory_bytes) if line.memory_bytes is not None else NOT_KNOWN,
            f"{line.workers}+{line.starting}" if line.starting else str(line.workers),
            f"{line.cold_starts:,}",
            Text(printable(line.problem), style="red") if line.problem else "runs" if line.workers else "idle",
        )
    if not lines:
        table.add_row("no app is placed at this node")
    return table


def milliseconds(amount: float) -> str:
    """A short time, with as many digits as mean something."""
    if amount >= 1000:
        return f"{amount / 1000:.1f} s"
    return f"{amount:.0f} ms" if amount >= 10 else f"{amount:.1f} ms"
