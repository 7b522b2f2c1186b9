"""How a subscriber wants the messages of a topic: what follows from all its subscriptions that fit."""

from collections.abc import Sequence

from msgspec import Struct

from littoral.wire.mqtt.packets import Subscription


class Grant(Struct, frozen=True, gc=False):
    """A subscription as it was granted."""

    subscription: Subscription
    """With the QoS granted; `filter` as the client named it, with `$share/NAME/`."""
    identifier: int | None = None


class Terms(Struct, frozen=True, gc=False):
    """What one subscriber is sent of one topic: a single copy, however many of its filters fit."""

    qos: int
    """The highest of those that fit [MQTT-3.3.4-2]."""
    retain_as_published: bool = False
    identifiers: tuple[int, ...] = ()
    """Of all that fit [MQTT-3.3.4-4]."""

    def qos_of(self, qos: int) -> int:
        """At which a message that was published at `qos` is sent [MQTT-3.8.4-8]."""
        return min(qos, self.qos)

    def retain_of(self, retain: bool) -> bool:
        """With which flag a message that was published with `retain` is sent [MQTT-3.3.1-12, MQTT-3.3.1-13]."""
        return retain and self.retain_as_published


def merged(grants: Sequence[Grant]) -> Terms | None:
    """The terms of all these subscriptions; None where there are none."""
    if not grants:
        return None
    return Terms(
        max(each.subscription.qos for each in grants),
        any(each.subscription.retain_as_published for each in grants),
        tuple(sorted({each.identifier for each in grants if each.identifier is not None})),
    )


def merged_for_publisher(grants: Sequence[Grant]) -> Terms | None:
    """The terms for what the subscriber itself publishes: filters with No Local do not count [MQTT-3.8.3-3]."""
    return merged([each for each in grants if not each.subscription.no_local])
