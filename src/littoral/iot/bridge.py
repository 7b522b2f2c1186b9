"""One connection of a bridge: between this node's broker and another one, of each of which it is a client.

    CONNECTING --CONNACK--> JOINING --CONNACK of this broker--> [RELEASING] --> [UNSUBSCRIBING] --> [SUBSCRIBING] --> OPEN --> CLOSED

It passes packets on, and remembers nothing itself. Both brokers keep a session for it, and both sessions number messages in the same
way: what this broker sends under an identifier goes to the other one under the same, and so do PUBACK, PUBREC, PUBREL and PUBCOMP. So a
message is acknowledged to one broker when the other has acknowledged it to the bridge, which this node's does once it is on disk; it
waits at the broker that it comes from until then; and one of QoS 2 comes once, whichever of the two, or the bridge between them, is
begun anew meanwhile. See docs/adr/0037-bridges.md.

RELEASING: the other broker has no session any more. Identifiers of QoS 2 messages that it had sent and not released are free for it
then, so they are released here as well, before anything that it sends is looked at: a new message under one would be taken for the old.
"""

from collections.abc import Callable, Mapping
from enum import Enum

from littoral.core.errors import LittoralError, Unavailable
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import (
    MQTT_BRIDGE_INFLIGHT,
    MQTT_CONNECT_S,
    MQTT_INFLIGHT,
    MQTT_PACKET_BYTES,
)
from littoral.iot.bridge_frames import BridgeFrames, LeftOut
from littoral.iot.bridge_host import BridgeHost, Way
from littoral.iot.bridge_keep_alive import BridgeKeepAlive
from littoral.iot.bridge_messages import BridgeMessages
from littoral.iot.bridge_near import BridgeNear
from littoral.iot.bridge_refusals import refusal, why_ended
from littoral.iot.bridge_subscriptions import BridgeSubscriptions
from littoral.iot.bridge_terms import BridgeCounters, BridgeTerms
from littoral.iot.broker import Broker
from littoral.iot.deliveries import PACKET_IDS_MOST
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES, Packet, Properties, ReasonCode, RemoteProtocolError

SUBSCRIBE_ID = PACKET_IDS_MOST + 1
"""Sessions of this broker give it to no message, so it is free at the other broker whatever is in flight."""


class Stage(Enum):
    """Of a connection; see the top of this file."""

    CONNECTING = 1
    JOINING = 2
    RELEASING = 3
    UNSUBSCRIBING = 4
    SUBSCRIBING = 5
    OPEN = 6
    CLOSED = 7


