"""The one error tree.

    LittoralError
    ├─ InvalidInput          400   what was sent cannot be understood or is not allowed
    │  └─ InvalidResource    400   a littoral/v1 document is wrong; names file, document and field
    ├─ Unauthenticated       401   nobody proved who they are
    ├─ Forbidden             403   they did, and may not
    ├─ NotFound              404
    ├─ MethodNotAllowed      405
    ├─ Conflict              409   the object is not in the state the caller assumed
    │  └─ Diverged           409   two histories of one stream; the tail is kept, not merged
    ├─ Gone                  410   it was here; retention or deletion took it
    ├─ TooLarge              413   over a named limit of size
    ├─ Misdirected           421   somebody else answers such requests
    ├─ LimitReached          429   over a named limit of rate or number
    ├─ FunctionFailed        500   an app's code raised, or answered what is no response
    ├─ BadGateway            502   a worker of an app died while it held the request, or an origin did not answer it
    ├─ Unavailable           503   try again: a part is restarting, or a peer cannot be reached
    │  └─ PeerUnreachable    503
    ├─ TimedOut              504   a deadline passed
    │  └─ RequestTimeout     408   a request did not come whole in time
    ├─ StorageError          507   the disk refused
    │  ├─ StorageFull        507
    │  ├─ StorageReadOnly    507
    │  ├─ StorageCorrupt     500   a checksum does not match
    │  └─ IncompatibleStore  500   written by a newer version
    └─ StartupError          500   a node cannot start as configured (port in use, missing file)

An error an operator sees names the operation, the object, the cause and what to do about it.
Protocol codecs raise their own `RemoteProtocolError` (the peer's fault); a broken invariant of
ours is an `AssertionError` and never part of this tree.
"""

from typing import ClassVar


class LittoralError(Exception):
    """Something an operator or a caller can act on.

    operation: what was being done, as a verb phrase ("append to stream").
    subject: the object it was done to ("plant-a/windows").
    cause: why it failed, in words.
    remedy: what to do about it; may be empty where the cause says it all.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, operation: str, subject: str, cause: str, remedy: str = "") -> None:
        self.operation = operation
        self.subject = subject
        self.cause = cause
        self.remedy = remedy
        super().__init__(operation, subject, cause, remedy)

    def __str__(self) -> str:
        text = f"cannot {self.operation} {self.subject}".rstrip() + f": {self.cause}"
        return f"{text}. {self.remedy}" if self.remedy else text


class InvalidInput(LittoralError):
    """What was sent cannot be understood, or is not allowed."""

    status = 400
    title = "Invalid input"


class InvalidResource(InvalidInput):
    """A `littoral/v1` document is wrong."""

    title = "Invalid resource"


class Unauthenticated(LittoralError):
    """Nobody proved who they are."""

    status = 401
    title = "Not authenticated"


class Forbidden(LittoralError):
    """The caller is known and may not do this."""

    status = 403
    title = "Forbidden"


class NotFound(LittoralError):
    """There is no such object."""

    status = 404
    title = "Not found"


class MethodNotAllowed(LittoralError):
    """The object exists, and does not do this."""

    status = 405
    title = "Method not allowed"


class Conflict(LittoralError):
    """The object is not in the state the caller assumed."""

    status = 409
    title = "Conflict"


class Diverged(Conflict):
    """Two histories of one stream disagree; neither is discarded."""

    title = "Histories diverged"


class Gone(LittoralError):
    """It was here; retention or deletion took it."""

    status = 410
    title = "Gone"


class TooLarge(LittoralError):
    """Over a named limit of size."""

    status = 413
    title = "Too large"


class Misdirected(LittoralError):
    """Whoever was asked does not answer such requests; somebody else may (RFC 9110, section 15.5.20)."""

    status = 421
    title = "Misdirected request"


class LimitReached(LittoralError):
    """Over a named limit of rate or number."""

    status = 429
    title = "Limit reached"


class FunctionFailed(LittoralError):
    """An app's code raised, or answered what is no response. The node's log has the traceback."""

    title = "Function failed"


class BadGateway(LittoralError):
    """A worker of an app died while it held the request; whether it acted on it is unknown."""

    status = 502
    title = "Bad gateway"


class Unavailable(LittoralError):
    """A part is starting or restarting; the same call may succeed later."""

    status = 503
    title = "Unavailable"
    retry_after_s: float = 0.0
    """How long another node that answered so asks to be left alone."""


class PeerUnreachable(Unavailable):
    """Another node did not answer."""

    title = "Peer unreachable"


class TimedOut(LittoralError):
    """A deadline passed."""

    status = 504
    title = "Timed out"


class RequestTimeout(TimedOut):
    """Whoever asks has not said all of it in time: unlike the others, that is the client's doing."""

    status = 408
    title = "Request timeout"


class StorageError(LittoralError):
    """The disk refused."""

    status = 507
    title = "Storage error"


class StorageFull(StorageError):
    """No space is left for what was to be written; nothing was acknowledged."""

    title = "Storage full"


class StorageReadOnly(StorageError):
    """The file system does not take writes; nothing was acknowledged."""

    title = "Storage read-only"


class StorageCorrupt(StorageError):
    """What was read is not what was written."""

    status = 500
    title = "Storage corrupt"


class IncompatibleStore(StorageError):
    """The data directory was written by a newer version."""

    status = 500
    title = "Incompatible store"


class StartupError(LittoralError):
    """A node cannot start as configured."""

    title = "Cannot start"
