"""littoral node list."""

from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.nodes import Nodes
from littoral.cli.output import age, print_json, print_table
from littoral.cli.targets import at_node
from littoral.core.resources import Tier
from littoral.node.status import NodeStatus


class NodeLine(msgspec.Struct, frozen=True, rename="camel"):
    """One node of `littoral node list --json`."""

    node: str
    tier: Tier
    parent: str | None
    """None for the root."""
    connected: bool
    """Whether its parent has a connection to it; true for the node that was asked."""
    reported_ms: int
    """When it reported last, by its own clock, ms since the epoch."""
    version: str


@at_node
def list_nodes(api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the node that is asked and all nodes below it."""
    nodes = Nodes(api.get("/v1/nodes", list[NodeStatus]))
    lines = [_line(nodes, each) for each in nodes.all]
    if as_json:
        print_json(lines)
        return
    rows = [
        [line.node, line.tier, line.parent or "", "up" if line.connected else "down",
         age(line.reported_ms, nodes.now_ms), line.version]
        for line in lines
    ]  # fmt: skip
    print_table(["NODE", "TIER", "PARENT", "LINK", "REPORTED", "VERSION"], rows, right=["REPORTED"])


def _line(nodes: Nodes, status: NodeStatus) -> NodeLine:
    parent = status.link.parent if status.link else None
    return NodeLine(status.node, status.tier, parent, nodes.is_connected(status), status.at_ms, status.version)
