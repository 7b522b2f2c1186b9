"""littoral mqtt bridges."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, age, print_json, print_table, printable
from littoral.cli.targets import at_node
from littoral.drivers.clock import SystemClock
from littoral.node.mqtt_messages import BRIDGES, BridgeStates


@at_node
def list_bridges(
    api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the bridges of a node's MQTT broker to other brokers: whether messages go over, what waits, and what is wrong."""
    found = api.get(BRIDGES, BridgeStates)
    if as_json:
        print_json(found)
        return
    now_ms = SystemClock().wall_ms()
    rows: list[list[Cell]] = [
        [
            printable(each.name),
            printable(each.address),
            each.state,
            age(each.since_ms, now_ms),
            *(f"{number:,}" for number in (each.waiting, each.sent, each.received)),
            printable(each.error or ""),
        ]
        for each in found.bridges
    ]
    figures = ["WAITING", "SENT", "RECEIVED"]
    print_table(["BRIDGE", "ADDRESS", "STATE", "SINCE", *figures, "ERROR"], rows, right=figures)
