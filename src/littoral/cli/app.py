"""littoral app."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, console, cut, moment, print_json, print_table, printable, size
from littoral.cli.resource import withdraw
from littoral.cli.targets import at_node
from littoral.core.resources import App
from littoral.node.app_messages import PATH, AppEntry, ExceptionPage, RevisionEntry
from littoral.node.status import AppStatus, NodeStatus

MESSAGE_COLUMNS = 100
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@at_node
def list_apps(api: ApiClient, *, as_json: Json = False) -> None:
    """List the apps of the tree, and how they are at the node that is asked and at those below it, by their last reports."""
    apps = api.get(PATH, list[AppEntry])
    if as_json:
        print_json(apps)
        return
    nodes = api.get("/v1/nodes", list[NodeStatus])
    rows = []
    for app in apps:
        placed = [(each.node, each.apps[app.name]) for each in nodes if app.name in each.apps]
        rows += [[app.name, app.revision, node, str(here.workers), _state(app, here)] for node, here in placed]
        if not placed:
            rows.append([app.name, app.revision, "", "", "runs nowhere that has reported"])
    print_table(["APP", "REVISION", "NODE", "WORKERS", "STATE"], rows, right=["WORKERS"])


@at_node
def list_revisions(
    api: ApiClient,
    name: Annotated[str, typer.Argument(metavar="APP", help="The app.")],
    *,
    as_json: Json = False,
) -> None:
    """List the revisions of an app that can be gone back to, the newest first. Asks the root."""
    found = api.get(f"{PATH}/{name}/revisions", list[RevisionEntry])
    if as_json:
        print_json(found)
        return
    rows = [
        [each.revision, moment(each.applied_ms), size(each.code_bytes), "desired" if each.is_desired else ""]
        for each in found
    ]
    print_table(["REVISION", "APPLIED", "CODE", ""], rows, right=["CODE"])


@at_node
def show_errors(
    api: ApiClient,
    name: Annotated[str, typer.Argument(metavar="APP", help="The app.")],
    *,
    traces: Annotated[bool, typer.Option("--traces", help="Show a traceback of each kind, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the code of an app raised at a node, by kind, place and revision: the one that came last first.

    A node counts since its hub started, and keeps one example of each kind; `littoral logs` has what its workers wrote.
    """
    page = api.get(f"{PATH}/{name}/errors", ExceptionPage)
    if as_json:
        print_json(page)
        return
    if not page.groups:
        print(f"nothing was raised since {moment(page.since_ms)}")
        return
    rows: list[list[Cell]] = [
        [
            f"{each.count:,}",
            moment(each.last_ms),
            each.revision,
            printable(each.place),
            cut(f"{each.type}: {each.message}", MESSAGE_COLUMNS),
        ]
        for each in page.groups
    ]
    print_table(["COUNT", "LAST", "REVISION", "PLACE", "EXCEPTION"], rows, right=["COUNT"])
    if page.forgotten:
        print(f"and {page.forgotten:,} of kinds that had to leave for these")
    for each in page.groups if traces else ():
        about = f"request {each.request_id}" if each.request_id else "no request"
        text = "\n".join(f"  {printable(line)}" for line in each.trace.splitlines())
        console().print(f"\n{printable(each.subject)} ({about}):\n{text}", soft_wrap=True)


@at_node
def delete(api: ApiClient, names: Annotated[list[str], typer.Argument(metavar="APP", help="The apps.")]) -> None:
    """Have no node run these apps any more. Asks the root; requests under way end.

    Their revisions and what tells of them go with them; namespaces, queues and streams that they used stay.
    """
    withdraw(api, [(App.__name__, name) for name in names])


def _state(app: AppEntry, here: AppStatus) -> str:
    if here.revision != app.revision:
        return f"still {here.revision}"
    if here.running == app.revision:
        return "running"
    what = here.problem or here.progress or "starting"
    return printable(f"{what}; {here.running} runs" if here.running else what)
