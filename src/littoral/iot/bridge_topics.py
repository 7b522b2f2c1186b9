"""What goes over a bridge, and what it is called at the other side."""

from collections.abc import Iterable, Sequence

from littoral.core.resources.mqtt_bridge import MqttBridgeTopic
from littoral.core.resources.topic_filters import filters_meet, topic_matches
from littoral.wire.mqtt import Subscription
from littoral.wire.mqtt.names import TOPIC_BYTES_MOST

_NEW_ONLY = 1
"""Retain handling: retained messages come where the subscription is new, and not at each connection."""


class BridgeTopics:
    """The topics of one bridge. Of several entries that fit a message the first decides."""

    def __init__(self, topics: Sequence[MqttBridgeTopic]) -> None:
        self._out = [each for each in topics if each.direction != "in"]
        self._in = [each for each in topics if each.direction != "out"]
        self.here = _subscriptions((each.local_prefix + each.filter, each.qos) for each in self._out)
        """What the bridge subscribes to at this node, to send it out."""
        self.there = _subscriptions((each.remote_prefix + each.filter, each.qos) for each in self._in)
        """What it subscribes to at the other broker."""

    def to_there(self, topic: str) -> str | None:
        """What a topic of this node is called at the other broker; None if it does not go there."""
        for each in self._out:
            if topic_matches(each.local_prefix + each.filter, topic):
                return _renamed(topic, each.local_prefix, each.remote_prefix)
        return None

    def to_here(self, topic: str) -> str | None:
        """What a topic of the other broker is called at this node; None if it does not come here."""
        for each in self._in:
            if topic_matches(each.remote_prefix + each.filter, topic):
                return _renamed(topic, each.remote_prefix, each.local_prefix)
        return None

    @property
    def may_return(self) -> bool:
        """Whether the other broker could send back what it was sent, if it did not know better."""
        sent = [each.remote_prefix + each.filter for each in self._out]
        return any(filters_meet(one, other.filter) for one in sent for other in self.there)


def _subscriptions(wanted: Iterable[tuple[str, int]]) -> tuple[Subscription, ...]:
    """Each filter once, at its highest QoS. Neither broker sends back what the bridge has published to it (No Local)."""
    highest: dict[str, int] = {}
    for topic_filter, qos in wanted:
        highest[topic_filter] = max(qos, highest.get(topic_filter, 0))
    return tuple(
        Subscription(topic_filter, qos, no_local=True, retain_as_published=True, retain_handling=_NEW_ONLY)
        for topic_filter, qos in highest.items()
    )


def _renamed(topic: str, old: str, new: str) -> str | None:
    """With another prefix. A topic that would be too long, or have no name, goes nowhere: "line/#" means "line", too, which has
    nothing behind a prefix "line/"."""
    if not topic.startswith(old):
        return None
    renamed = new + topic[len(old) :]
    return renamed if 0 < len(renamed.encode()) <= TOPIC_BYTES_MOST else None
