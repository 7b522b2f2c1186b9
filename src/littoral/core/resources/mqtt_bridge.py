"""What a node's document says of bridges: connections of its MQTT broker to other brokers."""

from typing import Annotated, Literal

from msgspec import Meta

from littoral.core.resources.part import Address, Duration, Name, Part
from littoral.core.resources.web import CertificateFiles

_FilePath = Annotated[str, Meta(pattern="^/")]
_Prefix = Annotated[str, Meta(max_length=1024)]
BRIDGES_MOST = 32
"""Each holds a connection, a session here and one at the other broker."""
BRIDGE_TOPICS_MOST = 100
"""Each is compared with every message of its bridge until one fits."""


class MqttBridgeTopic(Part, frozen=True):
    """Topics that go over a bridge. At each side they begin with the prefix of that side, and go on with what `filter` means: `line/#`
    with the local prefix `plant/` and the remote one `site-7/` has `plant/line/1` here be `site-7/line/1` there."""

    filter: Annotated[str, Meta(min_length=1, max_length=1024)]
    """A topic filter, without the prefixes. Where several entries fit a message, the first of them says what becomes of it."""
    direction: Literal["in", "out", "both"]
    """out: from here to the other broker. in: from there to here."""
    qos: Annotated[int, Meta(ge=0, le=2)] = 1
    """The highest at which messages go over; one that was published at less goes at that."""
    local_prefix: _Prefix = ""
    """In front of the topic at this node: "plant/"."""
    remote_prefix: _Prefix = ""
    """In front of the topic at the other broker."""


class MqttBridgeTls(Part, frozen=True):
    """How a bridge speaks TLS (1.2 or newer). Files are read at each connection."""

    ca: _FilePath | None = None
    """PEM: who signs the other broker's certificate. None: the CAs that this system trusts."""
    certificate: CertificateFiles | None = None
    """What the bridge shows."""
    server_name: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    """The name that the other broker's certificate has to have, where it is not the host of `address`."""


class MqttBridge(Part, frozen=True):
    """A connection to another MQTT broker, of which this node is a client there. What is to go out waits in a session of this node's
    broker, on disk, within the limits `mqtt-queue-messages` and `mqtt-queue-bytes`; what comes in waits in the session there."""

    name: Name
    address: Address
    """Of the other broker."""
    topics: Annotated[list[MqttBridgeTopic], Meta(min_length=1, max_length=BRIDGE_TOPICS_MOST)]
    """What goes over."""
    tls: MqttBridgeTls | None = None
    """None: no TLS; a password is then sent to the loopback only."""
    username: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """At the other broker."""
    password_file: _FilePath | None = None
    """Its first line is the password. Read at each connection."""
    client_id: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """At the other broker, where no other client may have it. None: the node's name, a dash, and the bridge's."""
    version: Literal["5", "3.1.1"] = "5"
    """Of MQTT. In 3.1.1 the properties of messages are lost, and messages that come back are kept away by the other broker alone, if it
    knows bridges as mosquitto does."""
    keep_alive: Duration = "60s"
    """A connection over which nothing comes for half as long again is given up."""