class Bridge:
    """Feed it with `receive`, `blocked`, `lost` and `tick`. Implements `NearHost`."""

    def __init__(
        self,
        terms: BridgeTerms,
        broker: Broker,
        pass_word: str,
        counters: BridgeCounters,
        way: Way,
        host: BridgeHost,
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        """pass_word: see BridgeAccess. later: calls in a later turn of the loop."""
        limits = broker.limits
        self.terms = terms
        self.stage = Stage.CONNECTING
        self._limits: Limits = limits
        self._counters = counters
        self._clock = broker.clock
        self._way = way
        self._host = host
        self._near = BridgeNear(broker, terms.name, pass_word, self, later)
        self._frames = BridgeFrames(terms.level, limits[MQTT_PACKET_BYTES])
        self._messages = BridgeMessages(terms, limits, counters, NO_PROPERTIES)
        self._to_far: list[bytes] = []
        self._to_near: list[bytes] = []
        self._releasing: set[int] = set()
        self._lowered: set[int] = set()
        """Identifiers of messages of QoS 2 that went to the other broker at QoS 1: it takes no more."""
        self._sent_anew: set[int] = set()
        """Identifiers of QoS 2 messages that went to another broker that had no session when this connection began."""
        self._is_session_there = False
        self._subscriptions = BridgeSubscriptions(terms, is_session_there=False)
        self._near_is_full = False
        self._is_paused = False
        now_s = self._pinged_near_s = self._clock.monotonic_s()
        self._keep_alive = BridgeKeepAlive(terms.keep_alive_s, now_s)
        self._near_keep_alive_s = 0
        self._deadline_s = now_s + limits[MQTT_CONNECT_S]
        self.was_answered = False
        """Whether the other broker has understood CONNECT, whatever it said to it."""
        self.is_unknown = False
        """Whether it has said that it does not know this version of the protocol, or what a bridge is."""

    # --- From the driver

    def begin(self) -> None:
        """There is a connection to the other broker: say CONNECT."""
        self._say(self.terms.connect(self._limits))
        self._flush()

    def receive(self, data: bytes) -> None:
        """Bytes from the other broker, as they came."""
        self._keep_alive.heard(self._clock.monotonic_s())
        self._frames.add(data)
        self._go_on()

    def blocked(self, *, blocked: bool) -> None:
        """The other broker takes no more for a while, or does again."""
        self._near.is_held = blocked
        if not blocked:
            self._near.release()

    def lost(self, why: str) -> None:
        """The network is gone."""
        self._fail(why_ended(self.terms, self.stage is Stage.CONNECTING, why))

    def tick(self) -> None:
        """To be called about every second."""
        now_s = self._clock.monotonic_s()
        if self.stage is Stage.CLOSED:
            return
        if self.stage is not Stage.OPEN and now_s >= self._deadline_s:
            who, remedy = "it does not answer", "Check that what listens there is an MQTT broker"
            if self._waits:
                who, remedy = "this node's broker does not answer", "Check whether this node's disk can keep up"
            self._fail(self._error(who, remedy))
            return
        keep = self._keep_alive
        if not self._is_paused and keep.is_over(now_s):
            self._fail(self._error(f"nothing came from it for {keep.silence_s:g} s", "Check the network in between"))
            return
        if self.stage is not Stage.CONNECTING and keep.asks(now_s):
            self._say(mqtt.PingReq())
        near_s = self._near_keep_alive_s
        if near_s and now_s - self._pinged_near_s >= near_s / 2:
            self._pinged_near_s = now_s
            self._tell(mqtt.PingReq())
        self._flush()

    def stop(self, *, forget: bool = False) -> None:
        """End the connection. forget: the bridge is no more, and the other broker need not keep its session."""
        if self.stage is Stage.CLOSED:
            return
        if self.was_answered:
            properties = NO_PROPERTIES
            if forget and self.terms.level == MQTT_5:
                properties = Properties(session_expiry_s=0)
            elif forget and self._subscriptions.possible:
                # Such a session is not ended on a connection that goes on with it: let nothing wait in it, at least.
                self._say(mqtt.Unsubscribe(SUBSCRIBE_ID, tuple(sorted(self._subscriptions.possible))))
            self._say(mqtt.Disconnect(properties=properties))
            self._flush()
        self._end(None)

    # --- From the other broker

    def _go_on(self) -> None:
        """Look at what has come, as far as the stage allows it."""
        try:
            for packet in self._frames.packets():
                self._from_far(packet)
                if self._waits or self.stage is Stage.CLOSED:
                    break
        except RemoteProtocolError as error:
            self._fail(self._error(f"it broke a rule of MQTT: {error}", "Check that it is an MQTT broker"))
        self._flush()

    @property
    def _waits(self) -> bool:
        return self.stage in (Stage.JOINING, Stage.RELEASING)

    def _from_far(self, packet: Packet | LeftOut) -> None:
        if self.stage is Stage.CONNECTING and not isinstance(packet, mqtt.ConnAck):
            raise RemoteProtocolError("MQTT-3.2.0-1", f"{type(packet).__name__} comes before CONNACK")
        match packet:
            case mqtt.Publish() | LeftOut():
                self._from_far_published(packet)
            case mqtt.PubAck() | mqtt.PubRec():
                self._from_far_taken(packet)
            case mqtt.PubRel() | mqtt.PubComp():
                # That the other side does not know an identifier any more is no news to this one.
                self._tell(type(packet)(packet.packet_id))
            case mqtt.ConnAck():
                self._connected(packet)
            case mqtt.SubAck() if self.stage is Stage.SUBSCRIBING:
                self._subscribed(packet)
            case mqtt.UnsubAck() if self.stage is Stage.UNSUBSCRIBING:
                self._subscribe()
            case mqtt.Disconnect():
                self._fail(refusal(self.terms, packet.reason, packet.properties.reason_string))
            case _ if not isinstance(packet, mqtt.PingResp):
                raise RemoteProtocolError("4.13.1", f"{type(packet).__name__} has no place here")

    def _from_far_taken(self, packet: mqtt.PubAck | mqtt.PubRec) -> None:
        self._counters.refused += packet.reason.failed
        if packet.packet_id in self._lowered:
            self._lowered.discard(packet.packet_id)
            packet = mqtt.PubRec(packet.packet_id, packet.reason)
        self._tell(packet)

    def _from_far_published(self, packet: mqtt.Publish | LeftOut) -> None:
        if isinstance(packet, LeftOut):
            self._messages.left_out(is_large=packet.is_large)
            frame = None
        else:
            frame = self._messages.to_here(packet)
        if frame is None:
            self._acknowledge_there(packet.qos, packet.packet_id)
        else:
            self._to_near.append(frame)

    def _acknowledge_there(self, qos: int, packet_id: int | None) -> None:
        """A message that goes nowhere. At QoS 2 PUBREL follows, which this broker answers, though it does not know the identifier."""
        if packet_id is not None:
            self._say(mqtt.PubAck(packet_id) if qos == 1 else mqtt.PubRec(packet_id))

    def _connected(self, packet: mqtt.ConnAck) -> None:
        terms, told = self.terms, packet.properties
        if self.stage is not Stage.CONNECTING:
            raise RemoteProtocolError("MQTT-3.2.0-2", "a second CONNACK")
        self.is_unknown = packet.reason is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
        self.was_answered = not self.is_unknown
        if packet.reason:
            self._fail(refusal(terms, packet.reason, told.reason_string))
            return
        if terms.begins_anew:
            # In MQTT 3.1.1 such a session ends with its connection, and there are brokers of MQTT 5 that do not keep it through a
            # restart: the next connection has one that is kept.
            if self._remembers(frozenset(), {}):
                self.stop()
            return
        self._messages = BridgeMessages(terms, self._limits, self._counters, told)
        most = self._messages.qos_most
        if any(each.qos > most for each in terms.topics.here):
            self._fail(self._error(f"it takes messages of QoS {most} at most", "Set `qos` of the topics to that"))
            return
        self._is_session_there = packet.session_present
        self._subscriptions = BridgeSubscriptions(terms, is_session_there=packet.session_present)
        if told.server_keep_alive_s is not None:
            self._keep_alive.seconds = told.server_keep_alive_s
        self.stage = Stage.JOINING
        self._hold()
        window = MQTT_INFLIGHT if terms.level == MQTT_5 else MQTT_BRIDGE_INFLIGHT
        self._near.connect(min(self._limits[window], told.receive_maximum or PACKET_IDS_MOST))

    # --- From this broker: NearHost

    def from_near(self, packet: Packet) -> None:
        """See NearHost."""
        if self.stage is Stage.CLOSED:
            return
        match packet:
            case mqtt.Publish():
                self._from_near_published(packet)
            case mqtt.PubAck() | mqtt.PubRec():
                self._counters.refused += packet.reason.failed
                self._say(packet)
            case mqtt.PubRel() if not self._is_known_there(packet.packet_id):
                self._tell(mqtt.PubComp(packet.packet_id))
            case mqtt.PubRel():
                self._say(mqtt.PubRel(packet.packet_id))
            case mqtt.PubComp() if packet.packet_id in self._releasing:
                self._released(packet.packet_id)
            case mqtt.PubComp():
                self._say(mqtt.PubComp(packet.packet_id))
            case mqtt.ConnAck():
                self._joined(packet)
            case mqtt.SubAck():
                self._check_subscribed_here(packet)
            case _:
                pass

    def _is_known_there(self, packet_id: int) -> bool:
        """Whether the other broker may have a QoS 2 message under an identifier. Some close the connection for one that they do not
        know, and would with each."""
        return packet_id in self._sent_anew or (self._is_session_there and self._messages.qos_most == 2)

    def near_flushed(self) -> None:
        """See NearHost."""
        self._flush()

    def near_closed(self, why: str) -> None:
        """See NearHost."""
        self._fail(self._error(why, "The log says why, if it was not an operator"))

    def pause_far(self, *, paused: bool) -> None:
        """See NearHost."""
        self._near_is_full = paused
        self._hold()

    def _from_near_published(self, packet: mqtt.Publish) -> None:
        frame = self._messages.to_there(packet)
        sent_qos = min(packet.qos, self._messages.qos_most)
        if frame is not None:
            self._to_far.append(frame)
        if packet.packet_id is None:
            return
        if frame is not None and sent_qos:
            if sent_qos < packet.qos:
                self._lowered.add(packet.packet_id)
            elif sent_qos == 2 and not self._is_session_there:
                self._sent_anew.add(packet.packet_id)
        else:
            # At QoS 2 PUBREL goes to the other broker, which may have had the message under this identifier before the topics changed.
            self._tell(mqtt.PubAck(packet.packet_id) if packet.qos == 1 else mqtt.PubRec(packet.packet_id))

    def _joined(self, packet: mqtt.ConnAck) -> None:
        session = self._near.session
        if packet.reason or session is None:
            self._fail(self._error(f"this node's broker refused it: {packet.reason.name}", "The log may say more"))
            return
        self._near_keep_alive_s = packet.properties.server_keep_alive_s or 0
        self._near.subscribe(SUBSCRIBE_ID, self.terms.topics.here)
        if session.received and not self._is_session_there:
            self.stage = Stage.RELEASING
            self._releasing = set(session.received)
            for packet_id in sorted(session.received):
                self._tell(mqtt.PubRel(packet_id))
        else:
            self._unsubscribe()

    def _released(self, packet_id: int) -> None:
        self._releasing.discard(packet_id)
        if not self._releasing:
            self._unsubscribe()

    def _check_subscribed_here(self, packet: mqtt.SubAck) -> None:
        if any(reason.failed for reason in packet.reasons):
            self._fail(self._error("this node's broker has no room for its subscriptions", "Raise mqtt-subscriptions"))

    # --- Subscriptions there

    def _unsubscribe(self) -> None:
        """Take back what an earlier document wanted."""
        wanted = self._subscriptions
        if not self._remembers(wanted.possible, wanted.subscribed):
            return
        self.stage = Stage.UNSUBSCRIBING
        self._hold()
        if wanted.stale:
            self._say(mqtt.Unsubscribe(SUBSCRIBE_ID, wanted.stale))
        else:
            self._subscribe()
        self._go_on()

    def _subscribe(self) -> None:
        wanted = self._subscriptions
        if not self._remembers(wanted.filters, wanted.subscribed):
            return
        self.stage = Stage.SUBSCRIBING
        if wanted.missing:
            self._say(mqtt.Subscribe(SUBSCRIBE_ID, tuple(wanted.missing)))
        else:
            self._open(None)

    def _remembers(self, filters: frozenset[str], subscribed: Mapping[str, int]) -> bool:
        """Whether it is on disk; the connection ends if it is not."""
        try:
            self._host.remember(filters, dict(subscribed))
        except LittoralError as error:
            self._fail(error)
            return False
        return True

    def _subscribed(self, packet: mqtt.SubAck) -> None:
        wanted = self._subscriptions
        refused = wanted.answered(packet.reasons)
        if not self._remembers(wanted.filters, wanted.subscribed):
            return
        error = None
        if self.terms.known and not self._is_session_there:
            cause = "the other broker has lost the session of the bridge, and what waited in it"
            error = self._error(cause, "Have it keep sessions on disk (mosquitto: `persistence true`)")
        if refused:
            cause = f"the other broker does not let it subscribe to {', '.join(refused)}"
            error = self._error(cause, "Check what it allows to this user")
        self._open(error)

    def _open(self, error: LittoralError | None) -> None:
        self.stage = Stage.OPEN
        self._counters.connections += 1
        self._host.opened(error)

    # --- Output

    def _say(self, packet: Packet) -> None:
        """To the other broker."""
        self._to_far.append(mqtt.encode(packet, self.terms.level))

    def _tell(self, packet: Packet) -> None:
        """To this one."""
        self._to_near.append(mqtt.encode(packet, MQTT_5))

    def _flush(self) -> None:
        if self._to_far and self.stage is not Stage.CLOSED:
            data, self._to_far = b"".join(self._to_far), []
            self._keep_alive.sent(self._clock.monotonic_s())
            self._way.write(data)
        if self._to_near and self.stage is not Stage.CLOSED:
            told, self._to_near = b"".join(self._to_near), []
            self._near.send(told)

    def _hold(self) -> None:
        paused = self._near_is_full or self._waits
        if paused is self._is_paused:
            return
        self._is_paused = paused
        self._keep_alive.begins_anew(self._clock.monotonic_s())
        if paused:
            self._way.pause()
        else:
            self._way.resume()

    # --- The end

    def _error(self, cause: str, remedy: str) -> LittoralError:
        return Unavailable("keep bridge", self.terms.subject, cause, remedy)

    def _fail(self, error: LittoralError) -> None:
        self._end(error)

    def _end(self, error: LittoralError | None) -> None:
        if self.stage is Stage.CLOSED:
            return
        self.stage = Stage.CLOSED
        self._near.leave()
        self._way.close()
        self._host.closed(error)
