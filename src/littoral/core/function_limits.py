"""Limits of functions and their bindings. Part of `littoral.core.limits`."""

from littoral.core.limit import KIB, MIB, Declarations

FUNCTION_LIMITS = Declarations()
_limit = FUNCTION_LIMITS.declare

FUNCTION_WALL_MS = _limit("function-wall-ms", 10_000, "milliseconds", "kill", "default of an app's wallTimeMs")
FUNCTION_INFLIGHT = _limit(
    "function-inflight", 1000, "requests per worker", "reject", "a busy app must not queue for ever"
)
FUNCTION_BODY_BYTES = _limit("function-body-bytes", 16 * MIB, "bytes", "reject", "bodies are held in memory")
FUNCTION_MEMORY_BYTES = _limit("function-memory-bytes", 512 * MIB, "bytes", "kill", "default of an app's memoryBytes")
FUNCTION_CPU_MS = _limit(
    "function-cpu-ms", 5000, "milliseconds of CPU time", "kill", "default of an app's cpuTimeMs: others wait meanwhile"
)
FUNCTION_OPEN_FILES = _limit(
    "function-open-files", 1024, "files per worker", "reject", "default of an app's openFiles; sockets count"
)
FUNCTION_TEMPORARY_BYTES = _limit(
    "function-temporary-bytes",
    64 * MIB,
    "bytes per worker",
    "reject",
    "default of an app's temporaryBytes: it is memory",
)
FUNCTION_THREADS = _limit(
    "function-threads",
    64,
    "threads per worker",
    "reject",
    "each takes memory of the kernel, which no app's limit counts",
)
FUNCTION_LOG_LINES = _limit(
    "function-log-lines",
    1000,
    "lines per worker and second",
    "reject",
    "default of an app's logLines: a flood must not hide what others log; what is left out is counted in the log",
)
FUNCTION_LOG_BYTES = _limit(
    "function-log-bytes", 256 * KIB, "bytes per worker and second", "reject", "default of an app's logBytes"
)
FUNCTION_FIRST_USER = _limit(
    "function-first-user",
    2_000_000_000,
    "user id",
    "reject",
    "the first of the user ids that apps get where the node runs as root; a node takes up to 10,000 of the 100,000,000 from there"
    " on, which are to be nobody else's",
    maximum=2_040_000_000,
    least=1000,
)
FUNCTION_GRACE_MS = _limit(
    "function-grace-ms", 250, "milliseconds", "kill", "what a worker has, past a request's wall time, to let go of it"
)
FUNCTION_HOLD_MS = _limit(
    "function-hold-ms",
    100,
    "milliseconds of CPU time",
    "wait",
    "an app in isolation inline that computes for longer in one go is named in the log: its gateway answers nobody meanwhile",
)
FUNCTION_START_MS = _limit("function-start-ms", 10_000, "milliseconds", "kill", "an app's import must come to an end")
FUNCTION_WAIT_MS = _limit(
    "function-wait-ms",
    10_000,
    "milliseconds",
    "reject",
    "how long a request waits for a worker to start, for an app that has none or whose last one ended",
)
FUNCTION_BUSY = _limit(
    "function-busy", 16, "requests per worker", "wait", "in flight; with more, another worker of the app is started"
)
FUNCTION_IDLE_S = _limit(
    "function-idle-seconds", 900, "seconds", "drop-oldest", "default of an app's idleTimeS: a worker holds memory"
)
FUNCTION_WARM = _limit(
    "function-warm-workers",
    200,
    "workers",
    "drop-oldest",
    "of all apps together beyond those that they always have: the app asked for least recently gives up its own",
)
FUNCTION_SPARES = _limit(
    "function-spares",
    2,
    "processes",
    "wait",
    "forked before there is a worker for them to be: beyond them each start waits for its own fork",
    least=0,
)
FUNCTION_STARTS = _limit(
    "function-starts", 8, "workers", "wait", "starting at one time: more of them would all take longer"
)
FUNCTION_ENVIRONMENTS = _limit(
    "function-environments",
    32,
    "environments",
    "drop-oldest",
    "each is a process that holds the packages of one app, imported, so that its workers start in no time",
)
FUNCTION_ENVIRONMENT_IDLE_S = _limit(
    "function-environment-idle-seconds",
    3600,
    "seconds",
    "drop-oldest",
    "how long an environment stays after the last worker of its app has gone",
)
FUNCTION_ROLLBACK_S = _limit(
    "function-rollback-seconds",
    600,
    "seconds",
    "drop-oldest",
    "how long the environment of an app's former revision stays: going back to it soon takes no longer than a start",
    least=0,
)
FUNCTION_ENVIRONMENT_BYTES = _limit(
    "function-environment-bytes",
    256 * MIB,
    "bytes",
    "kill",
    "that the packages of an app may take when they are imported, beside the memory of its workers",
)
FUNCTION_RETRY_MS = _limit(
    "function-retry-ms",
    60_000,
    "milliseconds",
    "wait",
    "cap of the backoff between starts of a revision that fails: its import costs as much as one that succeeds",
)
FUNCTION_BACKGROUND = _limit(
    "function-background", 1000, "tasks per worker", "reject", "work handed to ctx.waitUntil outlives its request"
)
FUNCTION_STREAM_BYTES = _limit(
    "function-stream-bytes",
    256 * KIB,
    "bytes per body",
    "wait",
    "what has come of a body that does not travel whole, and was not read yet, is held in memory",
    least=64 * KIB,
)
FUNCTION_STREAM_IDLE_S = _limit(
    "function-stream-idle-seconds",
    300,
    "seconds",
    "close",
    "an answer of which nothing comes holds a place in its worker; who has little to say sends a comment now and then",
)
FUNCTION_DRAIN_S = _limit(
    "function-drain-seconds",
    60,
    "seconds",
    "kill",
    "a worker that is replaced finishes for so long what it has begun: downloads, WebSockets",
)
WEB_SOCKET_MESSAGE_BYTES = _limit(
    "web-socket-message-bytes", MIB, "bytes", "close", "a message of a WebSocket is held in memory until it is whole"
)
WEB_SOCKET_UNSENT_BYTES = _limit(
    "web-socket-unsent-bytes",
    4 * MIB,
    "bytes per WebSocket",
    "close",
    "what a function sends, and its client does not take, is held in memory",
)
WEB_SOCKET_PING_S = _limit(
    "web-socket-ping-seconds",
    30,
    "seconds",
    "close",
    "a client that does not answer a ping before the next one is due has gone, and nobody has said so; or it takes nothing of what"
    " it is sent, where a ping waits its turn: its WebSocket is ended, too",
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
APP_BUNDLE_BYTES = _limit(
    "app-bundle-bytes", 768 * KIB, "bytes", "reject", "a bundle is one record of the desired state"
)
APP_CODE_BYTES = _limit(
    "app-code-bytes",
    128 * MIB,
    "bytes",
    "reject",
    "compressed, of an app's own files and of its packages each: every node that runs it fetches them",
    maximum=1024 * MIB,
)
APP_UNPACKED_BYTES = _limit(
    "app-unpacked-bytes", 512 * MIB, "bytes", "reject", "what little compressed code unpacks to must not fill a disk"
)
APP_REVISIONS = _limit(
    "app-revisions", 10, "revisions per app", "drop-oldest", "what a root keeps to go back to, with their code"
)
APP_LOG_BYTES = _limit(
    "app-log-bytes", 256 * KIB, "bytes per app", "drop-oldest", "of what its workers wrote last, for `littoral logs`"
)
APP_LOGS_BYTES = _limit(
    "app-logs-bytes",
    16 * MIB,
    "bytes",
    "drop-oldest",
    "of that, all apps of a node together: the hub holds it in memory",
)
APP_EXCEPTION_GROUPS = _limit(
    "app-exception-groups",
    50,
    "groups per app",
    "drop-oldest",
    "what its code raised, by type and place, with one traceback each; the hub holds it in memory",
)
APP_FOLDERS = _limit(
    "app-folders",
    3,
    "revisions per app",
    "drop-oldest",
    "kept unpacked at a node, the present one included: going back to one of them takes no unpacking",
)
SUBREQUESTS = _limit(
    "subrequests",
    50,
    "requests per request",
    "reject",
    "one request of a client must not become a flood at somebody else's; redirects count",
)
SUBREQUESTS_AT_ONCE = _limit(
    "subrequests-at-once", 6, "requests per request", "wait", "each holds two connections until its answer was read"
)
SUBREQUEST_WAIT_MS = _limit(
    "subrequest-wait-ms",
    5000,
    "milliseconds",
    "reject",
    "how long one of them waits for another to end: who reads no answer would wait for ever",
)
SUBREQUEST_BODY_BYTES = _limit(
    "subrequest-body-bytes", 1024 * MIB, "bytes", "close", "of each body, sent or received; it is not held in memory"
)
SUBREQUEST_CONNECT_MS = _limit(
    "subrequest-connect-ms", 5000, "milliseconds", "reject", "for all addresses of a name together, with TLS"
)
SUBREQUEST_IDLE_MS = _limit(
    "subrequest-idle-ms",
    60_000,
    "milliseconds",
    "close",
    "how long a server may take to begin its answer, or to go on with it",
)
EGRESS_REQUESTS = _limit(
    "egress-requests", 1000, "requests per app", "reject", "under way; each holds a connection of the node"
)
EGRESS_IDLE_CONNECTIONS = _limit(
    "egress-idle-connections", 64, "connections per app", "close", "kept for the next request, over all servers"
)
SECRET_BYTES = _limit("secret-bytes", 5 * KIB, "bytes", "reject", "as in Workers; all of an app's travel as one record")
SECRETS = _limit("secrets", 100, "secrets per app", "reject", "all of an app's travel as one record")
SECRET_KEY_DELAY_MS = _limit(
    "secret-key-delay-ms",
    30_000,
    "milliseconds",
    "wait",
    "the longest between two times that a node asks for the key of secrets",
)
CACHE_API_BYTES = _limit(
    "cache-api-bytes",
    64 * MIB,
    "bytes",
    "drop-oldest",
    "what apps put into caches themselves (caches.default) is in the hub's memory; of the app that has most",
)
CACHE_PURGES = _limit(
    "cache-purges",
    600,
    "purges per app and minute",
    "reject",
    "an app's own (ctx.cache.purge): each is written down, and done at this node and all below it",
)
CACHE_API_OBJECT_BYTES = _limit("cache-api-object-bytes", MIB, "bytes", "reject", "one travels in one frame")
