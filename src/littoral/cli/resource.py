"""littoral resource."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json, print_table
from littoral.cli.targets import at_node
from littoral.core.errors import InvalidInput, NotFound
from littoral.fleet.desired import KINDS, withdrawal
from littoral.node.operator_messages import Applied, ResourceEntry


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


@at_node
def delete(
    api: ApiClient,
    resources: Annotated[list[str], typer.Argument(metavar="KIND/NAME", help="As in App/shop.")],
) -> None:
    """Take resources out of the desired state: all of them, or none. Asks the root; nodes end what they run of them.

    What they have stored (keys, queues, streams) stays.
    """
    withdraw(api, [_named(each) for each in resources])


def withdraw(api: ApiClient, resources: Sequence[tuple[str, str]]) -> None:
    """Take resources, by kind and name, out of the desired state, and print each. Raises NotFound where one is not there, and then takes
    out none."""
    there = {(entry.kind, entry.name) for entry in api.get("/v1/resources", list[ResourceEntry])}
    for kind, name in resources:
        if (kind, name) not in there:
            remedy = "`littoral resource list` shows what there is"
            raise NotFound("delete", f"{kind}/{name}"[:160], "the desired state has none of that name", remedy)
    records = [withdrawal(kind, name) for kind, name in resources]
    api.post("/v1/resources", msgspec.msgpack.encode(records), "application/msgpack", Applied)
    for kind, name in resources:
        print(f"{kind} {name}: deleted")


def _named(written: str) -> tuple[str, str]:
    kind, slash, name = written.partition("/")
    if not slash or kind not in KINDS:
        found = f"of the form KIND/NAME, with one of the kinds {', '.join(KINDS)}"
        raise InvalidInput("delete", written[:160], f"it is not {found}", "Write, for example, App/shop")
    return kind, name
