"""From CONNECT to CONNACK: a connection gets its session."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING

from littoral.iot.access import NOWHERE
from littoral.iot.acks import Acks
from littoral.iot.handshake import Handshake, Refusal, agreed_keep_alive_s, agreement
from littoral.iot.inbound import Inbound
from littoral.iot.outbound import Outbound
from littoral.iot.session import Session
from littoral.iot.session_store import Change
from littoral.iot.subscribing import Subscribing
from littoral.wire import mqtt
from littoral.wire.mqtt import Properties, ReasonCode, RemoteProtocolError

if TYPE_CHECKING:
    from littoral.iot.broker import Broker
    from littoral.iot.connection import Connection

log = logging.getLogger(__name__)

LONGEST_NEW_CLIENT_ID = "x" * 40
"""As long as any identifier that the broker gives to a client."""


class State(Enum):
    """Of a connection; see `littoral.iot.connection`."""

    NEW = 1
    JOINING = 2
    OPEN = 3
    CLOSED = 4


class Joining:
    """What a connection does before it is open; and later, where the client proves anew who it is."""

    __slots__ = ("_acks", "_broker", "_certified", "_connection", "_handshake", "_out", "_waiting", "arrival")

    def __init__(
        self, connection: "Connection", broker: "Broker", certified: str | None, out: Outbound, acks: Acks
    ) -> None:
        """certified: see Broker.connect."""
        self._connection = connection
        self._broker = broker
        self._certified = certified
        self._out = out
        self._acks = acks
        self._handshake: Handshake | None = None
        self._waiting: asyncio.Task[None] | None = None
        self.arrival = NOWHERE

    @property
    def client_id(self) -> str:
        """What the client calls itself; empty while it has said nothing."""
        return self._handshake.client.client_id if self._handshake is not None else ""

    def packet(self, packet: mqtt.Packet) -> None:
        """A packet before CONNACK."""
        connection = self._connection
        if isinstance(packet, mqtt.Connect) and connection.state is State.NEW:
            connection.state = State.JOINING
            self._out.opened(packet, self._broker.limits)
            self._handshake = Handshake(
                self._broker,
                packet,
                self._certified,
                self.arrival,
                self._out.answer,
                self._wait,
                self._proved,
                self._refuse,
            )
            if self.arrival.over_rate:
                # Without a word in the log for each: there are many, and the limit is counted.
                self._refuse(Refusal(ReasonCode.CONNECTION_RATE_EXCEEDED, ""))
                return
            try:
                self._handshake.begin()
            except Refusal as refusal:
                self._refuse(refusal)
        elif isinstance(packet, mqtt.Auth) and self._handshake is not None:
            self._handshake.auth(packet)
        elif isinstance(packet, mqtt.Disconnect):
            connection.finish("disconnect")
        else:
            name = type(packet).__name__
            raise RemoteProtocolError("MQTT-3.1.0-2", f"{name} comes before CONNACK", ReasonCode.PROTOCOL_ERROR)

    def authenticate_anew(self, packet: mqtt.Auth) -> None:
        """AUTH on an open connection (section 4.12.1)."""
        handshake = self._handshake
        if handshake is None:
            raise RemoteProtocolError(
                "MQTT-4.12.0-6", "AUTH from a client whose CONNECT names no method", ReasonCode.PROTOCOL_ERROR
            )
        if packet.reason is ReasonCode.RE_AUTHENTICATE:
            handshake.again(packet)
        else:
            handshake.auth(packet)

    # --- Waiting for an answer

    def _wait(self, answer: Awaitable[object], then: Callable[[object], None]) -> None:
        self._connection.block()
        self._waiting = self._broker.tasks.start(self._wait_for(answer, then), "mqtt authentication")

    def abandon(self) -> None:
        """The connection has ended: what is still asked for it is of no use."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    async def _wait_for(self, answer: Awaitable[object], then: Callable[[object], None]) -> None:
        connection = self._connection
        try:
            found = await answer
        except Exception:
            self._waiting = None
            log.exception("cannot check the credentials of MQTT client %r", self.client_id)
            self._refuse(Refusal(ReasonCode.SERVER_UNAVAILABLE, "its credentials cannot be checked now"))
            return
        self._waiting = None
        if connection.state is State.CLOSED:
            return
        then(found)
        if connection.state is State.OPEN or not self._acks.waiting:
            connection.unblock()

    # --- How it ends

    def _proved(self, data: bytes | None) -> None:
        connection, handshake = self._connection, self._handshake
        assert handshake is not None, connection.state
        connect = handshake.connect
        connection.until_s = handshake.until_s
        if connection.state is State.OPEN:
            session = connection.session
            assert session is not None, connection.state
            if session.presence is None or session.presence.username != handshake.client.username:
                self._refuse(Refusal(ReasonCode.NOT_AUTHORIZED, "it proved to be another user than it was"))
                return
            connection.proved_anew(handshake.client)
            method = connect.properties.authentication_method
            properties = Properties(authentication_method=method, authentication_data=data)
            self._out.answer(mqtt.Auth(ReasonCode.SUCCESS, properties))
            return
        try:
            handshake.check_will()
            self._broker.check_takeover(handshake.client)
            self._check_room(connect, data)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        changes: list[Change] = []
        session, present = self._broker.attach(connection, handshake, changes)
        keep_alive_s = agreed_keep_alive_s(self._broker, connect)
        # A client that asked for no keep-alive may stay silent for ever.
        connection.join(session, keep_alive_s * 1.5 if keep_alive_s else float("inf"))
        properties = agreement(self._broker, connect, session.client_id, data)
        self._acks.answer(self._out.encoded(mqtt.ConnAck(present, ReasonCode.SUCCESS, properties)))
        self._acks.change(changes, lambda error: self._sent(error, session))
        self._acks.submit()
        if connection.state is State.JOINING:
            connection.block()

    def _check_room(self, connect: mqtt.Connect, data: bytes | None) -> None:
        """Raises Refusal for a client that takes no packet as large as CONNACK, which has to come before any other [MQTT-3.2.0-1]."""
        out = self._out
        if out.max_bytes is not None:
            properties = agreement(self._broker, connect, connect.client_id or LONGEST_NEW_CLIENT_ID, data)
            if not out.encoded(mqtt.ConnAck(session_present=False, properties=properties)):
                raise Refusal(ReasonCode.PACKET_TOO_LARGE, "CONNACK is larger than what it takes")

    def _sent(self, error: BaseException | None, session: Session) -> None:
        """CONNACK is sent, and its session on disk; or that failed, which closes the connection."""
        connection, handshake = self._connection, self._handshake
        if error is not None or connection.state is not State.JOINING:
            return
        assert handshake is not None, session
        client = handshake.client
        is_bridge = handshake.connect.is_bridge
        subscribing = Subscribing(self._broker, client, session, self._out, self._acks, is_bridge=is_bridge)
        connection.open(Inbound(self._broker, client, session, self._out, self._acks), subscribing)
        if handshake.connect.properties.authentication_method is None:
            self._handshake = None
        self.arrival = NOWHERE
        session.outbound = self._out
        session.deliveries.attach(self._out)
        subscribing.opened()
        connection.unblock()

    def _refuse(self, refusal: Refusal) -> None:
        connection, out = self._connection, self._out
        if connection.state is State.CLOSED:
            return
        self._broker.counters.refused += 1
        if connection.state is State.OPEN:
            connection.finish("refused", ReasonCode.NOT_AUTHORIZED, refusal.message)
            return
        properties = out.explained(refusal.message)
        out.answer(mqtt.ConnAck(session_present=False, reason=refusal.reason, properties=properties))
        connection.finish("refused", None, refusal.message)
