"""Limits of what calls apps besides clients: cron triggers, queues and other apps. Part of `littoral.core.limits`."""

from littoral.core.limit import KIB, MIB, Declarations

EVENT_LIMITS = Declarations()
_limit = EVENT_LIMITS.declare

EVENT_WALL_MS = _limit(
    "event-wall-ms",
    900_000,
    "milliseconds",
    "kill",
    "of a run of a cron trigger, or of a batch of a queue: nobody waits for it as for a response, but it has to end",
)
EVENT_CPU_MS = _limit(
    "event-cpu-ms",
    30_000,
    "milliseconds of CPU time",
    "kill",
    "of the same, where the app's cpuTimeMs is not more; its requests wait meanwhile",
)
CRON_RUNS = _limit(
    "cron-runs", 32, "runs", "wait", "under way at once: all triggers of all apps may be due in the same minute"
)
CRON_MISSED_RUNS = _limit(
    "cron-missed-runs",
    100,
    "runs of a trigger",
    "drop-oldest",
    "that were missed and are made up for: a node that was away for a month has missed 43,200 of one each minute",
)
CRON_JITTER_MS = _limit(
    "cron-jitter-ms",
    1000,
    "milliseconds",
    "wait",
    "runs of a minute begin spread over this: what they ask is asked by all nodes in the same minute",
    maximum=30_000,
    least=0,
)
QUEUE_MESSAGE_BYTES = _limit(
    "queue-message-bytes", 128 * KIB, "bytes", "reject", "of one body: a batch of them travels in one frame"
)
QUEUE_BATCH_BYTES = _limit(
    "queue-batch-bytes",
    256 * KIB,
    "bytes",
    "wait",
    "of the bodies that are given to a consumer at once, or sent at once; one message may have more",
)
QUEUE_BYTES = _limit(
    "queue-bytes",
    64 * MIB,
    "bytes per queue",
    "reject",
    "a queue whose consumer does not keep up must say so to who sends, for nothing of it may be dropped",
)
QUEUE_MESSAGES = _limit(
    "queue-messages", 100_000, "messages per queue", "reject", "each is known in memory until it is done"
)
QUEUE_DELAY_S = _limit(
    "queue-delay-seconds", 43_200, "seconds", "reject", "a message that waits keeps the room of all that came after it"
)
QUEUE_BATCHES = _limit(
    "queue-batches", 4, "batches per queue", "wait", "with the consumer at once, unless its maxConcurrency says less"
)
QUEUE_RETRY_S = _limit(
    "queue-retry-seconds", 300, "seconds", "wait", "cap of the backoff of a message whose consumer fails"
)
QUEUE_KEYS = _limit(
    "queue-keys", 10_000, "idempotency keys per queue", "drop-oldest", "each is remembered in memory and on disk"
)
QUEUE_KEY_S = _limit(
    "queue-key-seconds", 86_400, "seconds", "drop-oldest", "how long a message is recognised that is sent again"
)
SERVICE_DEPTH = _limit(
    "service-depth", 16, "apps", "reject", "that call each other for one request: two that go round in circles must end"
)
ANALYTICS_POINTS = _limit(
    "analytics-points", 250, "data points at once", "reject", "they are one write of the stream that they go to"
)
