"""The way that a message has come over bridges, in its user properties: one for each node of Littoral that sent it on.

What two brokers do to keep a message from coming back (No Local) does not see a ring of three.
"""

from msgspec import structs

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_BRIDGE_HOPS
from littoral.wire.mqtt import Properties

HOP = "littoral-hop"
"""The name of the property; its value is the lineage of the store of the node that sent it, which no other node has."""


def passed_on(properties: Properties, node: str) -> Properties:
    """With one more hop."""
    return structs.replace(properties, user=(*properties.user, (HOP, node)))


def goes_round(properties: Properties, node: str, limits: Limits) -> bool:
    """Whether a message was at `node` before, or has passed too many others."""
    if not properties.user:
        return False
    hops = [value for name, value in properties.user if name == HOP]
    if len(hops) <= limits[MQTT_BRIDGE_HOPS]:
        return node in hops
    limits.hit(MQTT_BRIDGE_HOPS)
    return True
