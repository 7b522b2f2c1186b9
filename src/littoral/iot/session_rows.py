"""What the broker keeps, as rows: see docs/reference/store-format.md."""

from msgspec import msgpack

from littoral.iot.message import Message
from littoral.wire.mqtt.packets import Subscription
from littoral.wire.mqtt.properties import NO_PROPERTIES, Properties

SENT, TAKEN, DONE = 1, 2, 3
"""States in `mqtt_sent`: PUBLISH was sent, PUBREC has come, the exchange is over."""

_QOS, _NO_LOCAL, _AS_PUBLISHED, _HANDLING_SHIFT, _HANDLING = 0x03, 0x04, 0x08, 4, 0x03
UNFINISHED = 0x80
"""Of the options in `mqtt_subscriptions`: see `KeepSubscription`."""
_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(tuple[str, bytes, int, bool, int | None, str, Properties | None]).decode


def encode_message(message: Message) -> bytes:
    """A message's body."""
    properties = message.properties
    return _encode(
        (
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            message.expires_ms,
            message.publisher,
            None if properties is NO_PROPERTIES else properties,
        )
    )


def decode_message(body: bytes) -> Message:
    """What `encode_message` was given. Raises msgspec.DecodeError."""
    topic, payload, qos, retain, expires_ms, publisher, properties = _decode(body)
    return Message(topic, payload, qos, retain, properties or NO_PROPERTIES, expires_ms, publisher)


def encode_options(subscription: Subscription) -> int:
    """The options as they stand in SUBSCRIBE of MQTT 5 (section 3.8.3.1)."""
    return (
        subscription.qos
        | subscription.no_local * _NO_LOCAL
        | subscription.retain_as_published * _AS_PUBLISHED
        | subscription.retain_handling << _HANDLING_SHIFT
    )


def decode_options(topic_filter: str, options: int) -> Subscription:
    """What `encode_options` was given."""
    return Subscription(
        topic_filter,
        options & _QOS,
        no_local=bool(options & _NO_LOCAL),
        retain_as_published=bool(options & _AS_PUBLISHED),
        retain_handling=options >> _HANDLING_SHIFT & _HANDLING,
    )
