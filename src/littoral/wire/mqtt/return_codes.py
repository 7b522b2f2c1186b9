"""Which packet may say which reason, and what MQTT 3.1.1 calls it."""

from littoral.wire.mqtt import packets as p
from littoral.wire.mqtt.errors import RemoteProtocolError
from littoral.wire.mqtt.reasons import ReasonCode as Reason

RETURN_CODE_REFUSED = 3
"""CONNACK's Server Unavailable: for whatever the five return codes of 3.1.1 have no other word."""

REASON_OF_RETURN_CODE = {
    0: Reason.SUCCESS,
    1: Reason.UNSUPPORTED_PROTOCOL_VERSION,
    2: Reason.CLIENT_IDENTIFIER_NOT_VALID,
    3: Reason.SERVER_UNAVAILABLE,
    4: Reason.BAD_USER_NAME_OR_PASSWORD,
    5: Reason.NOT_AUTHORIZED,
}
"""Return codes of CONNACK in MQTT 3.1.1 (table 3.1)."""

_RETURN_CODE_OF_REASON = {reason: code for code, reason in REASON_OF_RETURN_CODE.items()} | {Reason.BANNED: 5}


def return_code(reason: Reason) -> int:
    """What CONNACK says in MQTT 3.1.1."""
    return _RETURN_CODE_OF_REASON.get(reason, RETURN_CODE_REFUSED)


_PUBLISHED = (
    Reason.SUCCESS,
    Reason.NO_MATCHING_SUBSCRIBERS,
    Reason.UNSPECIFIED_ERROR,
    Reason.IMPLEMENTATION_SPECIFIC_ERROR,
    Reason.NOT_AUTHORIZED,
    Reason.TOPIC_NAME_INVALID,
    Reason.PACKET_IDENTIFIER_IN_USE,
    Reason.QUOTA_EXCEEDED,
    Reason.PAYLOAD_FORMAT_INVALID,
)
_RELEASED = (Reason.SUCCESS, Reason.PACKET_IDENTIFIER_NOT_FOUND)
_UNSUBSCRIBED = (
    Reason.SUCCESS,
    Reason.NO_SUBSCRIPTION_EXISTED,
    Reason.UNSPECIFIED_ERROR,
    Reason.IMPLEMENTATION_SPECIFIC_ERROR,
    Reason.NOT_AUTHORIZED,
    Reason.TOPIC_FILTER_INVALID,
    Reason.PACKET_IDENTIFIER_IN_USE,
)
_SUBSCRIBED = (
    Reason.GRANTED_QOS_0,
    Reason.GRANTED_QOS_1,
    Reason.GRANTED_QOS_2,
    Reason.UNSPECIFIED_ERROR,
    Reason.IMPLEMENTATION_SPECIFIC_ERROR,
    Reason.NOT_AUTHORIZED,
    Reason.TOPIC_FILTER_INVALID,
    Reason.PACKET_IDENTIFIER_IN_USE,
    Reason.QUOTA_EXCEEDED,
    Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    Reason.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
    Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
)
_CONNECTED = (
    Reason.SUCCESS,
    Reason.UNSPECIFIED_ERROR,
    Reason.MALFORMED_PACKET,
    Reason.PROTOCOL_ERROR,
    Reason.IMPLEMENTATION_SPECIFIC_ERROR,
    Reason.UNSUPPORTED_PROTOCOL_VERSION,
    Reason.CLIENT_IDENTIFIER_NOT_VALID,
    Reason.BAD_USER_NAME_OR_PASSWORD,
    Reason.NOT_AUTHORIZED,
    Reason.SERVER_UNAVAILABLE,
    Reason.SERVER_BUSY,
    Reason.BANNED,
    Reason.BAD_AUTHENTICATION_METHOD,
    Reason.TOPIC_NAME_INVALID,
    Reason.PACKET_TOO_LARGE,
    Reason.QUOTA_EXCEEDED,
    Reason.PAYLOAD_FORMAT_INVALID,
    Reason.RETAIN_NOT_SUPPORTED,
    Reason.QOS_NOT_SUPPORTED,
    Reason.USE_ANOTHER_SERVER,
    Reason.SERVER_MOVED,
    Reason.CONNECTION_RATE_EXCEEDED,
)
_DISCONNECTED = (
    Reason.NORMAL_DISCONNECTION,
    Reason.DISCONNECT_WITH_WILL_MESSAGE,
    Reason.UNSPECIFIED_ERROR,
    Reason.MALFORMED_PACKET,
    Reason.PROTOCOL_ERROR,
    Reason.IMPLEMENTATION_SPECIFIC_ERROR,
    Reason.NOT_AUTHORIZED,
    Reason.SERVER_BUSY,
    Reason.SERVER_SHUTTING_DOWN,
    Reason.BAD_AUTHENTICATION_METHOD,
    Reason.KEEP_ALIVE_TIMEOUT,
    Reason.SESSION_TAKEN_OVER,
    Reason.TOPIC_FILTER_INVALID,
    Reason.TOPIC_NAME_INVALID,
    Reason.RECEIVE_MAXIMUM_EXCEEDED,
    Reason.TOPIC_ALIAS_INVALID,
    Reason.PACKET_TOO_LARGE,
    Reason.MESSAGE_RATE_TOO_HIGH,
    Reason.QUOTA_EXCEEDED,
    Reason.ADMINISTRATIVE_ACTION,
    Reason.PAYLOAD_FORMAT_INVALID,
    Reason.RETAIN_NOT_SUPPORTED,
    Reason.QOS_NOT_SUPPORTED,
    Reason.USE_ANOTHER_SERVER,
    Reason.SERVER_MOVED,
    Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    Reason.CONNECTION_RATE_EXCEEDED,
    Reason.MAXIMUM_CONNECT_TIME,
    Reason.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
    Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
)
_AUTHENTICATED = (Reason.SUCCESS, Reason.CONTINUE_AUTHENTICATION, Reason.RE_AUTHENTICATE)

_ALLOWED: dict[int, tuple[str, tuple[Reason, ...]]] = {
    p.CONNACK: ("MQTT-3.2.2-8", _CONNECTED),
    p.PUBACK: ("MQTT-3.4.2-1", _PUBLISHED),
    p.PUBREC: ("MQTT-3.5.2-1", _PUBLISHED),
    p.PUBREL: ("MQTT-3.6.2-1", _RELEASED),
    p.PUBCOMP: ("MQTT-3.7.2-1", _RELEASED),
    p.SUBACK: ("MQTT-3.9.3-2", _SUBSCRIBED),
    p.UNSUBACK: ("MQTT-3.11.3-2", _UNSUBSCRIBED),
    p.DISCONNECT: ("MQTT-3.14.2-1", _DISCONNECTED),
    p.AUTH: ("MQTT-3.15.2-1", _AUTHENTICATED),
}
_BY_CODE = {packet: {int(each): each for each in reasons} for packet, (_, reasons) in _ALLOWED.items()}


def reason_allowed(packet: int, code: int) -> Reason:
    """The reason that a packet of type `packet` gives with `code`. Raises RemoteProtocolError if it may not (section 2.4)."""
    reason = _BY_CODE[packet].get(code)
    if reason is None:
        message = f"a packet of type {packet} has the reason code {code:#04x}"
        raise RemoteProtocolError(_ALLOWED[packet][0], message, Reason.PROTOCOL_ERROR)
    return reason
