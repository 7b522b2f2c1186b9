"""Apps in words: how much they are asked, how long they take, what fails, and what they take themselves."""

from collections.abc import Mapping, Sequence

from littoral.dashboard.cells import Cell, Line
from littoral.dashboard.texts import NONE, bytes_text, count_text, cut_text, event_time_text, rate_text
from littoral.functions.meters import FunctionMeter
from littoral.node.app_messages import AppEntry, AppFigures, RaisedGroup
from littoral.node.app_rates import AppRates, quantiles_ms
from littoral.node.status import NodeStatus

PROBLEM_CHARACTERS = 240
MESSAGE_CHARACTERS = 240


def milliseconds_text(amount: float) -> str:
    """A short time, with as many digits as mean something."""
    if amount >= 1000:
        return f"{amount / 1000:.1f} s"
    return f"{amount:.0f} ms" if amount >= 10 else f"{amount:.1f} ms"


def node_cells(status: NodeStatus) -> tuple[Cell, ...]:
    """A node with apps."""
    ill = sum(bool(app.problem) for app in status.apps.values())
    return (
        Cell(count_text(len(status.apps)), f"{ill} with a problem" if ill else "", "bad" if ill else ""),
        Cell(count_text(sum(app.workers for app in status.apps.values()))),
    )


def busiest_first(entries: Sequence[AppEntry], recently: Mapping[str, AppRates]) -> list[AppEntry]:
    """As a table has them."""

    def order(entry: AppEntry) -> tuple[float, int, str]:
        rates = recently.get(entry.name)
        calls = entry.figures.total().calls if entry.figures is not None else 0
        return -(rates.calls_s if rates is not None else 0.0), -calls, entry.name

    return sorted(entries, key=order)


def totals(entries: Sequence[AppEntry], recently: Mapping[str, AppRates]) -> dict[str, Cell]:
    """All apps of a node together."""
    figures = [each.figures for each in entries if each.figures is not None]
    together = FunctionMeter()
    for each in figures:
        together.add(each.total())
    known = bool(recently)
    rates = recently.values()
    memory = [each.memory_bytes for each in figures if each.memory_bytes is not None]
    workers = sum(each.workers for each in figures)
    return {
        "Calls/s": Cell(
            rate_text(sum(each.calls_s for each in rates) if known else None), f"{count_text(together.calls)} in all"
        ),
        "Errors/s": Cell(
            rate_text(sum(each.errors_s for each in rates) if known else None),
            f"{count_text(sum(together.errors.values()))} in all",
        ),
        "CPU": Cell(_cpu(sum(each.cpu_share for each in rates)) if known else NONE, "of one processor"),
        "Memory": Cell(bytes_text(sum(memory)) if memory else NONE, "of all workers"),
        "Workers": Cell(count_text(workers), f"for {count_text(len(entries))} app{'s' * (len(entries) != 1)}"),
        "Cold starts": Cell(count_text(sum(each.cold for each in figures)), "that calls waited for"),
    }


def app_line(entry: AppEntry, rates: AppRates | None, *, is_picked: bool) -> Line:
    """One app."""
    figures = entry.figures
    assert entry.here is not None, entry.name
    total = figures.total() if figures is not None else FunctionMeter()
    name = Cell(entry.name, entry.here.running or "has not started", "" if entry.here.running else "bad")
    return Line(
        entry.name,
        (
            Cell(name.main, f"{name.sub}, shown below" if is_picked else name.sub, name.tone),
            Cell(rate_text(rates.calls_s if rates else None), f"{count_text(total.calls)} in all"),
            _times(rates, total),
            _errors(rates, total),
            Cell(_cpu(rates.cpu_share) if rates else NONE, _cpu_each(total)),
            _memory(figures),
            _cold(figures, total),
            _state(entry),
        ),
    )


def _times(rates: AppRates | None, total: FunctionMeter) -> Cell:
    """Now; or else as far back as it is counted, said to be."""
    wall = rates.wall_ms if rates is not None else None
    note = ""
    if wall is None:
        wall, note = quantiles_ms(total.wall), " in all"
    if wall is None:
        return Cell(NONE)
    return Cell(
        f"{milliseconds_text(wall.p50)}{note}", f"{milliseconds_text(wall.p95)} · {milliseconds_text(wall.p99)}"
    )


def _errors(rates: AppRates | None, total: FunctionMeter) -> Cell:
    kinds = sorted(total.errors.items(), key=lambda each: (-each[1], each[0]))
    said = ", ".join(f"{count_text(count)} × {why}" for why, count in kinds[:3])
    now = rates.errors_s if rates is not None else None
    return Cell(rate_text(now), said, "bad" if now else "")


def _cpu(share: float) -> str:
    return f"{100 * share:.1f} %"


def _cpu_each(total: FunctionMeter) -> str:
    answered = sum(total.cpu)
    return f"{milliseconds_text(total.cpu_us / answered / 1000)} a call" if answered else ""


def _memory(figures: AppFigures | None) -> Cell:
    if figures is None:
        return Cell(NONE)
    coming = f" + {figures.starting} starting" if figures.starting else ""
    workers = f"{figures.workers} worker{'s' * (figures.workers != 1)}{coming}"
    return Cell(NONE if figures.memory_bytes is None else bytes_text(figures.memory_bytes), workers)


def _cold(figures: AppFigures | None, total: FunctionMeter) -> Cell:
    waited = f"waited {milliseconds_text(total.waited_us / total.waited / 1000)}" if total.waited else ""
    return Cell(count_text(figures.cold if figures is not None else 0), waited)


def _state(entry: AppEntry) -> Cell:
    here = entry.here
    assert here is not None, entry.name
    if here.problem:
        return Cell("problem", cut_text(here.problem, PROBLEM_CHARACTERS), "bad")
    if here.running != here.revision:
        return Cell("starting", here.progress or f"revision {here.revision}", "warn")
    return Cell("runs" if here.workers else "idle", "", "ok")


def exception_line(group: RaisedGroup, now_text: str, *, is_picked: bool) -> Line:
    """Exceptions of one kind. now_text: how long ago the last was."""
    said = cut_text(group.message, MESSAGE_CHARACTERS)
    return Line(
        exception_name(group),
        (
            Cell(group.type, f"{said} (shown below)" if is_picked else said),
            Cell(group.place or NONE, f"revision {group.revision}"),
            Cell(count_text(group.count)),
            Cell(now_text, f"first {event_time_text(group.first_ms)}"),
        ),
    )


def exception_name(group: RaisedGroup) -> str:
    """Of its line in a table."""
    return f"{group.type}\n{group.place}\n{group.revision}"
