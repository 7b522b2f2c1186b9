"""CONNECT: who the client is, and what was agreed with it.

CONNECT  -->  credentials (may_connect), or an exchange of AUTH packets where it names a method
         -->  the session is attached, and on disk where it is kept  -->  CONNACK
"""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from littoral.core.mqtt_limits import MQTT_KEEP_ALIVE_S, MQTT_PACKET_BYTES, MQTT_RECEIVE_MAXIMUM, MQTT_TOPIC_ALIASES
from littoral.iot.access import Arrival, Challenge, Client, Exchange, Proved, Refused
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES, Properties, ReasonCode, RemoteProtocolError

if TYPE_CHECKING:
    from littoral.iot.broker import Broker

log = logging.getLogger(__name__)

KEEP_ALIVE_MOST_S = 65_535
"""What two bytes say."""
_BRIDGE_NEWS = "$SYS/broker/connection/"
"""Where a bridge of mosquitto says whether it is connected, and leaves its will, unless `notifications` is false there."""


class Refusal(Exception):
    """The client is not let in."""

    def __init__(self, reason: ReasonCode, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(reason, message)


class Handshake:
    """One CONNECT, or one authentication anew, until it is known who the client is."""

    __slots__ = ("_broker", "_exchange", "_proved", "_refused", "_send", "_wait", "client", "connect", "until_s")

    def __init__(
        self,
        broker: "Broker",
        connect: mqtt.Connect,
        certified: str | None,
        arrival: Arrival,
        send: Callable[[mqtt.Packet], None],
        wait: Callable[[Awaitable[object], Callable[[object], None]], None],
        proved: Callable[[bytes | None], None],
        refused: Callable[[Refusal], None],
    ) -> None:
        """certified: see Broker.connect. wait: reads nothing until an answer is there. proved, refused: how it ends; proved gets
        authentication data."""
        self._broker = broker
        self._send = send
        self._wait = wait
        self._proved = proved
        self._refused = refused
        self._exchange: Exchange | None = None
        if connect.will is not None and connect.will.topic.startswith(_BRIDGE_NEWS):
            # Refused, the bridge would not get in with what every mosquitto does unless it is told otherwise. It says nothing here.
            connect = msgspec.structs.replace(connect, will=None)
        self.connect = connect
        # A certificate says who the client is; it need not say so again.
        username = certified if connect.username is None else connect.username
        self.client = Client(connect.client_id, username, connect.level, certified, arrival)
        self.until_s = math.inf
        """When the connection ends, by the monotonic clock."""

    def begin(self) -> None:
        """The first step."""
        connect = self.connect
        if connect.level != MQTT_5 and not connect.client_id and not connect.clean_start:
            raise Refusal(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "a kept session needs a client identifier")
        method = connect.properties.authentication_method
        if method is None:
            verdict = self._broker.access.may_connect(self.client, connect.password)
            if isinstance(verdict, bool | Proved | Refused):
                self._judged(verdict)
            else:
                self._wait(verdict, self._judged)
            return
        self._exchange = self._broker.access.exchange(self.client, method)
        if self._exchange is None:
            raise Refusal(
                ReasonCode.BAD_AUTHENTICATION_METHOD, "it names an authentication method that there is none of"
            )
        self._step(connect.properties.authentication_data)

    def again(self, packet: mqtt.Auth) -> None:
        """AUTH from a client that is in, and proves anew who it is: with the method of its CONNECT [MQTT-4.12.1-1]."""
        method = self.connect.properties.authentication_method
        assert method is not None, self.client
        self._exchange = self._broker.access.exchange(self.client, method)
        self.auth(packet)

    def check_will(self) -> None:
        """Raises Refusal for a will that the client could not publish itself."""
        will = self.connect.will
        if will is None:
            return
        if will.topic.startswith("$SYS/") or not self._broker.access.may_publish(self.client, will.topic):
            raise Refusal(ReasonCode.NOT_AUTHORIZED, f"it may not publish its will to {will.topic[:120]!r}")

    def auth(self, packet: mqtt.Auth) -> None:
        """AUTH from the client: its next step (section 4.12)."""
        method = self.connect.properties.authentication_method
        if self._exchange is None or packet.properties.authentication_method != method:
            raise RemoteProtocolError(
                "MQTT-4.12.0-5", "AUTH names another method than CONNECT", ReasonCode.PROTOCOL_ERROR
            )
        self._step(packet.properties.authentication_data)

    def _judged(self, verdict: object) -> None:
        if isinstance(verdict, Proved | Refused):
            self._stepped(verdict)
        elif verdict:
            self._proved(None)
        elif self.client.username is None:
            self._refused(Refusal(ReasonCode.NOT_AUTHORIZED, "it gave no user name"))
        else:
            self._refused(Refusal(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "its user name or password is wrong"))

    def _step(self, data: bytes | None) -> None:
        assert self._exchange is not None, self.client
        step = self._exchange.step(data)
        if isinstance(step, Awaitable):
            self._wait(step, self._stepped)
        else:
            self._stepped(step)

    def _stepped(self, step: object) -> None:
        if isinstance(step, Challenge):
            method = self.connect.properties.authentication_method
            properties = Properties(authentication_method=method, authentication_data=step.data)
            self._send(mqtt.Auth(ReasonCode.CONTINUE_AUTHENTICATION, properties))
        elif isinstance(step, Proved):
            username = self.client.username if step.username is None else step.username
            self.client = msgspec.structs.replace(self.client, username=username, rights=step.rights)
            self.until_s = math.inf if step.until_s is None else step.until_s
            self._proved(step.data)
        else:
            refused = step if isinstance(step, Refused) else Refused()
            self._refused(Refusal(refused.reason, refused.message))


def agreed_keep_alive_s(broker: "Broker", connect: mqtt.Connect) -> int:
    """The client's, or the broker's where that is the shorter one; in MQTT 3.1.1 there is no way to say so."""
    most = broker.limits[MQTT_KEEP_ALIVE_S]
    if connect.level != MQTT_5 or most >= KEEP_ALIVE_MOST_S or 0 < connect.keep_alive_s <= most:
        return connect.keep_alive_s
    return most


def agreement(broker: "Broker", connect: mqtt.Connect, client_id: str, data: bytes | None) -> Properties:
    """What CONNACK says of this broker and this connection (section 3.2.2.3)."""
    if connect.level != MQTT_5:
        return NO_PROPERTIES
    asked, limits = connect.properties, broker.limits
    keep_alive_s = agreed_keep_alive_s(broker, connect)
    return Properties(
        assigned_client_id=None if connect.client_id else client_id,
        server_keep_alive_s=None if keep_alive_s == connect.keep_alive_s else keep_alive_s,
        receive_maximum=limits[MQTT_RECEIVE_MAXIMUM],
        topic_alias_maximum=limits[MQTT_TOPIC_ALIASES],
        maximum_packet_bytes=limits[MQTT_PACKET_BYTES],
        response_information=f"response/{client_id}" if asked.request_response_information else None,
        authentication_method=asked.authentication_method,
        authentication_data=data,
    )
