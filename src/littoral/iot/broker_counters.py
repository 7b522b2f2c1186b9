"""What a broker counts."""

import msgspec


class BrokerCounters(msgspec.Struct):
    """Since the broker began."""

    received: int = 0
    """Publishes taken in, of both QoS."""
    received_bytes: int = 0
    """Bytes read from clients."""
    received_qos1: int = 0
    stored: int = 0
    """Publishes of QoS 1 and 2 stored and acknowledged."""
    denied: int = 0
    """Publishes and subscriptions that the client may not make."""
    store_failures: int = 0
    """Batches of publishes, or of what sessions need, that could not be stored; each closed its connection without an
    acknowledgement."""
    dropped: int = 0
    """Messages dropped for slow or absent subscribers."""
    refused: int = 0
    """CONNECTs refused."""
    closed: dict[str, int] = {}
    """Connections closed, by reason: "disconnect", "lost", "takeover", "keep-alive", "protocol", ..."""


class BrokerStatistics(msgspec.Struct, frozen=True):
    """A broker at one moment."""

    connections: int
    sessions: int
    """Of connected clients, and kept ones of absent clients with clean session 0."""
    topics: int
    """Topics with a compiled route."""
    retained: int
    counters: BrokerCounters
