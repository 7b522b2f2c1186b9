"""littoral wan: the relay that plays the WAN between the nodes of a local tree. Nodes do not notice who steers it."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json, print_table, size
from littoral.cli.targets import TreeOption
from littoral.cli.tree_file import TREE_DIRECTORY, read_tree
from littoral.core.errors import NotFound
from littoral.node.link_control import LinkEntry, LinkOrder

NodeName = Annotated[str, typer.Argument(metavar="NODE", help="The child at the lower end of the link.")]


def list_links(
    tree: TreeOption = TREE_DIRECTORY, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the links, their state, their delay one way, and what went through them."""
    with _client(tree) as api:
        links = api.get("/v1/links", list[LinkEntry])
    if as_json:
        print_json(links)
        return
    rows = [
        [each.name, each.state, f"{each.delay_ms:g} ms", size(each.bytes_up), size(each.bytes_down)] for each in links
    ]
    print_table(["NODE", "STATE", "DELAY", "SENT UP", "SENT DOWN"], rows, right=["DELAY", "SENT UP", "SENT DOWN"])


def cut(
    node: NodeName,
    tree: TreeOption = TREE_DIRECTORY,
    *,
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse connections, instead of going silent.")] = False,
) -> None:
    """Cut a node off from its parent, as when a cable is pulled: neither end is told."""
    _order(tree, node, LinkOrder("cut", mode="refuse" if refuse else "blackhole"))


def restore(node: NodeName, tree: TreeOption = TREE_DIRECTORY) -> None:
    """Connect a node to its parent again."""
    _order(tree, node, LinkOrder("restore"))


def delay(
    node: NodeName,
    delay_ms: Annotated[float, typer.Argument(metavar="MS", min=0, max=60_000, help="Milliseconds, one way.")],
    tree: TreeOption = TREE_DIRECTORY,
) -> None:
    """Set how long everything takes between a node and its parent."""
    _order(tree, node, LinkOrder("delay", delay_ms=delay_ms))


def _order(tree: Path, node: str, order: LinkOrder) -> None:
    with _client(tree) as api:
        api.call("POST", f"/v1/links/{node}", msgspec.json.encode(order), headers={"content-type": "application/json"})


def _client(directory: Path) -> ApiClient:
    links = read_tree(directory).links
    if links is None:
        raise NotFound("steer", f"the links of {directory}", "this tree has none", "Start one with `littoral up`")
    return ApiClient(links.url, links.token)
