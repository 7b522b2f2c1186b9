"""littoral logs."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import console, printable
from littoral.cli.targets import at_node
from littoral.core.limits import LONG_POLL_S
from littoral.node.app_logs import LogLine, LogPage
from littoral.node.app_messages import PATH


@at_node
def logs(
    api: ApiClient,
    name: Annotated[str, typer.Argument(metavar="APP", help="The app.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="How many of what was before.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Show what the workers of an app wrote at a node: output, logging, and exceptions with their tracebacks.

    Where the node keeps an access log, its requests are shown as they come. Each line has the id of the request that it is about, where it says so. A node keeps the last ones, until its hub starts anew.
    """
    path = f"{PATH}/{name}/logs"
    page = api.get(path, LogPage, {"last": str(lines)})
    _show(page.lines, as_json=as_json)
    while follow:
        since_ms = page.since_ms
        page = api.get(path, LogPage, {"after": str(page.next), "wait": str(LONG_POLL_S.default)})
        if page.since_ms != since_ms:
            # The hub has started anew, and counts from nothing.
            page = api.get(path, LogPage, {"after": "0"})
        _show(page.lines, as_json=as_json)


def _show(lines: list[LogLine], *, as_json: bool) -> None:
    for line in lines:
        if as_json:
            print(msgspec.json.encode(line).decode(), flush=True)
            continue
        at = datetime.fromtimestamp(line.at_ms / 1000, tz=UTC).strftime("%H:%M:%S")
        about = f"[{line.request_id}] " if line.request_id else ""
        console().print(
            f"{at} {'-' if line.worker is None else line.worker} {about}{printable(line.text)}", soft_wrap=True
        )
