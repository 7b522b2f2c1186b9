"""littoral dlq retry, and drop."""

import sys
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.dlq_list import ReasonOption, SourceOption
from littoral.cli.output import print_json, printable, progress
from littoral.cli.targets import at_node
from littoral.node.letter_messages import PATH, Act, Failure, Outcome, Step

FAILURES_SHOWN = 20
FAILED = 1
CONTENT_TYPE = "application/json"

Offset = Annotated[int | None, typer.Argument(min=0, metavar="[OFFSET]", help="The letter, by the offset in the list.")]
All = Annotated[bool, typer.Option("--all", help="All letters that are open now, as far as --source and --reason go.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Done(msgspec.Struct, frozen=True):
    """What --json prints of many."""

    done: int
    failed: list[Failure]


@at_node
def retry(
    api: ApiClient,
    offset: Offset = None,
    source: SourceOption = "",
    reason: ReasonOption = "",
    *,
    every: All = False,
    as_json: AsJson = False,
) -> None:
    """Apply a dead letter again, or many, as it would have been applied at first.

    One that fails stays open, and the answer says why. Exit code 1 if any did.
    """
    _act(api, "retry", offset, {"source": source, "reason": reason}, every=every, as_json=as_json)


@at_node
def drop(
    api: ApiClient,
    offset: Offset = None,
    source: SourceOption = "",
    reason: ReasonOption = "",
    *,
    every: All = False,
    as_json: AsJson = False,
) -> None:
    """Be done with a dead letter, or many, without applying it.

    It is listed no more; the stream `dead-letters` keeps it until retention takes it.
    """
    _act(api, "drop", offset, {"source": source, "reason": reason}, every=every, as_json=as_json)


def _act(api: ApiClient, act: Act, offset: int | None, wanted: dict[str, str], *, every: bool, as_json: bool) -> None:
    if every == (offset is not None):
        raise typer.BadParameter("name one letter by its OFFSET, or give --all")
    if offset is None:
        _act_on_many(api, act, wanted, as_json=as_json)
        return
    if any(wanted.values()):
        raise typer.BadParameter("--source and --reason go with --all")
    outcome = api.post(f"{PATH}/{offset}/{act}", b"", CONTENT_TYPE, Outcome)
    if as_json:
        print_json(outcome)
    else:
        print(f"{offset}: {outcome.outcome}")


def _act_on_many(api: ApiClient, act: Act, wanted: dict[str, str], *, as_json: bool) -> None:
    done = 0
    failed: list[Failure] = []
    query = wanted
    with progress() as bar:
        task = bar.add_task(act, total=None)
        while True:
            step = api.post(f"{PATH}/{act}", b"", CONTENT_TYPE, Step, query)
            done += step.done
            failed += step.failed
            if step.next is None:
                break
            bar.update(task, total=step.until, completed=step.next)
            query = {**wanted, "after": str(step.next), "until": str(step.until)}
    if as_json:
        print_json(Done(done, failed))
    else:
        _tell(act, done, failed)
    if failed:
        raise typer.Exit(FAILED)


def _tell(act: Act, done: int, failed: list[Failure]) -> None:
    verb = "retried" if act == "retry" else "dropped"
    print(f"{verb} {done}, {len(failed)} stay open" if failed else f"{verb} {done}")
    for failure in failed[:FAILURES_SHOWN]:
        print(f"{failure.offset}: {printable(failure.reason)}", file=sys.stderr)
    if len(failed) > FAILURES_SHOWN:
        print(f"... and {len(failed) - FAILURES_SHOWN} more; --json names all", file=sys.stderr)
