"""littoral blob list, drop."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import moment, print_json, print_table, size
from littoral.cli.targets import at_node
from littoral.node.blob_messages import PATH, BlobEntry, BlobPage


@at_node
def list_blobs(
    api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON: an array of blobs.")] = False
) -> None:
    """List the blobs of a node, and how far those have come that are on their way.

    STATE: coming; here, and nowhere else as far as the node knows; sending, to the parent; above, when the parent has it
    too; refused by the parent, and in the dead letters.
    """
    blobs: list[BlobEntry] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(PATH, BlobPage, {"cursor": cursor})
        blobs += page.blobs
        cursor = page.cursor
    if as_json:
        print_json(blobs)
    elif blobs:
        rows = [[each.digest, size(each.size), _state(each), moment(each.used_ms)] for each in blobs]
        print_table(("DIGEST", "SIZE", "STATE", "USED"), rows, right=("SIZE",))


@at_node
def drop(api: ApiClient, digest: Annotated[str, typer.Argument(help="As `littoral blob list` shows it.")]) -> None:
    """Remove a blob from a node, or what has come of it. Other nodes keep it."""
    api.call("DELETE", f"{PATH}/{digest}")


def _state(entry: BlobEntry) -> str:
    if entry.state != "coming":
        return entry.state
    return f"{entry.state}, {size(entry.have)} of it"
