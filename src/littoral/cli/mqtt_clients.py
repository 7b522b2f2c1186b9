"""littoral mqtt clients and kick."""

from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, age, print_json, print_table, printable, span
from littoral.cli.targets import at_node
from littoral.drivers.clock import SystemClock
from littoral.node.mqtt_messages import CLIENTS, CLIENTS_MOST, KICK, Kicked, KickOrder, MqttClients
from littoral.wire.mqtt.properties import NEVER_S


@at_node
def list_clients(
    api: ApiClient,
    *,
    after: Annotated[str, typer.Option(help="Begin after this client.", metavar="CLIENT")] = "",
    contains: Annotated[str, typer.Option(help="Only those whose identifier, user or address contains this.")] = "",
    state: Annotated[
        str, typer.Option(help="Only those that are connected, away, or waiting (for which messages wait).")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the MQTT clients of a node, and the sessions that wait for theirs: what they subscribe to, and what waits for them."""
    found = api.get(CLIENTS, MqttClients, {"after": after, "text": contains, "state": state})
    if as_json:
        print_json(found)
        return
    now_ms = SystemClock().wall_ms()
    rows: list[list[Cell]] = [
        [
            printable(each.client),
            "connected" if each.connected else "away",
            age(each.since_ms, now_ms),
            printable(each.username or ""),
            each.address,
            each.version,
            *(f"{number:,}" for number in (each.subscriptions, each.waiting, each.in_flight, each.dropped)),
            _kept(each.expiry_s),
            "yes" if each.has_will else "",
        ]
        for each in found.clients
    ]
    figures = ["SUBS", "WAITING", "IN FLIGHT", "DROPPED"]
    columns = ["CLIENT", "STATE", "FOR", "USER", "ADDRESS", "MQTT", *figures, "KEPT", "WILL"]
    print_table(columns, rows, right=figures, spare=("USER", *figures[1:], "WILL"))
    if len(found.clients) == CLIENTS_MOST:
        print(f"{found.found:,} from there on; the next ones: --after {printable(found.clients[-1].client)}")


@at_node
def kick(api: ApiClient, client: Annotated[str, typer.Argument(help="Its identifier.", metavar="CLIENT")]) -> None:
    """End the connection of an MQTT client. Its session stays, and it may come back: change its login to keep it away."""
    body = msgspec.json.encode(KickOrder(client))
    print(f"{printable(api.post(KICK, body, 'application/json', Kicked).client)}: connection ended")


def _kept(expiry_s: int) -> str:
    if expiry_s == 0:
        return "no"
    return "for ever" if expiry_s == NEVER_S else f"for {span(expiry_s)}"
