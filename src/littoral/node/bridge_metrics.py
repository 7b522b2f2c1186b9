"""A node's bridges to other brokers, as metrics."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from littoral.node.mqtt_messages import BridgeState
from littoral.telemetry.metrics import Family, Sample


def bridge_metrics(states: Sequence[BridgeState]) -> Iterator[Family]:
    """By the name of the bridge, which is the document's."""

    def family(name: str, kind: Literal["counter", "gauge"], text: str, of: Callable[[BridgeState], int]) -> Family:
        samples = [Sample(float(of(each)), {"bridge": each.name}) for each in states]
        return Family(f"littoral_mqtt_bridge_{name}", kind, text, samples)

    yield family("connected", "gauge", "1 while messages go over a bridge.", lambda each: each.state == "connected")
    yield family(
        "waiting",
        "gauge",
        "Messages of QoS 1 and 2 that the other broker has not taken over.",
        lambda each: each.waiting,
    )
    yield family("connections", "counter", "Connections of a bridge that were opened.", lambda each: each.connections)
    yield family("sent", "counter", "Messages sent to another broker.", lambda each: each.sent)
    yield family("received", "counter", "Messages taken from another broker.", lambda each: each.received)
    yield family("refused", "counter", "Messages that one of the two brokers did not take.", lambda each: each.refused)
    yield family(
        "dropped",
        "counter",
        "Messages that are of no topic of the bridge any more, too large for the other side, against a rule of MQTT, or that its queue "
        "had no room for.",
        lambda each: each.dropped + each.overflowed,
    )
    yield family(
        "returned",
        "counter",
        "Messages that had been at this node before, and went no further.",
        lambda each: each.returned,
    )
