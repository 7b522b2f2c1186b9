"""The retained messages that subscriptions begin with, as many at a time as the client takes.

    SUBSCRIBE  -->  the first slice, with the subscription  -->  a slice whenever there is room  -->  none left

A filter may mean a million of them: neither may finding them hold up other clients, nor may they push each other out of the client's
queue. How far a subscription has come is the session's: it goes on when the client is back. After a restart it begins anew, where the
session is kept: on disk the subscription says that it is not done (section 3.3.1.3 lets retained messages come at any time).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from littoral.core.mqtt_limits import MQTT_QUEUE, MQTT_QUEUE_BYTES
from littoral.core.order import Order
from littoral.iot.access import Client
from littoral.iot.deliveries import Delivery
from littoral.iot.message import Message
from littoral.iot.outbound import Outbound
from littoral.iot.retained_walk import Walk
from littoral.iot.session import Session
from littoral.iot.session_store import Change, Enqueue, KeepSubscription, Recipient, Recipients, Retain
from littoral.iot.terms import Grant

if TYPE_CHECKING:
    from littoral.iot.broker import Broker

SLICE = 128
"""Messages found in one turn of the event loop: a few milliseconds, for a session that is kept."""
_LOOK_AGAIN_S = 0.1
"""Where nobody says that there is room: a client may acknowledge what was the last of its queue."""

Found = list[tuple[str, Delivery]]
"""With the filters that asked for them."""


class RetainedSlices:
    """Those of one connection."""

    __slots__ = ("_broker", "_client", "_is_clear", "_out", "_room", "_running", "_send", "_session")

    def __init__(
        self,
        broker: "Broker",
        client: Client,
        session: Session,
        out: Outbound,
        send: Callable[[Found], None],
        is_clear: Callable[[], bool],
    ) -> None:
        """send: sends or queues messages. is_clear: whether nothing of QoS 0 waits for room."""
        self._broker = broker
        self._client = client
        self._session = session
        self._out = out
        self._send = send
        self._is_clear = is_clear
        self._room: asyncio.Event | None = None
        self._running = False

    def begin(self, grant: Grant, changes: list[Change]) -> Found:
        """The first slice of a subscription; what has to be on disk for it is added to `changes`."""
        topic_filter = grant.subscription.filter
        walk = self._broker.retained.walk(topic_filter)
        found, ended = self._slice(grant, walk, changes)
        if not ended:
            walks = self._session.walks = self._session.walks or {}
            walks[topic_filter] = walk
            if self._is_durable(grant):
                changes.append(_kept(self._session, grant, unfinished=True))
        return found

    def go_on(self) -> None:
        """Send what is left of the session's subscriptions."""
        if self._session.walks and not self._running:
            self._running = True
            self._broker.tasks.start(self._run(), "mqtt retained messages")

    def room(self) -> None:
        """The client takes more."""
        if self._room is not None:
            self._room.set()

    async def _run(self) -> None:
        session, out = self._session, self._out
        room = self._room = asyncio.Event()
        while session.walks and session.outbound is out and not out.closed:
            if not self._has_room:
                room.clear()
                try:
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await room.wait()
                except TimeoutError:
                    pass
                continue
            await self._next(session.walks)
            await asyncio.sleep(0)
        self._room, self._running = None, False

    async def _next(self, walks: dict[str, Walk | None]) -> None:
        topic_filter, walk = next(iter(walks.items()))
        if walk is None:
            walk = walks[topic_filter] = self._broker.retained.walk(topic_filter)
        grant = self._session.grants[topic_filter]
        changes: list[Change] = []
        found, ended = self._slice(grant, walk, changes)
        if ended:
            del walks[topic_filter]
            if self._is_durable(grant):
                changes.append(_kept(self._session, grant, unfinished=False))
        error = await self._written(changes) if changes else None
        if error is None:
            self._send(found)
            return
        if topic_filter in self._session.grants:
            walks[topic_filter] = None
        self._out.failed(error)

    async def _written(self, changes: list[Change]) -> BaseException | None:
        done: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._broker.writes.write(changes, Order(), (), done.set_result)
        return await done

    @property
    def _has_room(self) -> bool:
        """Whether a slice fits into the queue without pushing anything out of it."""
        limits, deliveries = self._broker.limits, self._session.deliveries
        return (
            self._out.has_room
            and self._is_clear()
            and deliveries.waiting - deliveries.in_flight <= limits[MQTT_QUEUE] // 2
            and deliveries.queued_bytes <= limits[MQTT_QUEUE_BYTES] // 2
        )

    def _is_durable(self, grant: Grant) -> bool:
        return bool(self._session.number and grant.subscription.qos)

    def _slice(self, grant: Grant, walk: Walk, changes: list[Change]) -> tuple[Found, bool]:
        """The next messages, and whether they were the last."""
        broker, asked, limits = self._broker, grant.subscription, self._broker.limits
        now_ms = broker.clock.wall_ms()
        most, bytes_left = max(1, min(SLICE, limits[MQTT_QUEUE] // 2)), limits[MQTT_QUEUE_BYTES] // 2
        found: Found = []
        for _ in range(most):
            message = next(walk, _END)
            if message is _END:
                return found, True
            if message is None:
                continue
            if message.expires_ms is not None and now_ms >= message.expires_ms:
                if broker.retained.forget(message):
                    broker.writes.later([Retain(message.topic, None)])
            elif not (asked.no_local and message.publisher == self._client.client_id):
                found.append((asked.filter, self._delivery(message, grant, changes)))
                bytes_left -= message.bytes
                if bytes_left <= 0:
                    break
        return found, False

    def _delivery(self, message: Message, grant: Grant, changes: list[Change]) -> Delivery:
        """Of a session that is kept, they are written with the subscription: a client that comes back after a crash does not
        subscribe again."""
        qos = min(message.qos, grant.subscription.qos)
        identifiers = () if grant.identifier is None else (grant.identifier,)
        delivery = Delivery(message, qos, retain=True, identifiers=identifiers)
        if qos and self._session.number:
            delivery.number = self._broker.writes.store.next_message()
            recipient = Recipient(self._session.number, qos, retain=True, identifiers=identifiers)
            changes.append(Enqueue(delivery.number, message, Recipients([recipient])))
        return delivery


_END = Message("", b"")


def _kept(session: Session, grant: Grant, *, unfinished: bool) -> KeepSubscription:
    return KeepSubscription(session.number, grant.subscription, grant.identifier, unfinished)
