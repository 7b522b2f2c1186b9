"""Topic names and topic filters (section 4.7)."""

from littoral.wire.mqtt.errors import RemoteProtocolError

TOPIC_BYTES_MOST = 65_535


def text(raw: bytes, what: str) -> str:
    """`raw` as an MQTT UTF-8 string. Raises RemoteProtocolError for ill-formed UTF-8, surrogates and U+0000."""
    try:
        decoded = raw.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("MQTT-1.5.3-1", f"{what} is not well-formed UTF-8 ({error.reason})") from None
    if "\0" in decoded:
        raise RemoteProtocolError("MQTT-1.5.3-2", f"{what} contains U+0000")
    return decoded


def check_topic(raw: bytes) -> str:
    """The topic name in `raw`, or RemoteProtocolError."""
    topic = text(raw, "a topic name")
    if not topic:
        raise RemoteProtocolError("MQTT-4.7.3-1", "a topic name is empty")
    if "+" in topic or "#" in topic:
        raise RemoteProtocolError("MQTT-3.3.2-2", "a topic name contains a wildcard")
    return topic


def check_filter(topic_filter: str) -> str:
    """Return `topic_filter`, or raise RemoteProtocolError."""
    if not topic_filter:
        raise RemoteProtocolError("MQTT-4.7.3-1", "a topic filter is empty")
    levels = topic_filter.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        raise RemoteProtocolError("MQTT-4.7.1-2", "'#' is not alone in the last level of a topic filter")
    if any("+" in level and level != "+" for level in levels):
        raise RemoteProtocolError("MQTT-4.7.1-3", "'+' is not alone in its level of a topic filter")
    return topic_filter
