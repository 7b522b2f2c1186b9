"""littoral queue: what waits for the consumers of apps."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, cut, moment, print_json, print_table, size
from littoral.cli.targets import at_node
from littoral.node.event_api import PEEK_COUNT, QUEUES, Purged
from littoral.node.queue_desk import PEEKED_MOST, PeekedMessage, QueueStatus

TEXT_COLUMNS = 60
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The queue.", metavar="QUEUE")]


@at_node
def list_queues(api: ApiClient, *, as_json: AsJson = False) -> None:
    """List the queues of a node: what is in them, who gets it, and what became of it since the hub started."""
    statuses = api.get(QUEUES, list[QueueStatus])
    if as_json:
        print_json(statuses)
        return
    figures = ["MESSAGES", "TAKEN", "SIZE", "DONE", "RETRIED", "DEAD"]
    rows: list[list[Cell]] = [
        [
            each.queue,
            each.consumer or "none here",
            *(f"{number:,}" for number in (each.messages, each.taken)),
            size(each.bytes),
            *(f"{number:,}" for number in (each.done, each.retried, each.dead)),
            cut(each.problem, TEXT_COLUMNS),
        ]
        for each in statuses
    ]
    print_table(["QUEUE", "CONSUMER", *figures, "PROBLEM"], rows, right=figures)


@at_node
def peek(
    api: ApiClient,
    queue: Name,
    *,
    count: Annotated[int, typer.Option(min=1, max=PEEKED_MOST, help="How many.")] = PEEK_COUNT,
    as_json: AsJson = False,
) -> None:
    """Show the oldest messages of a queue that are not done. They stay as they are."""
    found = api.get(f"{QUEUES}/{queue}/peek", list[PeekedMessage], {"count": str(count)})
    if as_json:
        print_json(found)
        return
    rows: list[list[Cell]] = [
        [
            each.id,
            moment(each.sent_ms),
            str(each.attempts),
            moment(each.due_ms) if each.due_ms else "",
            each.content_type,
            size(each.size),
            cut(each.head, TEXT_COLUMNS),
        ]
        for each in found
    ]
    print_table(["ID", "SENT", "ATTEMPTS", "NOT BEFORE", "TYPE", "SIZE", "BEGINS"], rows, right=("ATTEMPTS", "SIZE"))


@at_node
def purge(
    api: ApiClient,
    queue: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Remove all messages of a queue, for good."""
    if not yes:
        typer.confirm(f"Remove all messages of queue {queue}?", abort=True)
    purged = api.post(f"{QUEUES}/{queue}/purge", b"", "application/json", Purged)
    print(f"{purged.messages:,} messages removed")
