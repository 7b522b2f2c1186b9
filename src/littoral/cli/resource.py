"""littoral resource."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json, print_table
from littoral.cli.targets import at_node
from littoral.node.operator_messages import ResourceEntry


@at_node
def list_resources(
    api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the desired state as the node holds it."""
    entries = api.get("/v1/resources", list[ResourceEntry])
    if as_json:
        print_json(entries)
    else:
        print_table(["KIND", "NAME", "REVISION"], [[entry.kind, entry.name, entry.revision] for entry in entries])
