"""littoral trace: what becomes of a request, step by step."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, console, print_json, print_table, printable, size
from littoral.cli.targets import at_node
from littoral.gateway.tracing import TraceReport, TraceStep
from littoral.node.trace_desk import PATH, Trace, TraceCall

BAR_COLUMNS_LEAST, BAR_COLUMNS_MOST = 10, 48
"""Of the waterfall, in a narrow terminal and in a wide one, or in none."""
OTHER_COLUMNS = 34
"""Of a line of the waterfall, besides the step's name and the bar."""
WHOLE = "request"


@at_node
def trace(
    api: ApiClient,
    address: Annotated[str, typer.Argument(help="The URL, as a client would ask for it.", metavar="URL")],
    *,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header field to send.", metavar="'NAME: VALUE'")
    ] = None,
    method: Annotated[str, typer.Option(help="Of the request, which has no body.")] = "GET",
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the origin, whatever is stored.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Have a gateway of a node make a request, and show what it does: each step, when it begins and how long it takes.

    The request is a real one: it reaches the origin or the app if the cache does not answer it, it is counted, and what comes
    of it is stored. The body of the answer is thrown away.
    """
    call = TraceCall(address, method, [_field(text) for text in header or []], refresh)
    found = api.post(PATH, msgspec.json.encode(call), "application/json", Trace)
    if as_json:
        print_json(found)
    else:
        show(found)


def show(found: Trace) -> None:
    """For people."""
    print_table(["", ""], list(_facts(found)))
    console().print()
    _print_waterfall(found.report)
    causes = dict.fromkeys(step.failure for step in found.report.steps)
    for cause in (each for each in causes if each not in ("", found.report.failure)):
        console().print(Text(f"failed: {printable(cause)}", style="red"))


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise typer.BadParameter(f"{text!r} is no header field; write 'NAME: VALUE'")
    return name.strip(), value.strip()


def _facts(found: Trace) -> Iterator[list[Cell]]:
    asked, report = found.asked, found.report
    yield ["request", printable(f"{asked.method} {asked.host} {asked.target}")]
    answered = f"{report.status}, {size(report.bytes)} in {_ms(report.duration_ms)}" if report.status else "none"
    yield ["answer", Text(answered, style="red" if not report.status or report.status >= 500 else "")]
    if report.failure:
        yield ["", Text(printable(report.failure), style="red")]
    if report.route:
        yield ["route", f"{report.route}, to {asked.leads_to}"]
    if report.cache:
        yield ["cache", f"{report.cache} ({printable(report.cache_status)})"]
    if asked.cache_key:
        yield ["cache key", printable(asked.cache_key)]
    if report.origin:
        yield ["origin", f"{report.origin}, {report.tries} {'try' if report.tries == 1 else 'tries'}"]
    yield ["gateway", f"{report.gateway}, request {report.request_id}"]


def _print_waterfall(report: TraceReport) -> None:
    whole = TraceStep(WHOLE, "", 0, 0.0, report.duration_ms, report.status)
    steps = [whole, *(msgspec.structs.replace(each, depth=each.depth + 1) for each in report.steps)]
    names = [f"{'  ' * step.depth}{step.name} {step.detail}".rstrip() for step in steps]
    free = console().width - OTHER_COLUMNS - max(map(len, names))
    columns = min(max(free, BAR_COLUMNS_LEAST), BAR_COLUMNS_MOST)
    rows: list[list[Cell]] = [
        [
            printable(name),
            "" if step.began_ms is None else _ms(step.began_ms),
            "" if step.length_ms is None else _ms(step.length_ms),
            _bar(step, report.duration_ms, columns),
            Text("failed", style="red") if step.failure else str(step.status or ""),
        ]
        for name, step in zip(names, steps, strict=True)
    ]
    print_table(["STEP", "BEGINS", "TAKES", "", "ANSWER"], rows, right=("BEGINS", "TAKES"))


def _bar(step: TraceStep, whole_ms: float, columns: int) -> Text:
    """Where it lies in the whole."""
    if step.began_ms is None:
        return Text("")
    per_column_ms = max(whole_ms, 0.001) / columns
    first = min(int(step.began_ms / per_column_ms), columns - 1)
    length_ms = whole_ms - step.began_ms if step.length_ms is None else step.length_ms
    length = min(max(round(length_ms / per_column_ms), 1), columns - first)
    return Text(" " * first + "━" * length, style="red" if step.failure else "cyan")


def _ms(duration_ms: float) -> str:
    return f"{duration_ms:.1f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.2f} s"
