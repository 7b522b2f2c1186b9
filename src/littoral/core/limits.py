"""Every limit of a node: name, default, unit, what happens when it is reached, and why it is there.

A limit is declared here, or in the file of its theme that is included here (`gateway_limits`, `mqtt_limits`, `function_limits`,
`event_limits`, `inference_limits`), and nowhere else, so that `docs/reference/limits.md` is complete (a test compares) and each one is counted by the same metric:
`littoral_limit_reached_total{limit="<name>"}`.
"""

from collections.abc import Mapping

from littoral.core.errors import InvalidInput
from littoral.core.event_limits import EVENT_LIMITS
from littoral.core.function_limits import FUNCTION_LIMITS
from littoral.core.gateway_limits import GATEWAY_LIMITS
from littoral.core.inference_limits import INFERENCE_LIMITS
from littoral.core.limit import KIB, MIB, Declarations, Limit
from littoral.core.mqtt_limits import MQTT_LIMITS

LIMITS = Declarations()
_limit = LIMITS.declare

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
CONTROL_FRAME_BYTES = _limit(
    "control-frame-bytes", MIB, "bytes", "close", "what the processes of a node tell each other is small"
)
RESOURCE_FILE_BYTES = _limit("resource-file-bytes", MIB, "bytes", "reject", "a YAML file is parsed in one piece")
CSR_BYTES = _limit("csr-bytes", 16 * KIB, "bytes", "reject", "signing requests arrive from nodes not yet known")
ADVERTISED_NAMES = _limit("advertised-names", 32, "names per node", "reject", "each is a name in the certificate")
NODE_TOKEN_REPLAYS = _limit(
    "node-token-replays", 262_144, "tokens per child", "reject", "tokens seen are remembered until they expire"
)
RESTART_DELAY_MS = _limit("restart-delay-ms", 5_000, "milliseconds", "wait", "cap of the backoff between restarts")
LIMITS.include(GATEWAY_LIMITS)
LIMITS.include(MQTT_LIMITS)
LIMITS.include(FUNCTION_LIMITS)
LIMITS.include(EVENT_LIMITS)
LIMITS.include(INFERENCE_LIMITS)


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
