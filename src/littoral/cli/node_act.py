"""littoral node command, littoral node expel."""

from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json
from littoral.cli.targets import at_node
from littoral.core.names import check_node_name
from littoral.wire.inbox import NODES_PATH

Name = Annotated[str, typer.Argument(metavar="NODE", help="The node that is asked, or one below it.")]


@at_node
def command(
    api: ApiClient, name: Name, command: Annotated[str, typer.Argument(help="diagnose, greet, or reload.")]
) -> None:
    """Give a node a command, and print its answer as JSON.

    diagnose: its status, the limits that are not the defaults or were reached, and its last warnings.
    greet: it begins the session with its parent anew.

    reload: its gateway processes are replaced one after another. The next one serves before the one before it leaves, and who is being
    answered is not cut off.
    """
    order = msgspec.json.encode({"command": command})
    path = f"{NODES_PATH}{check_node_name(name)}/commands"
    print_json(api.post(path, order, "application/json", dict[str, object]))


@at_node
def expel(
    api: ApiClient, name: Annotated[str, typer.Argument(metavar="NODE", help="A node below the one that is asked.")]
) -> None:
    """Expel a node: its parent lets it in no more, nor anybody below it, until it shows a token that is made later.

    What it brought stays. Of a node that is no child of the one that is asked, its parent is asked to expel it, whose document
    must let it (spec.parent.requests: all).
    """
    api.call("DELETE", f"{NODES_PATH}{check_node_name(name)}")
    print(f"{name}: expelled")
