"""littoral node run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.core.errors import InvalidInput, InvalidResource
from littoral.core.limits import RESOURCE_FILE_BYTES
from littoral.core.resources import API_VERSION, Node, Tier
from littoral.core.resources.decode import decode_resources
from littoral.node.layout import JOIN_TOKEN_VARIABLE
from littoral.node.supervisor import run_node

LISTENERS = "Listeners: HOST:PORT; port 0 takes a free one"
TREE = "Place in the tree"


def run(
    data_dir: Annotated[Path, typer.Option(help="Where the node keeps everything; made if it is not there.")],
    config: Annotated[
        Path | None, typer.Option(help="The node's document (kind: Node), instead of the options below.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The node's name.", rich_help_panel=TREE)] = None,
    tier: Annotated[Tier | None, typer.Option(help="What kind of place it is at.", rich_help_panel=TREE)] = None,
    parent: Annotated[
        str | None,
        typer.Option(help="The parent's mTLS listener, https://HOST:PORT. The root has none.", rich_help_panel=TREE),
    ] = None,
    join_url: Annotated[
        str | None,
        typer.Option(help="The parent's enrolment listener, where the token's does not do.", rich_help_panel=TREE),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=JOIN_TOKEN_VARIABLE,
            help="Join token of the parent, for the first start; `littoral token create` prints one.",
            rich_help_panel=TREE,
        ),
    ] = None,
    listen_api: Annotated[str | None, typer.Option(help="Operator API.", rich_help_panel=LISTENERS)] = None,
    listen_peer: Annotated[str | None, typer.Option(help="For children.", rich_help_panel=LISTENERS)] = None,
    listen_join: Annotated[str | None, typer.Option(help="For children that enrol.", rich_help_panel=LISTENERS)] = None,
    listen_gateway: Annotated[str | None, typer.Option(help="HTTP data plane.", rich_help_panel=LISTENERS)] = None,
    listen_relay: Annotated[
        str | None, typer.Option(help="For gateways of children.", rich_help_panel=LISTENERS)
    ] = None,
    listen_mqtt: Annotated[str | None, typer.Option(help="MQTT broker.", rich_help_panel=LISTENERS)] = None,
    listen_streams: Annotated[
        str | None,
        typer.Option(help="Durable streams for clients that are not operators.", rich_help_panel=LISTENERS),
    ] = None,
    dashboard: Annotated[str | None, typer.Option(help="Dashboard.", rich_help_panel=LISTENERS)] = None,
) -> int:
    """Run a node until Ctrl-C or SIGTERM."""
    place = {"url": parent, "joinUrl": join_url}
    listen = {
        "api": listen_api,
        "peer": listen_peer,
        "join": listen_join,
        "gateway": listen_gateway,
        "relay": listen_relay,
        "mqtt": listen_mqtt,
        "streams": listen_streams,
        "dashboard": dashboard,
    }
    if config is None:
        return run_node(_described(name, tier, _given(place), _given(listen)), data_dir, token)
    if name or tier or _given(place) or _given(listen):
        raise typer.BadParameter("--config says what the node is; leave out the options that say it too")
    return run_node(read_document(config), data_dir, token, config)


def _given(options: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in options.items() if value is not None}


def _described(name: str | None, tier: str | None, place: Mapping[str, str], listen: Mapping[str, str]) -> Node:
    if name is None or tier is None:
        raise typer.BadParameter("give --name and --tier, or --config")
    if place and "url" not in place:
        raise typer.BadParameter("--join-url goes with --parent")
    spec = {"tier": tier, "listen": listen} | ({"parent": place} if place else {})
    document = {"apiVersion": API_VERSION, "kind": "Node", "metadata": {"name": name}, "spec": spec}
    # JSON is YAML: the options are checked like a file, by the same rules and with the same words.
    return _only_node(msgspec.json.encode(document), "the options")


def read_document(path: Path) -> Node:
    """The document of a node. Raises InvalidInput, InvalidResource."""
    try:
        with path.open("rb") as file:
            data = file.read(RESOURCE_FILE_BYTES.default + 1)
    except OSError as error:
        raise InvalidInput("read", str(path), error.strerror or str(error), "Check --config") from error
    return _only_node(data, str(path))


def _only_node(data: bytes, source: str) -> Node:
    documents = decode_resources(data, source)
    if len(documents) != 1 or not isinstance(documents[0], Node):
        found = ", ".join(type(document).__name__ for document in documents)
        raise InvalidResource("read", source, f"it holds {found}; a node is described by one document of kind Node")
    return documents[0]
