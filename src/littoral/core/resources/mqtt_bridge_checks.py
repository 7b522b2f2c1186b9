"""What bridges to other brokers must satisfy beyond the types of their fields."""

import ipaddress
from collections.abc import Iterator, Sequence

from littoral.core.resources.check import Mistake, duration, is_host, repeated
from littoral.core.resources.mqtt_bridge import MqttBridge, MqttBridgeTopic
from littoral.core.resources.problem import Path
from littoral.core.resources.topic_filters import is_topic_filter
from littoral.core.resources.units import parse_duration_ms

KEEP_ALIVE_LEAST_MS, KEEP_ALIVE_MOST_MS = 5000, 65_535_000


def check_bridges(path: Path, bridges: Sequence[MqttBridge]) -> Iterator[Mistake]:
    """Of a Node's `spec.mqtt.bridges`."""
    yield from repeated(path, (each.name for each in bridges), "name")
    sessions: dict[tuple[str, str], int] = {}
    for index, bridge in enumerate(bridges):
        yield from _bridge((*path, index), bridge)
        if bridge.client_id is not None:
            first = sessions.setdefault((bridge.address, bridge.client_id), index)
            if first != index:
                where = f'"{bridge.client_id[:80]}" at {bridge.address[:80]} is already in element {first}'
                yield (*path, index, "clientId"), f"{where}; the other broker would end one for the other"


def _bridge(path: Path, bridge: MqttBridge) -> Iterator[Mistake]:
    host, _, port = bridge.address.rpartition(":")
    if not is_host(host.strip("[]")) or not 1 <= int(port) <= 65_535:
        yield (*path, "address"), f'found "{bridge.address[:80]}"; it is "host:port" of the other broker'
    elif bridge.password_file is not None and bridge.tls is None and not _is_loopback(host.strip("[]")):
        yield (
            (*path, "passwordFile"),
            "without TLS anybody on the way could read the password; set `tls` (`tls: {}` will do)",
        )
    if bridge.password_file is not None and bridge.username is None:
        yield (*path, "passwordFile"), "a password goes with a user name; set `username`"
    if bridge.tls is not None and bridge.tls.server_name is not None and not is_host(bridge.tls.server_name):
        yield (*path, "tls", "serverName"), f'found "{bridge.tls.server_name[:80]}"; it is a host name or an IP address'
    mistakes = list(duration((*path, "keepAlive"), bridge.keep_alive, KEEP_ALIVE_LEAST_MS))
    if not mistakes and parse_duration_ms(bridge.keep_alive) > KEEP_ALIVE_MOST_MS:
        mistakes = [((*path, "keepAlive"), f'found "{bridge.keep_alive}"; at most 65535s is allowed')]
    yield from mistakes
    for index, topic in enumerate(bridge.topics):
        yield from _topic((*path, "topics", index), topic)


def _topic(path: Path, topic: MqttBridgeTopic) -> Iterator[Mistake]:
    if not is_topic_filter(topic.filter):
        cause = f'found "{topic.filter[:80]}"; "+" stands for a whole level and "#" for all last ones: a/+/b, a/#'
        yield (*path, "filter"), cause
    for field, prefix in (("localPrefix", topic.local_prefix), ("remotePrefix", topic.remote_prefix)):
        if any(each in prefix for each in "+#\0"):
            yield (*path, field), f'found "{prefix[:80]}"; a prefix is a part of a topic, without "+" and "#"'
        elif not is_topic_filter(prefix + topic.filter):
            where = f'"{prefix[:80]}" and "{topic.filter[:80]}" make no topic filter'
            yield (*path, field), f'{where}; let the prefix end with "/", so that "+" and "#" are levels of their own'
        elif (prefix + topic.filter).startswith("$share/"):
            yield (*path, field), "a bridge has no shared subscription: it takes all messages"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
