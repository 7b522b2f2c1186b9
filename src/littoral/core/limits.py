"""Every limit of a node: name, default, unit, what happens when it is reached, and why it is there.

A limit is declared here and nowhere else, so that `docs/reference/limits.md` is complete (a test
compares) and each one is counted by the same metric: `littoral_limit_reached_total{limit="<name>"}`.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from littoral.core.errors import InvalidInput

Policy = Literal["reject", "drop-oldest", "spill", "wait", "close", "kill"]


class Limit(msgspec.Struct, frozen=True):
    """One bound."""

    name: str
    default: int
    unit: str
    policy: Policy
    """What happens at the bound."""
    reason: str
    maximum: int | None = None
    """The most a node may set it to; None for any. For what other nodes have to be able to read."""

    least: int = 1
    """The least that a node may set it to; 0 where there may be none of it at all."""

    @property
    def most(self) -> int:
        """Of a limit that has a maximum."""
        assert self.maximum is not None, self.name
        return self.maximum


LIMITS: dict[str, Limit] = {}


def _limit(
    name: str, default: int, unit: str, policy: Policy, reason: str, *, maximum: int | None = None, least: int = 1
) -> Limit:
    assert name not in LIMITS, name
    LIMITS[name] = Limit(name, default, unit, policy, reason, maximum, least)
    return LIMITS[name]


KIB, MIB = 1 << 10, 1 << 20

RECORD_BYTES = _limit(
    "record-bytes", MIB, "bytes", "reject", "one record is decoded in one piece at every node", maximum=4 * MIB
)
BATCH_BYTES = _limit(
    "batch-bytes", 256 * KIB, "bytes", "wait", "a batch row is read and checked in one piece", maximum=4 * MIB
)
BATCH_RECORDS = _limit(
    "batch-records", 4096, "records", "wait", "a batch row is decoded in one piece", maximum=64 * KIB
)
COMMIT_QUEUE_JOBS = _limit(
    "commit-queue-jobs", 65_536, "jobs", "reject", "writers must not outrun the disk without being told"
)
COMMIT_GROUP_JOBS = _limit(
    "commit-group-jobs", 4096, "jobs", "wait", "bounds how long one transaction holds the writer"
)
STREAM_BYTES = _limit(
    "stream-bytes", 256 * MIB, "bytes", "drop-oldest", "default retention of a stream that states none"
)
STORE_BYTES = _limit(
    "store-bytes",
    16 * 1024 * MIB,
    "bytes",
    "drop-oldest",
    "all streams of a node together; of the largest stream in the lane bulk, or else telemetry, the oldest go first",
)
FREE_BYTES = _limit(
    "free-bytes",
    16 * MIB,
    "bytes",
    "reject",
    "of the disk: the last are for the lanes control and alerts, and for what makes room again",
)
BLOB_BYTES = _limit(
    "blob-bytes",
    16 * 1024 * MIB,
    "bytes",
    "reject",
    "of one blob: larger than any disk image or model that is rolled out",
)
BLOBS_BYTES = _limit(
    "blobs-bytes",
    32 * 1024 * MIB,
    "bytes",
    "drop-oldest",
    "all blobs of a node together; those that the parent has go first, the one used least recently before the others,"
    " and where there are none what is new is refused",
)
BLOBS = _limit("blobs", 100_000, "blobs", "drop-oldest", "each is held in memory as a row; as for blobs-bytes")
BLOBS_LISTED = _limit("blobs-listed", 1000, "blobs", "wait", "most of one page of a listing")
BLOB_PIECE_BYTES = _limit(
    "blob-piece-bytes",
    MIB,
    "bytes",
    "wait",
    "of a blob on its way: synced before it is acknowledged, and sent again where the link breaks in it",
    maximum=4 * MIB,
)
BLOBS_ANNOUNCED = _limit(
    "blobs-announced",
    100,
    "blobs per child",
    "reject",
    "that have not come: each may have cost one that would have to be fetched again",
)
BLOBS_ANNOUNCED_PERCENT = _limit(
    "blobs-announced-percent",
    50,
    "percent of blobs-bytes per child",
    "reject",
    "what a child has announced and not brought keeps its room from the others; so it is also the most of one blob",
    maximum=100,
)
BLOB_PARTIAL_S = _limit(
    "blob-partial-seconds",
    7 * 86_400,
    "seconds",
    "drop-oldest",
    "what came of a blob whose rest nobody sends would stay for ever",
)
STREAMS = _limit("streams", 10_000, "streams", "reject", "each stream costs the node a row and some memory")
FORK_DEPTH = _limit(
    "fork-depth", 64, "streams", "reject", "a read from the beginning of a fork of a fork asks once for each on the way"
)
STREAM_PRODUCERS = _limit(
    "stream-producers", 1000, "producers per stream", "reject", "the last append of each is remembered with the stream"
)
DEAD_LETTERS_AT_ONCE = _limit(
    "dead-letters-at-once",
    1000,
    "letters",
    "wait",
    "most of one page, and of one step where many are retried or dropped",
)
LISTED_STREAMS = _limit("listed-streams", 200, "streams", "wait", "most of one page of the list that people look at")
VIEWED_RECORDS = _limit("viewed-records", 200, "records", "wait", "most of one look at a stream's end")
READ_BYTES = _limit("read-bytes", MIB, "bytes", "wait", "most of one catch-up read; the reader asks again for more")
LONG_POLL_S = _limit("long-poll-seconds", 20, "seconds", "close", "below the idle timeout of common proxies")
SSE_S = _limit("sse-seconds", 60, "seconds", "close", "the protocol asks servers to end SSE about every minute")
LIVE_READERS = _limit("live-readers", 10_000, "readers", "reject", "each live reader holds a connection and a waiter")
SUBSCRIPTIONS = _limit(
    "subscriptions", 1000, "subscriptions", "reject", "each is matched against every stream that is new to it"
)
SUBSCRIPTION_STREAMS = _limit(
    "subscription-streams",
    1000,
    "streams per subscription",
    "reject",
    "those named one by one; a pattern means as many as there are",
)
SUBSCRIPTION_LEASE_MS = _limit(
    "subscription-lease-ms",
    600_000,
    "milliseconds",
    "reject",
    "for so long nobody else is woken when a worker dies",
    maximum=600_000,
)
SUBSCRIPTION_BODY_BYTES = _limit(
    "subscription-body-bytes", 256 * KIB, "bytes", "reject", "what is said about a subscription is small"
)
WAKES_IN_FLIGHT = _limit(
    "wakes-in-flight", 32, "subscriptions", "wait", "each that is being woken by webhook holds a connection"
)
WEBHOOK_BODY_BYTES = _limit(
    "webhook-body-bytes", 256 * KIB, "bytes", "wait", "what a wake has no room for comes with the next one"
)
WEBHOOK_ANSWER_BYTES = _limit(
    "webhook-answer-bytes",
    64 * KIB,
    "bytes",
    "close",
    "an answer says whether it is done; whoever gives it is a stranger",
)
WEBHOOK_ANSWER_S = _limit(
    "webhook-answer-seconds", 30, "seconds", "close", "a receiver that is silent holds one of the wakes in flight"
)
API_BODY_BYTES = _limit("api-body-bytes", 16 * MIB, "bytes", "reject", "bodies of the node API are held in memory")
API_BODY_S = _limit(
    "api-body-seconds", 60, "seconds", "close", "a client that sends slowly must not hold a request open"
)
API_WRITE_S = _limit(
    "api-write-seconds",
    60,
    "seconds",
    "close",
    "a client that takes nothing of its answer for so long holds the answer, and the body of what it asked next",
)
API_IDLE_S = _limit(
    "api-idle-seconds",
    75,
    "seconds",
    "close",
    "a connection on which nothing is asked holds a socket; longer than clients keep theirs for the next request",
)
API_CONNECTIONS = _limit(
    "api-connections",
    20_000,
    "connections per listener",
    "close",
    "each holds a file; where TLS is spoken, and at the gateway, what is over it waits to be accepted",
)
API_HEAD_BYTES = _limit(
    "api-head-bytes",
    64 * KIB,
    "bytes",
    "reject",
    "of a request's line and header fields; far more than a browser sends",
)
API_PIPELINED = _limit(
    "api-pipelined",
    256,
    "requests per connection",
    "close",
    "that came before the one in front was answered: each is held, and its client asks faster than it reads",
)
API_HELD_BYTES = _limit(
    "api-held-bytes", 128 * MIB, "bytes per listener", "reject", "bodies are held until their requests are answered"
)
JOIN_BODY_BYTES = _limit(
    "join-body-bytes", 64 * KIB, "bytes", "reject", "anybody may call the join listener, and has little to say there"
)
PEER_ANSWER_BYTES = _limit(
    "peer-answer-bytes", 16 * MIB, "bytes", "close", "answers are held in memory; a part of a snapshot is the largest"
)
PEER_STREAM_BYTES = _limit(
    "peer-stream-bytes",
    64 * MIB,
    "bytes",
    "close",
    "of an answer in pieces over TLS: what its reader does not take is held in memory; who reads on asks again",
)
JOIN_ANSWER_BYTES = _limit(
    "join-answer-bytes", 64 * KIB, "bytes", "close", "certificates are small, and whoever answers is not known yet"
)
SUBTREE_CHANGES = _limit(
    "subtree-changes",
    10,
    "changes at once",
    "wait",
    "each begins the session with the parent anew; past these, all that wait are told of together, every ten seconds",
)
INBOX_MESSAGES = _limit(
    "inbox-messages",
    1000,
    "messages per child",
    "reject",
    "what waits for a child, or at it to be done, is held until it is answered or its deadline has passed",
)
INBOX_MESSAGE_BYTES = _limit(
    "inbox-message-bytes",
    512 * KIB,
    "bytes",
    "reject",
    "a message is one record at every node on its way",
    maximum=3 * MIB,
)
INBOX_BYTES = _limit(
    "inbox-bytes", 64 * MIB, "bytes per child", "reject", "all that waits for a child is on the disk until it has it"
)
INBOX_AT_ONCE = _limit(
    "inbox-at-once", 16, "messages", "wait", "requests from above must not crowd out those made here"
)
INBOX_KEPT = _limit(
    "inbox-kept",
    10_000,
    "messages",
    "reject",
    "messages that were made are remembered until their deadline, so that none is made twice; likewise those asked here",
)
INBOX_LISTED = _limit("inbox-listed", 200, "messages", "wait", "most of one page of the list of what was asked")
INBOX_ANSWER_BYTES = _limit(
    "inbox-answer-bytes",
    4 * MIB,
    "bytes",
    "reject",
    "an answer from below is held in memory, and by every node on its way",
)
OUTBOX_BYTES = _limit(
    "outbox-bytes", 64 * MIB, "bytes", "drop-oldest", "answers are kept for who asks for them later or again"
)
UPLINK_BATCH_BYTES = _limit(
    "uplink-batch-bytes",
    MIB,
    "bytes",
    "wait",
    "of a frame once packed: bounds what a broken link makes us send again",
    maximum=4 * MIB,
)
LINK_CONNECTIONS = _limit(
    "link-connections",
    1024,
    "connections per WAN",
    "reject",
    "each holds two sockets of the process that plays the WAN",
)
LINK_BUFFER_BYTES = _limit(
    "link-buffer-bytes",
    16 * MIB,
    "bytes per direction",
    "wait",
    "what a fast line holds in flight; then reading pauses",
)
UPLINK_FRAMES = _limit(
    "uplink-frames",
    4,
    "frames per sender",
    "wait",
    "on their way at once where the parent answers quickly: a long link is not idle between one and the next",
)
RETRY_DELAY_MS = _limit("retry-delay-ms", 30_000, "milliseconds", "wait", "cap of every exponential backoff")
TOKENS = _limit("join-tokens", 1000, "tokens", "reject", "unused join tokens are kept until they expire")
CHILDREN = _limit("children", 10_000, "nodes", "reject", "each child holds connections and a notification channel")
HELLOS_AT_ONCE = _limit(
    "hellos-at-once",
    256,
    "children",
    "reject",
    "children that come together wait for their turns; those that find so many waiting are asked to come again later",
)
HELLOS_S = _limit(
    "hellos-a-second",
    250,
    "children a second",
    "wait",
    "over how long children spread that lost their sessions together: each costs a handshake and what it then fetches",
)
TREE_NODES = _limit(
    "tree-nodes", 100_000, "nodes", "reject", "the root remembers every node it signed for, so that names stay unique"
)
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
MQTT_INFLIGHT = _limit("mqtt-inflight", 1024, "messages per client", "drop-oldest", "unacknowledged QoS 1 deliveries")
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
RULE_KEYS = _limit("rule-keys", 100_000, "keys per rule", "reject", "each key has a window and a detector in memory")
RULE_WINDOWS = _limit("rule-windows", 256, "open windows per key", "reject", "bounds what a wild timestamp can open")
RULE_OUTPUTS = _limit(
    "rule-outputs",
    200_000,
    "results per rule",
    "reject",
    "what QoS 0 readings give waits in memory for the disk; half is for dead letters, so that they take no window's place",
)
EVENT_AHEAD_MS = _limit(
    "event-ahead-ms",
    86_400_000,
    "milliseconds",
    "reject",
    "a reading from the far future would make all of its key that follow late",
)
KV_KEY_BYTES = _limit("kv-key-bytes", 512, "bytes", "reject", "as in the Workers KV interface")
KV_VALUE_BYTES = _limit("kv-value-bytes", MIB, "bytes", "reject", "a value is one record")
KV_CACHE_ENTRIES = _limit("kv-cache-entries", 10_000, "entries", "drop-oldest", "read-through values kept in memory")
KV_CACHE_BYTES = _limit(
    "kv-cache-bytes", 32 * MIB, "bytes", "drop-oldest", "read-through values are kept in memory, and may be large"
)
KV_LIST_KEYS = _limit("kv-list-keys", 1000, "keys", "wait", "most of one page of a listing; as in Workers KV")
KV_TOMBSTONE_S = _limit(
    "kv-tombstone-seconds",
    30 * 86_400,
    "seconds",
    "drop-oldest",
    "every key that was ever deleted would stay for ever; for as long a node may be away, and its old writes still count",
)
FUNCTION_WALL_MS = _limit("function-wall-ms", 10_000, "milliseconds", "kill", "default of an app's wallTimeMs")
FUNCTION_INFLIGHT = _limit(
    "function-inflight", 1000, "requests per worker", "reject", "a busy app must not queue for ever"
)
FUNCTION_BODY_BYTES = _limit("function-body-bytes", 16 * MIB, "bytes", "reject", "bodies are held in memory")
FUNCTION_MEMORY_BYTES = _limit("function-memory-bytes", 512 * MIB, "bytes", "kill", "default of an app's memoryBytes")
FUNCTION_GRACE_MS = _limit(
    "function-grace-ms", 250, "milliseconds", "kill", "what a worker has, past a request's wall time, to let go of it"
)
FUNCTION_START_MS = _limit("function-start-ms", 10_000, "milliseconds", "kill", "an app's import must come to an end")
FUNCTION_WAIT_MS = _limit(
    "function-wait-ms", 2000, "milliseconds", "reject", "how long a request waits for a worker that is being restarted"
)
FUNCTION_BACKGROUND = _limit(
    "function-background", 1000, "tasks per worker", "reject", "work handed to ctx.waitUntil outlives its request"
)
FORM_FIELDS = _limit(
    "form-fields", 1000, "fields of a form", "reject", "each field of a form costs far more memory than it has bytes"
)
BINDING_INFLIGHT = _limit(
    "binding-inflight", 1000, "calls per worker", "reject", "a function must not queue in the hub without end"
)
BINDING_WAIT_MS = _limit(
    "binding-wait-ms", 30_000, "milliseconds", "reject", "how long a call of a binding waits for a restarting hub"
)
GATEWAY_HELD_BYTES = _limit(
    "gateway-held-bytes", 128 * MIB, "bytes per gateway", "reject", "request bodies are held until they are answered"
)
GATEWAY_CACHE_BYTES = _limit(
    "gateway-cache-bytes",
    256 * MIB,
    "bytes per gateway",
    "drop-oldest",
    "responses held in memory; what is asked for least goes first",
)
GATEWAY_CACHE_OBJECT_BYTES = _limit(
    "gateway-cache-object-bytes",
    8 * MIB,
    "bytes",
    "reject",
    "one stored response in memory: a few large ones would displace many small ones. What is larger is only on the disk",
)
GATEWAY_DISK_BYTES = _limit(
    "gateway-disk-bytes",
    10 * 1024 * MIB,
    "bytes",
    "drop-oldest",
    "responses on the disk, of all gateways of a node; what was asked for least recently goes first. Never more than half of"
    " what would be free without them. 0: nothing is kept on the disk",
    least=0,
)
GATEWAY_DISK_OBJECT_BYTES = _limit(
    "gateway-disk-object-bytes",
    1024 * MIB,
    "bytes",
    "reject",
    "one response on the disk, as for gateway-cache-object-bytes. What is larger goes through and is not stored",
)
GATEWAY_DISK_QUEUE_BYTES = _limit(
    "gateway-disk-queue-bytes",
    32 * MIB,
    "bytes per gateway",
    "reject",
    "responses that wait to be written to a slow disk are held in memory; what comes then is stored in memory only",
)
RELAY_REQUESTS = _limit(
    "relay-requests",
    256,
    "requests per gateway",
    "reject",
    "under way at the parent's relay; what is more goes to the origin straight away",
)
RELAY_CONNECT_MS = _limit(
    "relay-connect-ms",
    2000,
    "milliseconds",
    "close",
    "until there is a connection to the parent's relay; a client waits for it, and the origin can be asked meanwhile",
)
RELAY_QUIET_MS = _limit(
    "relay-quiet-ms",
    3000,
    "milliseconds",
    "close",
    "for which the parent says nothing of a request; one that waits itself says so after a second, and again",
)
RELAY_WAIT_MS = _limit(
    "relay-wait-ms",
    500,
    "milliseconds",
    "reject",
    "a request waits at the parent until its gateway has heard of the purges that the child knows",
)
ACCESS_LOG_FILE_BYTES = _limit(
    "access-log-file-bytes", 64 * MIB, "bytes", "wait", "then the next file of a gateway's access log begins"
)
ACCESS_LOG_FILES = _limit(
    "access-log-files",
    8,
    "files per gateway",
    "drop-oldest",
    "what is written down of requests must not fill the disk; the one that is being written is one of them",
)
ACCESS_LOG_WAITING_BYTES = _limit(
    "access-log-waiting-bytes",
    4 * MIB,
    "bytes per gateway",
    "reject",
    "lines that wait for a slow disk are held in memory; those beyond it are dropped, and counted",
)
ORIGIN_HEAD_BYTES = _limit(
    "origin-head-bytes",
    64 * KIB,
    "bytes",
    "close",
    "the head of an origin's response is held whole; so are its trailers",
)
ORIGIN_FIELDS = _limit(
    "origin-fields",
    256,
    "fields per response",
    "close",
    "each field of a head costs work at every step it goes through",
)
ORIGIN_INTERIM = _limit(
    "origin-interim", 16, "interim responses per request", "close", "an origin must not put off its answer for ever"
)
ORIGIN_READ_AHEAD_BYTES = _limit(
    "origin-read-ahead-bytes", 256 * KIB, "bytes per response", "wait", "a body is read as fast as its client takes it"
)
ORIGIN_IDLE_CONNECTIONS = _limit(
    "origin-idle-connections",
    256,
    "connections per origin",
    "close",
    "kept for the next requests; each holds a descriptor",
)
ORIGIN_IDLE_S = _limit(
    "origin-idle-seconds",
    30,
    "seconds",
    "close",
    "a connection kept for longer is one that the origin closes just then",
)
ORIGIN_CONNECTION_S = _limit(
    "origin-connection-seconds", 600, "seconds", "close", "after it, new addresses of an origin's name are heeded"
)
GATEWAY_CONNECTIONS = _limit(
    "gateway-connections",
    20_000,
    "connections per listener",
    "close",
    "each holds a file; who comes then is not served",
)
GATEWAY_HEAD_BYTES = _limit(
    "gateway-head-bytes", 64 * KIB, "bytes", "reject", "of a request's line and fields; far more than a browser sends"
)
GATEWAY_TARGET_BYTES = _limit(
    "gateway-target-bytes", 16 * KIB, "bytes", "reject", "of a request's target; what is longer is no address"
)
GATEWAY_FIELDS = _limit(
    "gateway-fields", 128, "fields per request", "reject", "each is looked at by itself; browsers send about twenty"
)
GATEWAY_HEAD_S = _limit(
    "gateway-head-seconds",
    20,
    "seconds",
    "close",
    "from a head's first byte to its last; a client that drips holds a socket",
)
GATEWAY_BODY_S = _limit(
    "gateway-body-seconds", 30, "seconds", "close", "in which a request's body must get on while it is waited for"
)
GATEWAY_BODY_RATE = _limit(
    "gateway-body-rate",
    64,
    "bytes a second",
    "close",
    "of a body that is waited for and not answered yet, over gateway-body-seconds; however slow a link is, it does that",
)
GATEWAY_IDLE_S = _limit(
    "gateway-idle-seconds",
    75,
    "seconds",
    "close",
    "a connection on which nothing is asked holds a socket; longer than clients keep theirs for the next request",
)
GATEWAY_TUNNEL_IDLE_S = _limit(
    "gateway-tunnel-idle-seconds",
    3600,
    "seconds",
    "close",
    "a WebSocket over which nothing goes either way holds two sockets; who wants to keep it for longer sends pings",
)
GATEWAY_READ_BYTES = _limit(
    "gateway-read-bytes",
    64 * KIB,
    "bytes per connection",
    "wait",
    "of a body ahead of who reads it, or of requests behind one that is not answered; HTTP/2 per stream",
)
GATEWAY_SEND_BYTES = _limit(
    "gateway-send-bytes",
    256 * KIB,
    "bytes per connection",
    "wait",
    "of answers that the client has not taken; then whoever sends waits, and no further request is looked at",
)
GATEWAY_UNREAD_BYTES = _limit(
    "gateway-unread-bytes",
    256 * KIB,
    "bytes",
    "close",
    "the rest of a body that nobody wanted is read so that the connection can go on; more is dearer than a new one",
)
GATEWAY_LINGER_S = _limit(
    "gateway-linger-seconds",
    5,
    "seconds",
    "close",
    "what a client still sends is dropped for so long, so that it can read why nothing more is read",
)
GATEWAY_DRAIN_S = _limit(
    "gateway-drain-seconds",
    300,
    "seconds",
    "close",
    "a gateway process that is replaced finishes for so long what it has begun: downloads, WebSockets",
)
GATEWAY_HANDSHAKE_S = _limit(
    "gateway-handshake-seconds", 10, "seconds", "close", "a client that does not get on with TLS holds a socket"
)
GATEWAY_STREAMS = _limit(
    "gateway-streams", 100, "requests per connection", "reject", "at once, over HTTP/2; as RFC 9113 advises"
)
GATEWAY_STREAM_RESETS = _limit(
    "gateway-stream-resets",
    200,
    "streams in ten seconds",
    "close",
    "that a client of HTTP/2 begins and takes back: it costs it nothing, and us a request (CVE-2023-44487)",
)
GATEWAY_CONTROL_FRAMES = _limit(
    "gateway-control-frames",
    1000,
    "frames in ten seconds",
    "close",
    "of HTTP/2 that carry nothing: pings, settings, empty data; each is answered or looked at",
)
CONTROL_FRAME_BYTES = _limit(
    "control-frame-bytes", MIB, "bytes", "close", "what the processes of a node tell each other is small"
)
APP_BUNDLE_BYTES = _limit(
    "app-bundle-bytes", 768 * KIB, "bytes", "reject", "a bundle is one record of the desired state"
)
RESOURCE_FILE_BYTES = _limit("resource-file-bytes", MIB, "bytes", "reject", "a YAML file is parsed in one piece")
CSR_BYTES = _limit("csr-bytes", 16 * KIB, "bytes", "reject", "signing requests arrive from nodes not yet known")
ADVERTISED_NAMES = _limit("advertised-names", 32, "names per node", "reject", "each is a name in the certificate")
NODE_TOKEN_REPLAYS = _limit(
    "node-token-replays", 262_144, "tokens per child", "reject", "tokens seen are remembered until they expire"
)
RESTART_DELAY_MS = _limit("restart-delay-ms", 5_000, "milliseconds", "wait", "cap of the backoff between restarts")


class Limits:
    """The limits of one node: the defaults, with the node's own values over them, and how often each was reached."""

    def __init__(self, overrides: Mapping[str, int] | None = None, reached: dict[str, int] | None = None) -> None:
        """reached: where it is counted how often each was reached; None for a place of their own. Raises InvalidInput for a name
        that is none, or a value below the limit's least or above its maximum."""
        self._values = {name: limit.default for name, limit in LIMITS.items()}
        self.reached = dict.fromkeys(LIMITS, 0) if reached is None else reached
        for name, value in (overrides or {}).items():
            if name not in LIMITS:
                raise InvalidInput(
                    "set limit", name, "there is no such limit", "docs/reference/limits.md lists them all"
                )
            if value < LIMITS[name].least:
                raise InvalidInput("set limit", name, f"{value} is below {LIMITS[name].least}")
            most = LIMITS[name].maximum
            if most is not None and value > most:
                raise InvalidInput("set limit", name, f"{value} is more than {most}, the most that every node can read")
            self._values[name] = value

    @property
    def overrides(self) -> dict[str, int]:
        """The node's own values, where they are not the defaults: what `Limits` makes of them is the same again."""
        return {name: value for name, value in self._values.items() if value != LIMITS[name].default}

    def __getitem__(self, limit: Limit) -> int:
        return self._values[limit.name]

    def hit(self, limit: Limit) -> None:
        """Count that a limit was reached."""
        self.reached[limit.name] += 1
