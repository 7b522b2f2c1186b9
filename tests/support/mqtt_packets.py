"""Packets of MQTT: any at all, for hypothesis, and reading one from its bytes."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from littoral.wire import mqtt
from littoral.wire.mqtt import ReasonCode

PACKET_MOST_BYTES = 1 << 20


def decoded(data: bytes, level: int) -> mqtt.Packet:
    """The one packet in `data`."""
    found = mqtt.header(data, 0, PACKET_MOST_BYTES, level)
    assert found is not None
    body, end = found
    assert end == len(data)
    return mqtt.decode(data[0], data[body:end], level)


_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(_characters, max_size=20)
topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#$"), min_size=1, max_size=20)
filters = st.lists(st.one_of(st.just("+"), topics), min_size=1, max_size=4).map("/".join)
shared_filters = st.builds("$share/{}/{}".format, topics.filter(lambda name: "/" not in name), filters)
payloads = st.binary(max_size=100)
packet_ids = st.integers(1, 65_535)
qos_levels = st.integers(0, 2)
_two_bytes, _four_bytes = st.integers(0, 65_535), st.integers(0, 0xFFFF_FFFF)
_bits = st.integers(0, 1)
_users = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "payload_format": _bits,
    "message_expiry_s": _four_bytes,
    "content_type": texts,
    "response_topic": topics,
    "correlation_data": payloads,
    "session_expiry_s": _four_bytes,
    "assigned_client_id": texts,
    "server_keep_alive_s": _two_bytes,
    "request_problem_information": st.booleans(),
    "will_delay_s": _four_bytes,
    "request_response_information": st.booleans(),
    "response_information": texts,
    "server_reference": texts,
    "reason_string": texts,
    "receive_maximum": st.integers(1, 65_535),
    "topic_alias_maximum": _two_bytes,
    "topic_alias": st.integers(1, 65_535),
    "maximum_qos": _bits,
    "retain_available": st.booleans(),
    "maximum_packet_bytes": st.integers(1, 0xFFFF_FFFF),
    "wildcard_subscriptions_available": st.booleans(),
    "subscription_ids_available": st.booleans(),
    "shared_subscriptions_available": st.booleans(),
    "user": _users,
}
_subscription_ids = st.integers(1, 268_435_455)
_method = st.fixed_dictionaries({"authentication_method": texts}, optional={"authentication_data": payloads})


def _properties(names: Iterable[str], extra: st.SearchStrategy[dict[str, Any]] | None = None) -> Any:
    known: dict[Any, Any] = {name: _VALUES[name] for name in (*names, "user")}
    some = st.fixed_dictionaries({}, optional=known)
    both = some if extra is None else st.builds(lambda first, second: {**first, **second}, some, extra)
    return st.just(mqtt.NO_PROPERTIES) | both.map(lambda found: mqtt.Properties(**found))


_MESSAGE = ("payload_format", "message_expiry_s", "content_type", "response_topic", "correlation_data")
_OPENING = ("session_expiry_s", "receive_maximum", "maximum_packet_bytes", "topic_alias_maximum")
_SERVER = (
    "assigned_client_id",
    "server_keep_alive_s",
    "response_information",
    "server_reference",
    "reason_string",
    "maximum_qos",
    "retain_available",
    "wildcard_subscriptions_available",
    "subscription_ids_available",
    "shared_subscriptions_available",
)
_maybe_method: st.SearchStrategy[dict[str, Any]] = st.just({}) | _method
_reasoned = _properties(("reason_string",))
_of_publish = _properties(
    (*_MESSAGE, "topic_alias"),
    st.fixed_dictionaries({}, optional={"subscription_ids": st.lists(_subscription_ids, max_size=3).map(tuple)}),
)
_of_subscribe = _properties(
    (), st.fixed_dictionaries({}, optional={"subscription_ids": _subscription_ids.map(lambda each: (each,))})
)
_published = st.sampled_from([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]).map(ReasonCode)
_released = st.sampled_from([0x00, 0x92]).map(ReasonCode)


def _of_level(level: int, strategy: Any) -> Any:
    return strategy if level == mqtt.MQTT_5 else st.just(mqtt.NO_PROPERTIES)


def _connects(level: int) -> Any:
    will = st.builds(
        mqtt.Will,
        topics,
        payloads,
        qos_levels,
        st.booleans(),
        _of_level(level, _properties((*_MESSAGE, "will_delay_s"))),
    )
    logins: Any = st.just((None, None)) | st.tuples(texts, st.none() | payloads)
    if level == mqtt.MQTT_5:
        logins |= st.tuples(st.none(), payloads)
    opening = _properties((*_OPENING, "request_problem_information", "request_response_information"), _maybe_method)
    return st.builds(
        lambda name, clean, keep_alive, will, login, properties: mqtt.Connect(
            name, clean, keep_alive, will, login[0], login[1], level, properties
        ),
        texts,
        st.booleans(),
        _two_bytes,
        st.none() | will,
        logins,
        _of_level(level, opening),
    )


def _publishes(level: int) -> Any:
    properties = _of_level(level, _of_publish)
    return st.one_of(
        st.builds(mqtt.Publish, topics, payloads, st.just(0), st.booleans(), properties=properties),
        st.builds(
            mqtt.Publish, topics, payloads, st.integers(1, 2), st.booleans(), st.booleans(), packet_ids, properties
        ),
    )


def _subscriptions(level: int) -> Any:
    if level == mqtt.MQTT_3_1_1:
        return st.builds(mqtt.Subscription, filters, qos_levels)
    handling = st.integers(0, 2)
    return st.one_of(
        st.builds(mqtt.Subscription, filters, qos_levels, st.booleans(), st.booleans(), handling),
        st.builds(mqtt.Subscription, shared_filters, qos_levels, st.just(value=False), st.booleans(), handling),
    )


def _connacks(level: int) -> Any:
    if level == mqtt.MQTT_3_1_1:
        refusals = st.sampled_from([0x84, 0x85, 0x86, 0x87, 0x88]).map(ReasonCode)
    else:
        refusals = st.sampled_from([0x80, 0x81, 0x82, 0x8A, 0x8C, 0x95, 0x97, 0x9C, 0x9F]).map(ReasonCode)
    properties = _of_level(level, _properties((*_OPENING, *_SERVER), _maybe_method))
    return st.builds(mqtt.ConnAck, st.booleans(), st.just(ReasonCode.SUCCESS), properties) | st.builds(
        mqtt.ConnAck, st.just(value=False), refusals, properties
    )


def _acknowledgements(level: int) -> Any:
    def reasons(strategy: Any) -> Any:
        return strategy if level == mqtt.MQTT_5 else st.just(ReasonCode.SUCCESS)

    properties = _of_level(level, _reasoned)
    return st.one_of(
        st.builds(mqtt.PubAck, packet_ids, reasons(_published), properties),
        st.builds(mqtt.PubRec, packet_ids, reasons(_published), properties),
        st.builds(mqtt.PubRel, packet_ids, reasons(_released), properties),
        st.builds(mqtt.PubComp, packet_ids, reasons(_released), properties),
    )


def packets(level: int) -> st.SearchStrategy[mqtt.Packet]:
    """Any packet of the version of protocol level `level`."""
    granted = [0, 1, 2, 0x80] + ([0x87, 0x8F, 0x97, 0xA1] if level == mqtt.MQTT_5 else [])
    reasoned = _of_level(level, _reasoned)
    acknowledged = st.sampled_from([0, 0x11, 0x87]).map(ReasonCode)
    every = [
        _connects(level),
        _connacks(level),
        _publishes(level),
        _acknowledgements(level),
        st.builds(
            mqtt.Subscribe,
            packet_ids,
            st.lists(_subscriptions(level), min_size=1, max_size=4).map(tuple),
            _of_level(level, _of_subscribe),
        ),
        st.builds(
            mqtt.SubAck, packet_ids, st.lists(st.sampled_from(granted).map(ReasonCode), max_size=4).map(tuple), reasoned
        ),
        st.builds(
            mqtt.Unsubscribe,
            packet_ids,
            st.lists(filters, min_size=1, max_size=4).map(tuple),
            _of_level(level, _properties(())),
        ),
        st.builds(
            mqtt.UnsubAck,
            packet_ids,
            st.lists(acknowledged, max_size=3).map(tuple) if level == mqtt.MQTT_5 else st.just(()),
            reasoned,
        ),
        st.sampled_from([mqtt.PingReq(), mqtt.PingResp(), mqtt.Disconnect()]),
    ]
    if level == mqtt.MQTT_5:
        leaving = _properties(("session_expiry_s", "server_reference", "reason_string"))
        reasons = st.sampled_from([0x00, 0x04, 0x81, 0x8E, 0x95, 0xA0]).map(ReasonCode)
        every.append(st.builds(mqtt.Disconnect, reasons, leaving))
        every.append(
            st.builds(
                mqtt.Auth,
                st.sampled_from([0x00, 0x18, 0x19]).map(ReasonCode),
                _properties(("reason_string",), _method),
            )
        )
    return st.one_of(every)
