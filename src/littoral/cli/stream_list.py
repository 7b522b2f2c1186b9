"""littoral stream list."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json, print_table, size
from littoral.cli.streams import listed
from littoral.cli.targets import at_node


@at_node
def list_streams(
    api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the streams that the node holds: its own, and copies of others'."""
    entries = list(listed(api))
    if as_json:
        print_json(entries)
        return
    rows = [
        [each.name, each.lane, each.content_type, str(each.first), str(each.next), size(each.bytes),
         "closed" if each.closed else ""]
        for each in entries
    ]  # fmt: skip
    columns = ["STREAM", "LANE", "TYPE", "FIRST", "NEXT", "SIZE", ""]
    print_table(columns, rows, right=["FIRST", "NEXT", "SIZE"])
