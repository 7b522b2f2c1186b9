"""What a client that is in sends besides publishes."""

from littoral.iot.acks import Acks
from littoral.iot.inbound import Inbound
from littoral.iot.joining import Joining
from littoral.iot.session import Session
from littoral.iot.subscribing import Subscribing
from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode, RemoteProtocolError


def control(
    packet: mqtt.Packet, session: Session, inbound: Inbound, subscribing: Subscribing, joining: Joining, acks: Acks
) -> None:
    """Let the part that it is for take a packet. Raises RemoteProtocolError for one that a client does not send then."""
    match packet:
        case mqtt.PubAck():
            session.deliveries.acknowledged(packet.packet_id)
        case mqtt.PubRec():
            session.deliveries.received(packet.packet_id, packet.reason, acks)
        case mqtt.PubRel():
            inbound.release(packet.packet_id)
        case mqtt.PubComp():
            session.deliveries.completed(packet.packet_id)
        case mqtt.Subscribe():
            subscribing.subscribe(packet)
        case mqtt.Unsubscribe():
            subscribing.unsubscribe(packet)
        case mqtt.Auth():
            joining.authenticate_anew(packet)
        case mqtt.Connect():
            raise RemoteProtocolError("MQTT-3.1.0-2", "a second CONNECT", ReasonCode.PROTOCOL_ERROR)
        case _:
            raise RemoteProtocolError(
                "2.1.2", f"a client does not send {type(packet).__name__}", ReasonCode.PROTOCOL_ERROR
            )


def farewell(packet: mqtt.Disconnect, session: Session) -> bool:
    """What DISCONNECT says of its session, and whether the client does not want its will published. Raises RemoteProtocolError."""
    expiry_s = packet.properties.session_expiry_s
    if expiry_s is not None:
        if expiry_s and not session.expiry_s:
            message = "DISCONNECT keeps a session that CONNECT said ends with its connection"
            raise RemoteProtocolError("3.14.2.2.2", message, ReasonCode.PROTOCOL_ERROR)
        session.expiry_s = expiry_s
    return packet.reason is ReasonCode.NORMAL_DISCONNECTION
