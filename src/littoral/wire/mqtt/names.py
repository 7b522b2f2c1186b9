"""Topic names and topic filters (section 4.7 of both versions)."""

from littoral.wire.mqtt import rules
from littoral.wire.mqtt.errors import RemoteProtocolError
from littoral.wire.mqtt.packets import MQTT_3_1_1, MQTT_5

TOPIC_BYTES_MOST = 65_535

SHARE_PREFIX = "$share/"
"""How a shared subscription begins: `$share/NAME/FILTER` (MQTT 5, section 4.8.2)."""


def text(raw: bytes, what: str, level: int = MQTT_3_1_1) -> str:
    """`raw` as an MQTT UTF-8 string. Raises RemoteProtocolError for ill-formed UTF-8, surrogates and U+0000."""
    try:
        decoded = raw.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(rules.UTF8.at(level), f"{what} is not well-formed UTF-8 ({error.reason})") from None
    if "\0" in decoded:
        raise RemoteProtocolError(rules.NO_NULL.at(level), f"{what} contains U+0000")
    return decoded


def check_topic(raw: bytes, level: int = MQTT_3_1_1) -> str:
    """The topic name in `raw`, or RemoteProtocolError."""
    topic = text(raw, "a topic name", level)
    if not topic:
        raise RemoteProtocolError(rules.TOPIC_EMPTY.at(level), "a topic name is empty")
    if "+" in topic or "#" in topic:
        raise RemoteProtocolError(rules.TOPIC_WILDCARD.at(level), "a topic name contains a wildcard")
    return topic


def check_filter(topic_filter: str, level: int = MQTT_3_1_1) -> str:
    """Return `topic_filter`, or raise RemoteProtocolError. MQTT 3.1.1 knows no shared subscriptions: there, `$share` is a
    level like others."""
    if not topic_filter:
        raise RemoteProtocolError(rules.TOPIC_EMPTY.at(level), "a topic filter is empty")
    if level == MQTT_5 and topic_filter.startswith(SHARE_PREFIX):
        name, slash, shared = topic_filter[len(SHARE_PREFIX) :].partition("/")
        if not name:
            raise RemoteProtocolError("MQTT-4.8.2-1", "a shared subscription has an empty name")
        if "+" in name or "#" in name or not slash:
            raise RemoteProtocolError("MQTT-4.8.2-2", "a shared subscription is not of the form $share/NAME/FILTER")
        check_filter(shared, level)
        return topic_filter
    levels = topic_filter.split("/")
    if any("#" in each for each in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        raise RemoteProtocolError(rules.HASH_PLACE.at(level), "'#' is not alone in the last level of a topic filter")
    if any("+" in each and each != "+" for each in levels):
        raise RemoteProtocolError(rules.PLUS_PLACE.at(level), "'+' is not alone in its level of a topic filter")
    return topic_filter


def split_shared(topic_filter: str) -> tuple[str | None, str]:
    """The name of a shared subscription and the filter it shares; None and the filter itself if it is none. The filter
    was found valid for MQTT 5."""
    if not topic_filter.startswith(SHARE_PREFIX):
        return None, topic_filter
    name, _, shared = topic_filter[len(SHARE_PREFIX) :].partition("/")
    return name, shared
