"""The operator API's part for the MQTT broker.

GET  /v1/mqtt/clients?after=     clients that are connected, and sessions that wait for theirs, by identifier; those after one of them
POST /v1/mqtt/kick     {client}  close a client's connection; its session stays, and it may come back
"""

from heapq import nsmallest

import msgspec

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.broker import Broker
from littoral.iot.session import Session
from littoral.node.mqtt_messages import CLIENTS_MOST, Kicked, KickOrder, MqttClient, MqttClients
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.mqtt import MQTT_5


class MqttApi:
    """Answers for requests whose path begins with PATH, once the operator is known."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        match (request.method, request.path):
            case ("GET", "/v1/mqtt/clients"):
                return json_answer(self._clients(request.query.get("after", "")))
            case ("POST", "/v1/mqtt/kick"):
                return json_answer(self._kick(request.body))
            case (_, "/v1/mqtt/clients" | "/v1/mqtt/kick"):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")

    def _clients(self, after: str) -> MqttClients:
        sessions = self._broker.sessions
        wanted = (session for session in sessions if session.client_id > after)
        page = nsmallest(CLIENTS_MOST, wanted, key=lambda session: session.client_id)
        return MqttClients([_told(session) for session in page], len(sessions))

    def _kick(self, body: bytes) -> Kicked:
        try:
            order = msgspec.json.decode(body, type=KickOrder)
        except UNDECODABLE as error:
            raise InvalidInput("end connection", "of an MQTT client", str(error), 'Send {"client": "NAME"}') from error
        if not self._broker.kick(order.client):
            raise NotFound(
                "end connection",
                f"of MQTT client {order.client[:80]}",
                "it is not connected to this node",
                "`littoral mqtt clients` lists those that are",
            )
        return Kicked(order.client)


def _told(session: Session) -> MqttClient:
    return MqttClient(
        session.client_id,
        session.attached,
        "5" if session.level == MQTT_5 else "3.1.1",
        len(session.grants),
        session.deliveries.waiting,
        session.deliveries.dropped,
        session.expiry_s,
        session.will is not None,
    )
