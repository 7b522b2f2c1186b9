"""littoral token."""

from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.targets import at_node
from littoral.core.resources import parse_duration_ms
from littoral.node.operator_messages import TokenOrder


class _Answer(msgspec.Struct, frozen=True):
    token: str


@at_node
def create(
    api: ApiClient,
    child: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node that may join.")],
    ttl: Annotated[str, typer.Option(help="How long it may take to use it: 90s, 1h, 7d.")] = "1h",
) -> None:
    """Print a token with which one node may join below the node that is asked. It can be used once."""
    ttl_ms = parse_duration_ms(ttl)
    order = msgspec.json.encode(TokenOrder(child, max(1, ttl_ms // 1000)))
    print(api.post("/v1/tokens", order, "application/json", _Answer).token)
