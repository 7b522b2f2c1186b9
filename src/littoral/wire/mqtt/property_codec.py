"""Bytes to the properties of MQTT 5 and back (section 2.2.2).

One table says for each property its identifier, its field, the form of its value and the packets that may have it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import astuple

from littoral.wire.mqtt import packets as p
from littoral.wire.mqtt.body import Body
from littoral.wire.mqtt.errors import RemoteProtocolError
from littoral.wire.mqtt.names import check_topic
from littoral.wire.mqtt.properties import NO_PROPERTIES, Properties
from littoral.wire.mqtt.reasons import ReasonCode

WILL = 0
"""Stands for the properties of a will, which are beside those of its CONNECT."""

_NO_PROPERTIES_BYTES = b"\0"
_USER, _SUBSCRIPTION_ID = 0x26, 0x0B

_Read = Callable[[Body, str], object]
_Write = Callable[[Any], bytes]


class _Property(NamedTuple):
    field: str
    read: _Read
    write: _Write
    packets: frozenset[int]


def variable_integer(value: int) -> bytes:
    """`value` as a Variable Byte Integer (section 1.5.5)."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def string(value: str) -> bytes:
    """`value` after its length."""
    return binary(value.encode())


def binary(value: bytes) -> bytes:
    """`value` after its length."""
    return len(value).to_bytes(2, "big") + value


def _wrong(section: str, message: str, reason: ReasonCode = ReasonCode.PROTOCOL_ERROR) -> RemoteProtocolError:
    return RemoteProtocolError(section, message, reason)


def _bit(section: str) -> _Read:
    def read(body: Body, field: str) -> int:
        value = body.byte()
        if value > 1:
            raise _wrong(section, f"{_name(field)} is {value}; it is 0 or 1")
        return value

    return read


def _flag(section: str) -> _Read:
    bit = _bit(section)
    return lambda body, field: bool(bit(body, field))


def _not_zero(read: Callable[[Body], int], section: str, reason: ReasonCode = ReasonCode.PROTOCOL_ERROR) -> _Read:
    def checked(body: Body, field: str) -> int:
        value = read(body)
        if not value:
            raise _wrong(section, f"{_name(field)} is 0", reason)
        return value

    return checked


def _response_topic(body: Body, _field: str) -> str:
    raw = body.binary()
    if b"+" in raw or b"#" in raw:
        raise _wrong("MQTT-3.3.2-14", "the response topic contains a wildcard")
    return check_topic(raw, p.MQTT_5)


def _user(body: Body, _field: str) -> tuple[str, str]:
    return body.string("a user property's name"), body.string("a user property's value")


def _name(field: str) -> str:
    return f"the property {field.replace('_', ' ')}"


