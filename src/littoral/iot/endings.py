"""Why this side ends a connection, and how a client of MQTT 5 is told (section 3.14.2.1)."""

from littoral.wire.mqtt import ReasonCode

TAKEOVER = "takeover"
KEEP_ALIVE = "keep-alive"
SHUTDOWN = "shutdown"
SEND_QUEUE = "send-queue"
STORE_FAILED = "store-failed"
KICKED = "kicked"
EXPIRED = "login-expired"
REVOKED = "certificate-revoked"
LISTENER = "listener"
MESSAGE_RATE = "message-rate"

CLOSING_REASONS = {
    TAKEOVER: ReasonCode.SESSION_TAKEN_OVER,
    KEEP_ALIVE: ReasonCode.KEEP_ALIVE_TIMEOUT,
    SHUTDOWN: ReasonCode.SERVER_SHUTTING_DOWN,
    SEND_QUEUE: ReasonCode.QUOTA_EXCEEDED,
    STORE_FAILED: ReasonCode.SERVER_BUSY,
    EXPIRED: ReasonCode.MAXIMUM_CONNECT_TIME,
    REVOKED: ReasonCode.NOT_AUTHORIZED,
    LISTENER: ReasonCode.ADMINISTRATIVE_ACTION,
    MESSAGE_RATE: ReasonCode.MESSAGE_RATE_TOO_HIGH,
    KICKED: ReasonCode.ADMINISTRATIVE_ACTION,
}
"""Those that are not an error of the client's protocol, which brings its own reason."""
