"""Limits of the MQTT broker. Part of `littoral.core.limits`."""

from littoral.core.limit import KIB, MIB, Declarations

MQTT_LIMITS = Declarations()
_limit = MQTT_LIMITS.declare

MQTT_PACKET_BYTES = _limit("mqtt-packet-bytes", 256 * KIB, "bytes", "close", "a packet is parsed in one piece")
MQTT_CONNECTIONS = _limit("mqtt-connections", 20_000, "connections", "reject", "each holds a socket and a session")
MQTT_SUBSCRIPTIONS = _limit(
    "mqtt-subscriptions", 1000, "filters per client", "reject", "each is matched against every new topic"
)
MQTT_TOPICS = _limit("mqtt-topics", 100_000, "topics", "reject", "each topic seen has a compiled route in memory")
MQTT_SEND_QUEUE_BYTES = _limit(
    "mqtt-send-queue-bytes",
    MIB,
    "bytes per client",
    "drop-oldest",
    "a slow subscriber must not use up the hub's memory",
)
MQTT_INFLIGHT = _limit(
    "mqtt-inflight",
    1024,
    "messages per client",
    "wait",
    "QoS 1 and 2 messages sent to a client and not acknowledged; a client of MQTT 5 may ask for fewer",
    maximum=65_534,
)
MQTT_QUEUE = _limit(
    "mqtt-queue-messages",
    10_000,
    "messages per session",
    "drop-oldest",
    "QoS 1 and 2 messages that wait for a client, also while it is away, are held in memory and on disk",
)
MQTT_QUEUE_BYTES = _limit(
    "mqtt-queue-bytes", MIB, "bytes per session", "drop-oldest", "few large messages weigh as much as many small"
)
MQTT_RECEIVE_MAXIMUM = _limit(
    "mqtt-receive-maximum",
    1024,
    "messages per client",
    "close",
    "MQTT 5: QoS 1 and 2 publishes that a client may have unacknowledged; each is held in memory until it is synced",
    maximum=65_535,
)
MQTT_TOPIC_ALIASES = _limit(
    "mqtt-topic-aliases",
    64,
    "topics per client and direction",
    "reject",
    "MQTT 5: each topic that an alias stands for is held in memory",
    maximum=65_535,
    least=0,
)
MQTT_KEEP_ALIVE_S = _limit(
    "mqtt-keep-alive-seconds",
    65_535,
    "seconds",
    "reject",
    "MQTT 5: clients that ask for longer, or for none, are told to keep to this; a dead one holds its session's place",
    maximum=65_535,
)
MQTT_UNSTORED = _limit(
    "mqtt-unstored", 16_384, "messages per client", "wait", "QoS 1 publishes read but not yet synced; reading pauses"
)
MQTT_UNSTORED_BYTES = _limit(
    "mqtt-unstored-bytes", 4 * MIB, "bytes per client", "wait", "few large QoS 1 publishes weigh as much as many small"
)
MQTT_RETAINED = _limit(
    "mqtt-retained", 10_000, "messages", "reject", "each is held in memory and matched to new filters"
)
MQTT_RETAINED_BYTES = _limit("mqtt-retained-bytes", 32 * MIB, "bytes", "reject", "retained payloads are held in memory")
MQTT_SESSIONS = _limit(
    "mqtt-sessions", 20_000, "sessions", "drop-oldest", "sessions kept for absent clients are held in memory"
)
MQTT_CONNECT_S = _limit(
    "mqtt-connect-seconds", 10, "seconds", "close", "a connection that does not say CONNECT holds a socket for nothing"
)
