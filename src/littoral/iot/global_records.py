"""Messages on their way through the tree, as records of streams.

    mqtt/NAME        what clients of this node published on the topics of GlobalTopics/NAME; it goes up to the root as it is
    mqtt-tree/NAME   what came to this node, from below or above, each message once; children follow it where that is wanted

A message is known by the node that it comes from, and its place in that node's stream `mqtt/NAME`; `since` tells the stream from one
of the same name that was there before, on a disk that was replaced.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.message import Message
from littoral.store.transaction import Transaction
from littoral.wire.mqtt.properties import NO_PROPERTIES, Properties

PUBLISHED = "mqtt/"
OF_TREE = "mqtt-tree/"
DELIVERY = "mqtt-delivery"
"""The fold by which what has come reaches this node's clients."""
_CONTENT_TYPE = "application/msgpack"


class Way(Struct, frozen=True):
    """By which messages of a topic leave the node."""

    name: str
    """Of the GlobalTopics."""
    lane: Lane
    bytes_most: int
    """Of the stream that they wait in."""


class Published(Struct, frozen=True, array_like=True, gc=False):
    """A message, as its first node says it."""

    since: int
    """When its stream was made, ms since the epoch."""
    at_ms: int
    """When it was published, by the clock of its node."""
    topic: str
    payload: bytes
    qos: int
    retain: bool
    expires_ms: int | None
    properties: Properties | None


class Travelling(Struct, frozen=True, array_like=True, gc=False):
    """A message that has come to a node."""

    origin: str
    number: int
    """Its offset in the stream of its origin."""
    message: Published
    keep: bool = False
    """Whether it becomes the retained message of its topic at this node, or ends that."""
    here: bool = True
    """Whether it is for this node's clients; or only for nodes below."""
    stays: bool = False
    """Whether it came before, and stays what is retained at this node: what a client here has retained since is the earlier one, by the
    clocks of their nodes. It is news to nobody else."""


_encode = msgspec.msgpack.Encoder().encode
_decode_published = msgspec.msgpack.Decoder(Published).decode
_decode_travelling = msgspec.msgpack.Decoder(Travelling).decode


def published_stream(node: str, name: str) -> StreamName:
    """Of what is published at `node`."""
    return StreamName(node, PUBLISHED + name)


def tree_stream(node: str, name: str) -> StreamName:
    """Of what has come to `node`."""
    return StreamName(node, OF_TREE + name)


def published_name(path: str) -> str | None:
    """The GlobalTopics of a stream `mqtt/NAME`; None for another stream."""
    return path.removeprefix(PUBLISHED) if path.startswith(PUBLISHED) else None


def tree_name(path: str) -> str | None:
    """The GlobalTopics of a stream `mqtt-tree/NAME`; None for another stream."""
    return path.removeprefix(OF_TREE) if path.startswith(OF_TREE) else None


def append_published(tx: Transaction, way: Way, messages: Sequence[Message]) -> None:
    """Let messages of this node's clients go their way. Raises as `tx.append`."""
    name = published_stream(tx.node, way.name)
    info = tx.open_stream(name, content_type=_CONTENT_TYPE, lane=way.lane, retention_bytes=way.bytes_most, reach="root")
    tx.append(name, [_encode(_published(each, info.created_ms, tx.now_ms)) for each in messages])


def open_tree_stream(tx: Transaction, way: Way) -> StreamName:
    """The stream of what has come here, created at first use. Raises as `tx.open_stream`."""
    name = tree_stream(tx.node, way.name)
    tx.open_stream(name, content_type=_CONTENT_TYPE, lane=way.lane, retention_bytes=way.bytes_most, reach="node")
    return name


def _published(message: Message, since: int, now_ms: int) -> Published:
    properties = None if message.properties is NO_PROPERTIES else message.properties
    return Published(
        since, now_ms, message.topic, message.payload, message.qos, message.retain, message.expires_ms, properties
    )


def message_of(published: Published) -> Message:
    """As this node's clients get it: nobody here has published it."""
    properties = NO_PROPERTIES
    if (said := published.properties) is not None:
        # Only what travels with a message: another node may say anything.
        properties = Properties(
            payload_format=said.payload_format,
            content_type=said.content_type,
            response_topic=said.response_topic,
            correlation_data=said.correlation_data,
            user=said.user,
        )
    return Message(
        published.topic, published.payload, published.qos, published.retain, properties, published.expires_ms
    )


def encode_travelling(entry: Travelling) -> bytes:
    """As a record."""
    return _encode(entry)


def decode_travelling(source: object, record: bytes) -> Travelling:
    """A record of a stream `mqtt-tree/NAME`. Raises InvalidInput."""
    try:
        return _decode_travelling(record)
    except UNDECODABLE as error:
        raise InvalidInput("take message of", str(source), f"it is none ({error})") from error


def decode_published(source: object, record: bytes) -> Published:
    """A record of a stream `mqtt/NAME`. Raises InvalidInput."""
    try:
        return _decode_published(record)
    except UNDECODABLE as error:
        raise InvalidInput("take message of", str(source), f"it is none ({error})") from error
