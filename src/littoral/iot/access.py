"""Who may do what at the broker. `node` gives the answers; the broker asks."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from littoral.core.resources.topic_filters import filter_covers, topic_matches
from littoral.wire.mqtt import MQTT_3_1_1, ReasonCode


class Arrival(Struct, frozen=True):
    """By which way a client came."""

    address: str = ""
    """Its IP address; that of the last one before the node, where there are proxies."""
    listener: str = ""
    """Which listener it came to: "mqtt" for `listen.mqtt`, else the address in the node's document."""
    subject: str = ""
    """Of the certificate that it has shown and the listener has checked (RFC 4514)."""
    over_rate: bool = False
    """Whether it is one too many just now."""


NOWHERE = Arrival()


class Rights(Struct, frozen=True):
    """What one client may do, besides what the node's document says."""

    publish: tuple[str, ...] | None = None
    """Topic filters; None: no bound."""
    subscribe: tuple[str, ...] | None = None

    def may_publish(self, topic: str) -> bool:
        """Whether one of them is about a topic."""
        return self.publish is None or any(topic_matches(each, topic) for each in self.publish)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Whether one of them has all of a subscription."""
        return self.subscribe is None or any(filter_covers(each, topic_filter) for each in self.subscribe)


class Client(Struct, frozen=True):
    """Who asks."""

    client_id: str
    """Empty while the client has not been given one."""
    username: str | None = None
    level: int = MQTT_3_1_1
    certified: str | None = None
    """The user that its certificate names, which the listener has checked; `username` is the same then, unless the client
    gave another."""
    arrival: Arrival = NOWHERE
    """Known while it connects."""
    rights: Rights | None = None


class Challenge(Struct, frozen=True):
    """The next step is the client's."""

    data: bytes | None = None


class Proved(Struct, frozen=True):
    """The client is who it says."""

    data: bytes | None = None
    """The last word to it."""
    username: str | None = None
    """What it is called from now on; None: as it called itself."""
    rights: Rights | None = None
    until_s: float | None = None
    """When its connection ends, by the monotonic clock; None: never."""


class Refused(Struct, frozen=True):
    """It is not."""

    message: str = "its authentication failed"
    reason: ReasonCode = ReasonCode.NOT_AUTHORIZED


Step = Challenge | Proved | Refused
Verdict = bool | Proved | Refused


class Exchange(Protocol):
    """One enhanced authentication under way (section 4.12)."""

    def step(self, data: bytes | None) -> "Step | Awaitable[Step]":
        """What the client said; first that of its CONNECT."""
        ...


class Access(Protocol):
    """What the broker asks of the node. Answers are for the moment: they are asked for again with each CONNECT, SUBSCRIBE and
    publish; after a change of what `may_publish` says, `Broker.access_changed` is to be called."""

    def may_connect(self, client: Client, password: bytes | None) -> Verdict | Awaitable[Verdict]:
        """Whether its credentials are right. What takes time returns an awaitable, during which the client is not read."""
        ...

    def restricts(self, client: Client) -> bool:
        """Whether `may_publish` can say no to it. For clients that may publish anything, there is a faster path."""
        ...

    def may_publish(self, client: Client, topic: str) -> bool:
        """Whether it may publish to a topic; asked for its will too."""
        ...

    def may_subscribe(self, client: Client, topic_filter: str) -> bool | ReasonCode:
        """Whether it may subscribe to a filter; of a shared subscription, the filter behind the name. A reason is what a client
        of MQTT 5 is told in place of NOT_AUTHORIZED."""
        ...

    def exchange(self, client: Client, method: str) -> Exchange | None:
        """Begin an enhanced authentication by this method; None if there is none of the name."""
        ...


Authenticate = Callable[[str, str | None, bytes | None], bool | Awaitable[bool]]
"""(client id, user name, password) -> may it connect."""


class LoginOnly:
    """An `Access` that looks at user name and password, and lets whoever is in do anything."""

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    def may_connect(self, client: Client, password: bytes | None) -> Verdict | Awaitable[Verdict]:
        """See Access.may_connect."""
        return self._authenticate(client.client_id, client.username, password)

    def restricts(self, client: Client) -> bool:
        """See Access.restricts."""
        return False

    def may_publish(self, client: Client, topic: str) -> bool:
        """See Access.may_publish."""
        return True

    def may_subscribe(self, client: Client, topic_filter: str) -> bool | ReasonCode:
        """See Access.may_subscribe."""
        return True

    def exchange(self, client: Client, method: str) -> Exchange | None:
        """See Access.exchange."""
        return None
