"""The way that a message has come over bridges, in its user properties: one for each bridge of Littoral.

What two brokers do to keep a message from coming back (No Local) sees neither a ring of three, nor that two nodes each have a bridge to
the other. Of two sides of a connection only one has the bridge and marks messages: the sender, or who fetches them.
"""

from msgspec import structs

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_BRIDGE_HOPS
from littoral.wire.mqtt import Properties

HOP = "littoral-hop"
"""The name of the property; its value is the lineage of the store of the node that sent it, which no other node has."""
FETCHED = "littoral-fetched"
"""As HOP, of the node that fetched it. Another bridge of that node may send it on: it has not been sent by it yet."""


def sent_on(properties: Properties, node: str) -> Properties:
    """With one more hop: `node` sends it."""
    return structs.replace(properties, user=(*properties.user, (HOP, node)))


def fetched(properties: Properties, node: str) -> Properties:
    """With one more hop: `node` fetches it."""
    return structs.replace(properties, user=(*properties.user, (FETCHED, node)))


def was_sent(properties: Properties, node: str, limits: Limits) -> bool:
    """Whether `node` has sent a message before, or it has passed too many bridges."""
    return bool(properties.user) and _has(properties, node, (HOP,), limits)


def was_here(properties: Properties, node: str, limits: Limits) -> bool:
    """Whether `node` has sent or fetched a message before, or it has passed too many bridges."""
    return bool(properties.user) and _has(properties, node, (HOP, FETCHED), limits)


def _has(properties: Properties, node: str, names: tuple[str, ...], limits: Limits) -> bool:
    if sum(name in (HOP, FETCHED) for name, _ in properties.user) > limits[MQTT_BRIDGE_HOPS]:
        limits.hit(MQTT_BRIDGE_HOPS)
        return True
    return any((name, node) in properties.user for name in names)
