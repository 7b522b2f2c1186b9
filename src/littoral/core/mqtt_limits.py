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
MQTT_GLOBAL_BYTES = _limit(
    "mqtt-global-bytes",
    64 * MIB,
    "bytes per GlobalTopics",
    "drop-oldest",
    "messages for other nodes wait on disk while the parent cannot be reached",
)
MQTT_GLOBAL_RETAINED = _limit(
    "mqtt-global-retained",
    10_000,
    "messages per GlobalTopics",
    "reject",
    "the retained message of each topic is kept for nodes that come later; one beyond is delivered, and not retained",
)
MQTT_LOGIN_MS = _limit(
    "mqtt-login-ms",
    5000,
    "milliseconds",
    "reject",
    "of an app that is asked who may connect, until it is there included: a client that is not let in by then is refused",
)
MQTT_LOGIN_CALLS = _limit(
    "mqtt-login-calls",
    64,
    "logins",
    "wait",
    "that an app is asked about at a time: a fleet that comes back must not take all its workers from requests",
)
MQTT_LOGIN_BYTES = _limit(
    "mqtt-login-bytes", 64 * KIB, "bytes", "reject", "of what such an app answers: it is held while its client is there"
)
MQTT_LOGIN_FILTERS = _limit(
    "mqtt-login-filters",
    256,
    "topic filters per client",
    "reject",
    "that such an app allows: each is looked at for each new topic of the client",
)
MQTT_LOGIN_STEPS = _limit(
    "mqtt-login-steps", 16, "steps", "reject", "MQTT 5: of one enhanced authentication, each of which calls the app"
)
MQTT_LOGIN_CACHE = _limit(
    "mqtt-login-cache",
    10_000,
    "answers",
    "drop-oldest",
    "of such an app that are remembered for `ttl`, by a keyed hash of what was asked",
)
MQTT_LOGIN_HASHES = _limit(
    "mqtt-login-hashes",
    2,
    "passwords",
    "wait",
    "checked at a time, at a lower priority than the hub's other work: each takes 19 MiB and some 50 ms of a core",
)
MQTT_LOGIN_WAITING = _limit(
    "mqtt-login-waiting",
    200,
    "passwords",
    "reject",
    "that wait to be checked: whoever knows none may send many; one more client is told that the server is busy",
)
MQTT_CONNECT_BYTES = _limit(
    "mqtt-connect-bytes",
    32 * KIB,
    "bytes",
    "close",
    "of a packet before the client is let in, its will included: it is held in memory for whoever says that it will send it",
)
MQTT_CONNECTION_RATE = _limit(
    "mqtt-connection-rate",
    2000,
    "connections a second per listener",
    "wait",
    "each costs a login and a write; a fleet that comes back at once must not keep others from being heard",
)
MQTT_ADDRESS_CONNECTION_RATE = _limit(
    "mqtt-address-connection-rate",
    1000,
    "connections a second per listener and address",
    "wait",
    "one that connects all the time must not use up what others have; of IPv6, /64 networks count as addresses",
)
MQTT_RATE_ADDRESSES = _limit(
    "mqtt-rate-addresses",
    10_000,
    "addresses per listener",
    "drop-oldest",
    "how fast each connects is held in memory; one that is forgotten begins anew",
)
MQTT_MESSAGE_RATE = _limit(
    "mqtt-message-rate",
    1_000_000,
    "messages a second per client",
    "wait",
    "one client must not take the whole intake; one that stands for many devices may well take most of it",
)
MQTT_CONNECT_S = _limit(
    "mqtt-connect-seconds", 10, "seconds", "close", "a connection that does not say CONNECT holds a socket for nothing"
)
MQTT_TOPIC_VALUES = _limit(
    "mqtt-topic-values",
    10_000,
    "topics",
    "drop-oldest",
    "the last value of each is held in memory for who asks; the topic that was quiet longest goes first; 0: none is kept",
    least=0,
)
MQTT_TOPIC_VALUE_BYTES = _limit(
    "mqtt-topic-value-bytes", 256, "bytes", "reject", "of a last value: what is longer is kept as far as this"
)
MQTT_TOPIC_NOTES = _limit(
    "mqtt-topic-notes",
    10_000,
    "messages per second",
    "reject",
    "noting last values takes processor time from the intake: of more messages than these, a sample is noted",
)
MQTT_WATCHES = _limit(
    "mqtt-watches", 32, "operators", "reject", "each that follows topics has a queue in memory, and gets every message"
)
MQTT_WATCH_BYTES = _limit(
    "mqtt-watch-bytes",
    4 * MIB,
    "bytes per operator",
    "drop-oldest",
    "messages for an operator who follows topics wait in memory until they are asked for",
)
MQTT_WATCH_S = _limit(
    "mqtt-watch-seconds", 60, "seconds", "close", "who follows topics and does not ask for more has gone"
)
MQTT_BRIDGE_SESSION_S = _limit(
    "mqtt-bridge-session-seconds",
    604_800,
    "seconds",
    "close",
    "MQTT 5: how long another broker keeps the session of a bridge that is cut off, and what waits there for this node",
    maximum=4_294_967_294,
)
MQTT_BRIDGE_INFLIGHT = _limit(
    "mqtt-bridge-inflight",
    20,
    "messages per bridge",
    "wait",
    "QoS 1 and 2 messages sent and not acknowledged, to a broker of MQTT 3.1.1: it cannot say how many it takes; mosquitto takes 20",
    maximum=65_534,
)
MQTT_BRIDGE_HOPS = _limit(
    "mqtt-bridge-hops",
    8,
    "bridges",
    "reject",
    "MQTT 5: a message that has passed more bridges of Littoral goes round in a way that nobody meant",
)
