"""The operator API's part for the MQTT broker.

GET    /v1/mqtt/clients?after&text&state&skip&limit   clients that are connected, and sessions that wait for theirs, by identifier:
                                          those after one of them, with a text in identifier, user or address, in one of STATES
GET    /v1/mqtt/bridges                   bridges to other brokers, and how they are
POST   /v1/mqtt/kick       {client}       close a client's connection; its session stays, and it may come back
POST   /v1/mqtt/publish    {topic, ...}   publish a message, as a client would; answers when it may be acknowledged
GET    /v1/mqtt/topics?prefix&text&levels&open&after&limit   topics with their last values: see TopicQuestion
POST   /v1/mqtt/watches    {filters, ...} follow topics: begin a watch
GET    /v1/mqtt/watches/WATCH?after&wait  what came of them, from a number on; wait says how many seconds to wait for something
DELETE /v1/mqtt/watches/WATCH             follow no more

`spec.mqtt.access` is about clients, not about operators. What operators publish and follow is in the node's log.
"""

from collections.abc import Callable, Mapping
from functools import partial
from heapq import nsmallest
from typing import TypeVar

import msgspec

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.core.limits import LONG_POLL_S
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.broker import Broker
from littoral.iot.session import Session
from littoral.node.mqtt_messages import (
    BRIDGES,
    CLIENTS,
    CLIENTS_MOST,
    KICK,
    PUBLISH,
    STATES,
    TEXT_MOST,
    TOPICS,
    TOPICS_MOST,
    WATCHES,
    BridgeState,
    BridgeStates,
    Kicked,
    KickOrder,
    MqttClient,
    MqttClients,
    PublishOrder,
    TopicPage,
    Watching,
    WatchOrder,
    WatchPage,
)
from littoral.node.mqtt_publish import publish
from littoral.node.mqtt_topics import TopicQuestion, topic_page
from littoral.node.mqtt_watches import MqttWatches
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.mqtt import MQTT_5
from littoral.wire.query import whole_number

T = TypeVar("T")


class MqttApi:
    """Answers for requests whose path begins with PATH, once the operator is known."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.watches = MqttWatches(broker)
        self.bridges: Callable[[], list[BridgeState]] = list
        """Those of this node; set where there are any."""

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        if request.path.startswith(f"{WATCHES}/"):
            return await self._watch(request, request.path.removeprefix(f"{WATCHES}/"))
        match (request.method, request.path):
            case ("GET", path) if path == CLIENTS:
                return json_answer(self._clients(request.query))
            case ("GET", path) if path == BRIDGES:
                return json_answer(BridgeStates(self.bridges()))
            case ("POST", path) if path == KICK:
                return json_answer(self._kick(request.body))
            case ("POST", path) if path == PUBLISH:
                what, remedy = "publish to MQTT topic", 'Send {"topic": "plant/press", "payload": "base64"}'
                return json_answer(await publish(self._broker, _order(request.body, PublishOrder, what, remedy)))
            case ("GET", path) if path == TOPICS:
                return json_answer(self._topics(request))
            case ("POST", path) if path == WATCHES:
                order = _order(request.body, WatchOrder, "follow topics", 'Send {"filters": ["plant/#"]}')
                return json_answer(Watching(self.watches.begin(order)))
            case (_, path) if path in (CLIENTS, BRIDGES, KICK, PUBLISH, TOPICS, WATCHES):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")

    async def _watch(self, request: Request, name: str) -> Response:
        match request.method:
            case "GET":
                return json_answer(await self._page(name, request))
            case "DELETE":
                self.watches.end(name)
                return json_answer(Watching(name))
        raise method_not_allowed(request)

    async def _page(self, name: str, request: Request) -> WatchPage:
        about = "follow topics", f"as {name[:80]}"
        after = whole_number(request.query, "after", *about, 0)
        wait_s = whole_number(request.query, "wait", *about, 0)
        return await self.watches.page(name, after, min(wait_s, self._broker.limits[LONG_POLL_S]))

    def _topics(self, request: Request) -> TopicPage:
        query = request.query
        prefix = query.get("prefix", "")
        number = partial(whole_number, query, operation="list topics below", subject=repr(prefix[:120]))
        question = TopicQuestion(
            prefix,
            query.get("text", "")[:TEXT_MOST],
            number("levels", default=0),
            frozenset(query["open"].split("\n")) if "open" in query else None,
            query.get("after", ""),
            number("limit", default=TOPICS_MOST),
        )
        return topic_page(self._broker, question)

    def _clients(self, query: Mapping[str, str]) -> MqttClients:
        number = partial(whole_number, query, operation="list", subject="MQTT clients")
        after, text, state = (
            query.get("after", ""),
            query.get("text", "")[:TEXT_MOST].casefold(),
            query.get("state", ""),
        )
        if state not in STATES:
            raise InvalidInput("list", "MQTT clients", f"state {state[:30]!r} is not one of {', '.join(STATES[1:])}")
        skip, limit = number("skip", default=0), min(number("limit", default=CLIENTS_MOST), CLIENTS_MOST)
        told = MqttClients([], len(self._broker.sessions), at_ms=self._broker.clock.wall_ms())
        told.received = self._broker.counters.received
        told.dropped = self._broker.counters.dropped
        wanted: list[Session] = []
        for session in self._broker.sessions:
            deliveries = session.deliveries
            told.connected += session.attached
            told.waiting += deliveries.waiting
            told.queued_bytes += deliveries.queued_bytes
            told.dropped += deliveries.dropped
            if session.client_id > after and _is_like(session, text, state):
                wanted.append(session)
        told.found = len(wanted)
        page = nsmallest(skip + limit, wanted, key=lambda session: session.client_id)[skip:]
        told.clients.extend(_told(session) for session in page)
        return told

    def _kick(self, body: bytes) -> Kicked:
        order = _order(body, KickOrder, "end connection", 'Send {"client": "NAME"}', "of an MQTT client")
        if not self._broker.kick(order.client):
            raise NotFound(
                "end connection",
                f"of MQTT client {order.client[:80]}",
                "it is not connected to this node",
                "`littoral mqtt clients` lists those that are",
            )
        return Kicked(order.client)


def _order(body: bytes, kind: type[T], operation: str, remedy: str, subject: str = "") -> T:
    """What was ordered. Raises InvalidInput."""
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        raise InvalidInput(operation, subject, str(error), remedy) from error


def _is_like(session: Session, text: str, state: str) -> bool:
    """Whether it contains the text, and is in the state."""
    if state == "connected" and not session.attached:
        return False
    if state == "away" and session.attached:
        return False
    if state == "waiting" and not session.deliveries.waiting:
        return False
    presence = session.presence
    return (
        not text
        or text in session.client_id.casefold()
        or (presence is not None and (text in (presence.username or "").casefold() or text in presence.address))
    )


def _told(session: Session) -> MqttClient:
    presence, deliveries = session.presence, session.deliveries
    return MqttClient(
        session.client_id,
        session.attached,
        "5" if session.level == MQTT_5 else "3.1.1",
        len(session.grants),
        deliveries.waiting,
        deliveries.dropped,
        session.expiry_s,
        session.will is not None,
        username=presence.username if presence is not None else None,
        address=presence.address if presence is not None else "",
        listener=presence.listener if presence is not None else "",
        since_ms=presence.since_ms if presence is not None and session.attached else None,
        in_flight=deliveries.in_flight if session.attached else 0,
        queued_bytes=deliveries.queued_bytes,
    )
