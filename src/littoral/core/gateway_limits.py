"""Limits of gateways and what they ask. Part of `littoral.core.limits`."""

from littoral.core.limit import KIB, MIB, Declarations

GATEWAY_LIMITS = Declarations()
_limit = GATEWAY_LIMITS.declare

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
