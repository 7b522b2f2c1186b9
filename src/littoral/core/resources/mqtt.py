"""What a node's document says of its MQTT broker: who may connect, what they may do, and where it listens."""

from typing import Annotated, Literal

from msgspec import Meta

from littoral.core.resources.mqtt_authenticator import MqttAuthenticator
from littoral.core.resources.mqtt_bridge import BRIDGES_MOST, MqttBridge
from littoral.core.resources.part import Address, Part
from littoral.core.resources.web import CertificateFiles

FilePath = Annotated[str, Meta(pattern="^/")]
UserName = Annotated[str, Meta(min_length=1, max_length=256)]
ClientId = Annotated[str, Meta(min_length=1, max_length=256)]
TopicPattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        description='A topic filter, in which "%u" stands for the user name and "%c" for the client identifier',
    ),
]
Algorithm = Literal[
    "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "Ed25519", "EdDSA", "HS256"
]


class MqttUser(Part, frozen=True):
    """One MQTT login."""

    username: UserName
    password_hash: Annotated[str, Meta(pattern=r"^(scrypt|\$argon2id)\$")]
    """As `littoral mqtt hash` prints it: $argon2id$v=19$m=KIB,t=PASSES,p=LANES$salt$hash. Hashes of scrypt are good, too."""


class MqttTokens(Part, frozen=True):
    """JSON Web Tokens in place of passwords: a client shows one as its password."""

    keys: FilePath
    """Of who signs them: a JSON Web Key Set, or one public key in PEM. Read again when it has changed."""
    algorithms: Annotated[list[Algorithm], Meta(min_length=1)]
    """Of the signatures that are taken. HS256 needs a secret in a key set, of 32 bytes at least."""
    user_claim: Annotated[str, Meta(min_length=1)] = "sub"
    """Which claim names the user; the client gives the same user name when it connects."""
    issuer: str | None = None
    """What `iss` has to be."""
    audience: str | None = None
    """What `aud` has to be, or to have in its list."""


class MqttPermission(Part, frozen=True):
    """What some clients may do with some topics, or may not."""

    topics: Annotated[list[TopicPattern], Meta(min_length=1)]
    """Topic filters, in which "%u" stands for the user name and "%c" for the client identifier."""
    users: list[UserName] = []
    """Empty: all, and clients without a user name."""
    clients: list[ClientId] = []
    """Client identifiers. Empty: all."""
    action: Literal["publish", "subscribe", "all"] = "all"
    effect: Literal["allow", "deny"] = "allow"
    exact: bool = False
    """Whether it is about these topic filters as they stand, and not about the topics that they mean: a subscription to `#`
    can be denied so, and those to `a/#` be left alone."""
    reason: Literal["not-authorized", "unspecified"] = "not-authorized"
    """What a client of MQTT 5 is told of a subscription that is denied: 0x87, or 0x80 for clients that know no other."""


class MqttClientCertificates(Part, frozen=True):
    """Certificates in place of passwords."""

    ca: FilePath
    """PEM: who signs them. Read again when it has changed."""
    revocation_lists: list[FilePath] = []
    """Certificate revocation lists, PEM or DER, of every CA between a client's certificate and the root. Read again when they have
    changed: who connects with a certificate that is in one is turned away, and who is connected with it is closed (MQTT 5: 0x87).
    While one cannot be read, is overdue, or is missing of one of these CAs, nobody gets in by a certificate. Empty: none is asked for."""
    required: bool = True
    """Whether nobody connects without one. False: who shows none needs a password."""
    user: Literal["commonName", "dns", "uri", "email"] = "commonName"
    """What of a certificate is the user name: its subject's common name, or the first name of that kind that it is for."""


class MqttListener(Part, frozen=True):
    """One more address at which the broker listens."""

    address: Address
    certificates: list[CertificateFiles] = []
    """TLS: what is shown, the one with the name that a client asks for or else the first. Empty: no TLS. Files that change are
    read again."""
    minimum: Literal["tls1.2", "tls1.3"] = "tls1.2"
    """The oldest version of TLS that is spoken."""
    client_certificates: MqttClientCertificates | None = None
    web_socket: Annotated[str, Meta(pattern="^/")] | None = None
    """MQTT over WebSocket, at this path. None: MQTT as it is."""
    origins: list[Annotated[str, Meta(pattern=r"^(https?://[^/\s]+|\*)$")]] = []
    """Web sites whose pages may connect to the WebSocket: "https://app.example", or "*". A page of the same host and port, and
    what is no browser, always may."""


class Mqtt(Part, frozen=True):
    """Who may publish and subscribe."""

    anonymous: bool = False
    """Whether clients without a user name may connect."""
    users: list[MqttUser] = []
    password_file: FilePath | None = None
    """More logins: `NAME:HASH`, a line each. Read again when it has changed."""
    tokens: MqttTokens | None = None
    authenticator: MqttAuthenticator | None = None
    """An app that is asked who may connect."""
    access: list[MqttPermission] = []
    """The first entry that is about a client, an action and a topic decides; where there is none, it may not. Empty: who is
    connected may do anything."""
    full_queue: Literal["drop-oldest", "reject-new"] = "drop-oldest"
    """What becomes of a message for a client whose queue is full (limits `mqtt-queue-messages`, `mqtt-queue-bytes`): the oldest in the
    queue makes room for it, or it is dropped itself. Where it is for such clients only, and no rule takes it, a publisher of MQTT 5 is
    told then (0x97), and it is not stored."""
    connection_rate: Literal["wait", "close"] = "wait"
    """What becomes of connections over the limits `mqtt-connection-rate` and `mqtt-address-connection-rate`: they are not read until it
    is their turn, unless that takes longer than `mqtt-connect-seconds`; or they are refused at once. A client of MQTT 5 is told so
    (0x9F); in TLS, nobody is: the connection ends before its handshake."""
    message_rate: Literal["delay", "disconnect"] = "delay"
    """What becomes of a client that publishes faster than the limit `mqtt-message-rate`: it is read no faster than that, or its
    connection is ended, of which a client of MQTT 5 is told the reason (0x96)."""
    listeners: list[MqttListener] = []
    """Besides `listen.mqtt`: with TLS, for WebSockets."""
    bridges: Annotated[list[MqttBridge], Meta(max_length=BRIDGES_MOST)] = []
    """Connections to other brokers. A document that changes has its bridges changed while the node runs, and no others disturbed."""
