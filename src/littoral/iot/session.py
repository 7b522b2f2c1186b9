"""What the broker remembers of a client: subscriptions, messages for it, and identifiers of messages from it."""

from msgspec import Struct

from littoral.core.limits import Limits
from littoral.iot.deliveries import Deliveries
from littoral.iot.message import Message
from littoral.iot.outbound import Outbound
from littoral.iot.retained_walk import Walk
from littoral.iot.session_writes import SessionWrites
from littoral.iot.terms import Grant
from littoral.wire.mqtt import MQTT_3_1_1


class Presence(Struct, frozen=True, gc=False):
    """A client while it is connected, for operators who look."""

    username: str | None
    address: str
    """See Arrival."""
    listener: str
    since_ms: int
    """When it came, ms since the epoch."""


class Session:
    """One client's state. It is attached to one connection at a time, or to none; its end is `Sessions`' business."""

    __slots__ = (
        "attached",
        "client_id",
        "deliveries",
        "ended",
        "ends_s",
        "expiry_s",
        "grants",
        "level",
        "number",
        "outbound",
        "presence",
        "received",
        "walks",
        "will",
        "will_delay_s",
        "will_due_s",
        "will_number",
    )

    def __init__(
        self, client_id: str, number: int, limits: Limits, writes: SessionWrites, *, reject_new: bool = False
    ) -> None:
        """number: in the store; 0 for a session that ends with its connection. reject_new: see `Deliveries`."""
        self.client_id = client_id
        self.number = number
        self.level = MQTT_3_1_1
        self.expiry_s = 0
        """How long it is kept after its connection ends; `NEVER_S` for ever."""
        self.ends_s: float | None = None
        """When its time is up, by the monotonic clock; None while it is connected, or if it never is."""
        self.ended = False
        self.attached = False
        """Whether a connection has it."""
        self.outbound: Outbound | None = None
        """The way to the client, from CONNACK to the end of its connection."""
        self.presence: Presence | None = None
        """Of the connection that has it, or had it last; None since before a restart."""
        self.grants: dict[str, Grant] = {}
        """Subscriptions by the filters that the client named."""
        self.walks: dict[str, Walk | None] | None = None
        """Subscriptions of which not all retained messages were sent, by filter; None in place of a walk that is to begin."""
        self.received: set[int] = set()
        """Identifiers of QoS 2 messages that came and were not released."""
        self.deliveries = Deliveries(number, limits, writes, reject_new=reject_new)
        self.will: Message | None = None
        self.will_number = number
        """Under which the store has the will: a session that ends with its connection is kept for nothing else."""
        self.will_delay_s = 0
        self.will_due_s: float | None = None
        """When the will is to be published, by the monotonic clock, once the connection has ended."""

    def stop_walk(self, topic_filter: str) -> None:
        """A subscription is over, or made anew: no more of its retained messages."""
        if self.walks:
            self.walks.pop(topic_filter, None)
