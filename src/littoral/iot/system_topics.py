"""The broker's own topics: what it counts, under $SYS."""

from collections.abc import Iterator

from littoral.iot.broker_counters import BrokerStatistics

PREFIX = "$SYS/broker/"


def system_messages(statistics: BrokerStatistics) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads; the names are those that mosquitto gives, where it has the same."""
    counters = statistics.counters
    figures = {
        "clients/connected": statistics.connections,
        "clients/total": statistics.sessions,
        "retained messages/count": statistics.retained,
        "messages/received": counters.received,
        "messages/stored": counters.stored,
        "publish/messages/dropped": counters.dropped,
        "bytes/received": counters.received_bytes,
        "connections/refused": counters.refused,
    }
    for name, value in figures.items():
        yield PREFIX + name, b"%d" % value
