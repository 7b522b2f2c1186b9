"""The words of the Durable Streams protocol's subscriptions: bodies, globs, signatures, refusals.

Source: the protocol's text (github.com/durable-streams/durable-streams, PROTOCOL.md), sections 6 and 7. The codes that
the text does not name are those of the protocol's reference server.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from littoral.core.errors import LittoralError
from littoral.core.names import STREAM_PART, STREAM_PARTS_MOST
from littoral.core.undecodable import UNDECODABLE

RESERVED: Final = "__ds"
"""First part of the paths that the protocol keeps for itself."""
SIGNATURE_HEADER: Final = "Webhook-Signature"
JWKS_TYPE: Final = "application/jwk-set+json"

LEASE_LEAST_MS: Final = 1000
LEASE_MOST_MS: Final = 600_000
LEASE_DEFAULT_MS: Final = 30_000
DESCRIPTION_CHARACTERS: Final = 1000
WORKER_CHARACTERS: Final = 256
URL_CHARACTERS: Final = 2048

Kind = Literal["webhook", "pull-wake"]
Code = Literal[
    "INVALID_REQUEST",
    "UNAUTHENTICATED",
    "TOKEN_INVALID",
    "FORBIDDEN",
    "SUBSCRIPTION_NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "SUBSCRIPTION_ALREADY_EXISTS",
    "WEBHOOK_URL_REJECTED",
    "FENCED",
    "ALREADY_CLAIMED",
    "NO_PENDING_WORK",
    "INVALID_OFFSET",
    "TOO_LARGE",
    "LIMIT_REACHED",
    "UNAVAILABLE",
    "STORAGE",
]
T = TypeVar("T")

STATUS: Final[Mapping[Code, int]] = {
    "INVALID_REQUEST": 400,
    "WEBHOOK_URL_REJECTED": 400,
    "UNAUTHENTICATED": 401,
    "TOKEN_INVALID": 401,
    "FORBIDDEN": 403,
    "SUBSCRIPTION_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "SUBSCRIPTION_ALREADY_EXISTS": 409,
    "FENCED": 409,
    "ALREADY_CLAIMED": 409,
    "NO_PENDING_WORK": 409,
    "INVALID_OFFSET": 409,
    "TOO_LARGE": 413,
    "LIMIT_REACHED": 429,
    "UNAVAILABLE": 503,
    "STORAGE": 507,
}
_CODES: Final[Mapping[int, Code]] = {
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "SUBSCRIPTION_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    429: "LIMIT_REACHED",
    500: "STORAGE",
    503: "UNAVAILABLE",
    507: "STORAGE",
}
"""What an error of our tree is called here, by its status; INVALID_REQUEST where it is not listed."""


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, code: Code, message: str, **details: str | int) -> None:
        """details: more members of the error."""
        super().__init__(code, message)
        self.code = code
        self.status = STATUS[code]
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message

    def body(self) -> bytes:
        """As the protocol has it."""
        return msgspec.json.encode({"error": {"code": self.code, "message": self.message, **self.details}})


def refusal_of(error: LittoralError) -> Refused:
    """An error of our tree in the protocol's words."""
    return Refused(_CODES.get(error.status, "INVALID_REQUEST"), str(error))


# Bodies


class WebhookField(msgspec.Struct, frozen=True):
    """Member of a PUT."""

    url: Annotated[str, Meta(max_length=URL_CHARACTERS)]


class Creation(msgspec.Struct, frozen=True):
    """Body of a PUT."""

    type: Kind
    pattern: str | None = None
    streams: list[str] | None = None
    webhook: WebhookField | None = None
    wake_stream: str | None = None
    lease_ttl_ms: Annotated[int, Meta(ge=LEASE_LEAST_MS, le=LEASE_MOST_MS)] | None = None
    description: Annotated[str, Meta(max_length=DESCRIPTION_CHARACTERS)] | None = None


class Additions(msgspec.Struct, frozen=True):
    """Body of POST …/streams."""

    streams: Annotated[list[str], Meta(min_length=1)]


class ClaimBody(msgspec.Struct, frozen=True):
    """Body of POST …/claim."""

    worker: Annotated[str, Meta(min_length=1, max_length=WORKER_CHARACTERS)]


class Ack(msgspec.Struct, frozen=True):
    """A stream is processed up to an offset."""

    stream: str
    offset: str


class WakeCall(msgspec.Struct, frozen=True):
    """Body of POST …/callback, …/ack and …/release."""

    wake_id: str
    generation: int
    acks: list[Ack] = []
    done: bool = False


class WebhookAnswer(msgspec.Struct, frozen=True):
    """What a receiver may answer."""

    done: bool = False


def read_body(body: bytes, kind: type[T]) -> T:
    """Raises Refused."""
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        raise Refused("INVALID_REQUEST", f"the body is not what is expected here: {error}") from error


def is_done(body: bytes) -> bool:
    """Whether a receiver's answer says that all of the wake is processed; anything else says nothing."""
    try:
        return msgspec.json.decode(body, type=WebhookAnswer).done
    except UNDECODABLE:
        return False


def encode(value: Mapping[str, Any]) -> bytes:
    """A body."""
    return msgspec.json.encode(value)


def timestamp(wall_ms: int) -> str:
    """RFC 3339, UTC, to the millisecond."""
    text = datetime.fromtimestamp(wall_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


# Globs


class Glob:
    """`*` is one part of a path, `**` any number of them, none included; everything else is itself."""

    def __init__(self, text: str) -> None:
        """Raises Refused."""
        parts = text.split("/")
        if len(parts) > STREAM_PARTS_MOST + 1 or not all(p in ("*", "**") or STREAM_PART.fullmatch(p) for p in parts):
            raise Refused(
                "INVALID_REQUEST",
                f"{text[:120]!r} is no pattern: parts of stream paths between '/', or '*' for one part, or '**' for any",
            )
        self.text = text
        self.parts = parts
        pieces = {"*": "[^/]+/", "**": "(?:[^/]+/)*"}
        self._regex = re.compile("".join(pieces.get(part) or re.escape(part) + "/" for part in parts))

    def matches(self, path: str) -> bool:
        """Whether it means this path."""
        return self._regex.fullmatch(f"{path}/") is not None

    def reaches(self) -> tuple[str, ...]:
        """What bounds the paths it can mean: exact ones, and beginnings, which end in "*"."""
        fixed = next((place for place, part in enumerate(self.parts) if part in ("*", "**")), len(self.parts))
        begin, rest = "/".join(self.parts[:fixed]), self.parts[fixed:]
        if not rest:
            return (begin,)
        if not begin:
            return ("*",)
        if all(part == "**" for part in rest):
            return (begin, f"{begin}/*")
        return (f"{begin}/*",)


# Signatures


def signed_part(at_s: int, body: bytes) -> bytes:
    """What a webhook's signature is of."""
    return b"%d.%b" % (at_s, body)


def signature_header(at_s: int, kid: str, signature: str) -> str:
    """signature: base64url without padding."""
    return f"t={at_s},kid={kid},ed25519={signature}"
