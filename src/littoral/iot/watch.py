"""An operator who follows topics: a subscriber without a connection, whose messages wait until they are asked for."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from littoral.core.mqtt_limits import MQTT_WATCH_BYTES
from littoral.iot.channel import CallbackChannel
from littoral.iot.message import Message
from littoral.iot.outbound import Outbound
from littoral.iot.session import Session
from littoral.iot.session_store import Change
from littoral.iot.terms import Grant
from littoral.wire.mqtt import Subscription

if TYPE_CHECKING:
    from littoral.iot.broker import Broker

RetainedWish = Literal["also", "never", "only"]
"""Whether retained messages come first, or not at all, or nothing comes but them."""
MESSAGE_COST_BYTES = 300
"""In memory, beside topic and payload."""


class Watched(Struct, frozen=True):
    """One message that passed."""

    number: int
    """Counts the messages of one watch, from 0 on, also those that were dropped."""
    at_ms: int
    """When it passed, or was found retained; ms since the epoch."""
    message: Message
    retained: bool
    """Whether it was retained before; or was published to be."""


class Watch(Outbound):
    """Gets what a client with these subscriptions would, at QoS 0: its queue is bounded, and the oldest go. It is no session: it
    is in no list of clients, and no part of a shared subscription."""

    __slots__ = ("_backlog", "_broker", "_bytes", "_limit", "_next", "_queue", "_session", "came", "dropped")

    def __init__(self, broker: "Broker", filters: Sequence[str], wish: RetainedWish) -> None:
        """filters: valid, and not shared."""
        channel = CallbackChannel(lambda data: None)
        super().__init__(channel, broker.limits, broker.clock, broker.frames, lambda: None, lambda error: None)
        self.plain = False  # It takes messages, not frames.
        self._broker = broker
        self._limit = broker.limits[MQTT_WATCH_BYTES]
        self._queue: deque[Watched] = deque()
        self._bytes = 0
        self._next = 0
        self.dropped = 0
        """Messages that there was no room for, so far."""
        self.came: Callable[[], None] = lambda: None
        """Told of every message."""
        self._session = Session("", 0, broker.limits, broker.writes)
        self._session.outbound = self
        found = (
            {} if wish == "never" else {each.topic: each for name in filters for each in broker.retained.match(name)}
        )
        self._backlog: deque[Message] = deque(found.values())
        """Retained messages that were not asked for yet: they need no room, as they are kept anyway."""
        broker.watches.add(self)
        if wish != "only":
            changes: list[Change] = []
            for each in dict.fromkeys(filters):
                broker.sessions.subscribe(
                    self._session, Grant(Subscription(each, 0, retain_as_published=True)), changes
                )
            assert not changes, changes

    @property
    def has_retained(self) -> bool:
        """Whether there are retained messages that were not asked for yet."""
        return bool(self._backlog)

    def publish(
        self,
        message: Message,
        *,
        qos: int = 0,
        retain: bool = False,
        duplicate: bool = False,
        packet_id: int | None = None,
        identifiers: tuple[int, ...] = (),
    ) -> bool:
        """See Outbound.publish."""
        self._add(message, retained=retain)
        self.came()
        return True

    def _add(self, message: Message, *, retained: bool) -> None:
        self._queue.append(Watched(self._next, self._broker.clock.wall_ms(), message, retained))
        self._next += 1
        self._bytes += message.bytes + MESSAGE_COST_BYTES
        while self._bytes > self._limit:
            self._broker.limits.hit(MQTT_WATCH_BYTES)
            self._drop()
            self.dropped += 1

    def _drop(self) -> None:
        self._bytes -= self._queue.popleft().message.bytes + MESSAGE_COST_BYTES

    def take(self, after: int, most: int, bytes_most: int) -> list[Watched]:
        """Messages from number `after` on, and forget those before it: whoever asks has got them. At most `most` of them, and not
        many more bytes than `bytes_most`."""
        while self._queue and self._queue[0].number < after:
            self._drop()
        self._fill(most, min(bytes_most, self._limit // 2))
        found: list[Watched] = []
        for each in self._queue:
            if len(found) == most or bytes_most <= 0:
                break
            bytes_most -= each.message.bytes
            found.append(each)
        return found

    def _fill(self, most: int, bytes_most: int) -> None:
        """Add retained messages while there is room. What is not the last of its topic any more is left out: it has passed since."""
        now_ms = self._broker.clock.wall_ms()
        while self._backlog and len(self._queue) < most and self._bytes < bytes_most:
            message = self._backlog.popleft()
            is_over = message.expires_ms is not None and now_ms >= message.expires_ms
            if not is_over and self._broker.retained.get(message.topic) is message:
                self._add(message, retained=True)

    def end(self) -> None:
        """Get nothing any more."""
        self.closed = True
        self._broker.watches.discard(self)
        self._session.outbound = None
        for each in list(self._session.grants):
            self._broker.sessions.unsubscribe(self._session, each, [])