def _two(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _four(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _one(value: int) -> bytes:
    return value.to_bytes(1, "big")


def _read_string(body: Body, field: str) -> str:
    return body.string(_name(field))


def _read_binary(body: Body, _field: str) -> bytes:
    return body.binary()


def _read_two(body: Body, _field: str) -> int:
    return body.integer()


def _read_four(body: Body, _field: str) -> int:
    return body.long_integer()


_MESSAGE = frozenset((p.PUBLISH, WILL))
_OPENING = frozenset((p.CONNECT, p.CONNACK))
_CONNECT, _CONNACK = frozenset((p.CONNECT,)), frozenset((p.CONNACK,))
_AUTHENTICATION = _OPENING | {p.AUTH}
_ACKNOWLEDGEMENTS = frozenset((p.PUBACK, p.PUBREC, p.PUBREL, p.PUBCOMP, p.SUBACK, p.UNSUBACK))
_REASONED = _ACKNOWLEDGEMENTS | {p.CONNACK, p.DISCONNECT, p.AUTH}
_ALL = _REASONED | {WILL, p.CONNECT, p.PUBLISH, p.SUBSCRIBE, p.UNSUBSCRIBE}

_TABLE = {
    0x01: _Property("payload_format", _bit("3.3.2.3.2"), _one, _MESSAGE),
    0x02: _Property("message_expiry_s", _read_four, _four, _MESSAGE),
    0x03: _Property("content_type", _read_string, string, _MESSAGE),
    0x08: _Property("response_topic", _response_topic, string, _MESSAGE),
    0x09: _Property("correlation_data", _read_binary, binary, _MESSAGE),
    0x0B: _Property(
        "subscription_ids",
        _not_zero(Body.variable_integer, "3.8.2.1.2"),
        variable_integer,
        frozenset((p.PUBLISH, p.SUBSCRIBE)),
    ),
    0x11: _Property("session_expiry_s", _read_four, _four, _OPENING | {p.DISCONNECT}),
    0x12: _Property("assigned_client_id", _read_string, string, _CONNACK),
    0x13: _Property("server_keep_alive_s", _read_two, _two, _CONNACK),
    0x15: _Property("authentication_method", _read_string, string, _AUTHENTICATION),
    0x16: _Property("authentication_data", _read_binary, binary, _AUTHENTICATION),
    0x17: _Property("request_problem_information", _flag("3.1.2.11.7"), _one, _CONNECT),
    0x18: _Property("will_delay_s", _read_four, _four, frozenset((WILL,))),
    0x19: _Property("request_response_information", _flag("3.1.2.11.6"), _one, _CONNECT),
    0x1A: _Property("response_information", _read_string, string, _CONNACK),
    0x1C: _Property("server_reference", _read_string, string, _CONNACK | {p.DISCONNECT}),
    0x1F: _Property("reason_string", _read_string, string, _REASONED),
    0x21: _Property("receive_maximum", _not_zero(Body.integer, "3.1.2.11.3"), _two, _OPENING),
    0x22: _Property("topic_alias_maximum", _read_two, _two, _OPENING),
    0x23: _Property(
        "topic_alias",
        _not_zero(Body.integer, "MQTT-3.3.2-8", ReasonCode.TOPIC_ALIAS_INVALID),
        _two,
        frozenset((p.PUBLISH,)),
    ),
    0x24: _Property("maximum_qos", _bit("3.2.2.3.4"), _one, _CONNACK),
    0x25: _Property("retain_available", _flag("3.2.2.3.5"), _one, _CONNACK),
    0x26: _Property("user", _user, lambda pair: string(pair[0]) + string(pair[1]), _ALL),
    0x27: _Property("maximum_packet_bytes", _not_zero(Body.long_integer, "3.1.2.11.4"), _four, _OPENING),
    0x28: _Property("wildcard_subscriptions_available", _flag("3.2.2.3.11"), _one, _CONNACK),
    0x29: _Property("subscription_ids_available", _flag("3.2.2.3.12"), _one, _CONNACK),
    0x2A: _Property("shared_subscriptions_available", _flag("3.2.2.3.13"), _one, _CONNACK),
}


_SINGLE = [
    (Properties.__struct_fields__.index(known.field), _one(identifier), known.write)
    for identifier, known in _TABLE.items()
    if identifier not in (_USER, _SUBSCRIPTION_ID)
]
"""The properties that a packet has at most once: where the value is, what it begins with, and the rest of it."""


def read_properties(body: Body, packet: int) -> Properties:
    """The properties that `body` goes on with, of a packet of type `packet`, or of a `WILL`."""
    length = body.variable_integer()
    if not length:
        return NO_PROPERTIES
    inner = Body(body.take(length), p.MQTT_5)
    found: dict[str, object] = {}
    user: list[object] = []
    subscription_ids: list[object] = []
    while inner.left:
        identifier = inner.variable_integer()
        known = _TABLE.get(identifier)
        if known is None or packet not in known.packets:
            message = f"a packet of type {packet or p.CONNECT} has the property {identifier:#04x}"
            raise _wrong("2.2.2.2", message, ReasonCode.MALFORMED_PACKET)
        value = known.read(inner, known.field)
        if identifier == _USER:
            user.append(value)
        elif identifier == _SUBSCRIPTION_ID and (packet == p.PUBLISH or not subscription_ids):
            subscription_ids.append(value)
        elif known.field in found or identifier == _SUBSCRIPTION_ID:
            raise _wrong("2.2.2.2", f"{_name(known.field)} comes more than once")
        else:
            found[known.field] = value
    if user:
        found["user"] = tuple(user)
    if subscription_ids:
        found["subscription_ids"] = tuple(subscription_ids)
    if "authentication_data" in found and "authentication_method" not in found:
        raise _wrong("3.1.2.11.10", "authentication data without an authentication method")
    return Properties(**found)  # type: ignore[arg-type]


def write_properties(properties: Properties) -> bytes:
    """`properties` after their length. They are ours, and not checked against the packet's type."""
    if properties is NO_PROPERTIES:
        return _NO_PROPERTIES_BYTES
    values = astuple(properties)
    parts: list[bytes] = []
    for index, prefix, write in _SINGLE:
        if (value := values[index]) is not None:
            parts.append(prefix + write(value))
    parts += [b"\x0b" + variable_integer(each) for each in properties.subscription_ids]
    parts += [b"\x26" + string(name) + string(value) for name, value in properties.user]
    encoded = b"".join(parts)
    return variable_integer(len(encoded)) + encoded
