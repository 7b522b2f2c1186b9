"""littoral cron: what runs on a schedule."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, cut, moment, print_json, print_table
from littoral.cli.targets import at_node
from littoral.node.cron import CronStatus
from littoral.node.event_api import CRONS

ERROR_COLUMNS = 60


@at_node
def list_crons(api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the cron triggers of a node's apps: when each is due next, and how its last run ended."""
    statuses = api.get(CRONS, list[CronStatus])
    if as_json:
        print_json(statuses)
        return
    rows: list[list[Cell]] = [
        [
            each.app,
            each.cron,
            _time(each.next_ms),
            _time(each.last_ms),
            each.outcome or "",
            str(each.done),
            str(each.failed),
            cut(each.error, ERROR_COLUMNS),
        ]
        for each in statuses
    ]
    header = ["APP", "CRON", "NEXT", "LAST", "OUTCOME", "DONE", "FAILED", "ERROR"]
    print_table(header, rows, right=("DONE", "FAILED"))


def _time(moment_ms: int | None) -> str:
    return "" if moment_ms is None else moment(moment_ms)
