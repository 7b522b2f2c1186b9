"""The bodies of calls that are events, and of their answers: one frame each way, msgpack, written and read here."""

from typing import Any

import msgspec
from msgspec import Struct

_encode = msgspec.msgpack.Encoder().encode


class Scheduled(Struct, array_like=True, frozen=True):
    """A cron trigger is due. The answer's body is empty."""

    cron: str
    scheduled_ms: int


class Given(Struct, array_like=True, frozen=True):
    """A message as it is given to a consumer."""

    id: str
    content_type: str
    body: bytes
    sent_ms: int
    attempts: int


class Batch(Struct, array_like=True, frozen=True):
    """Messages of a queue. The answer's body is Settled, also where the app raised."""

    queue: str
    messages: list[Given]


class Settled(Struct, array_like=True, frozen=True):
    """What a consumer said of the messages of a batch, each by its place there. What it said nothing of is done if it ended
    well, and else to be given again."""

    done: list[int] = []
    again: dict[int, int | None] = {}
    """With the seconds until then, where it said so."""


def scheduled_body(cron: str, scheduled_ms: int) -> bytes:
    """The body of a call for a cron trigger."""
    return _encode(Scheduled(cron, scheduled_ms))


def batch_body(queue: str, messages: list[Given]) -> bytes:
    """The body of a call for a batch."""
    return _encode(Batch(queue, messages))


class Rpc(Struct, array_like=True, frozen=True):
    """Another app calls. The answer's body is Returned, also where the app raised."""

    entrypoint: str
    """A class of the main module; empty for the one that answers requests."""
    method: str
    """Empty: it is to answer a request."""
    arguments: bytes
    """As `littoral.workers.rpc_values` writes them, unread by the hub: a list and a dict; of a request, `Asked`."""
    props: dict[str, Any] = {}
    depth: int = 0
    """How many apps have called each other for this, this time included."""


class Asked(Struct, array_like=True, frozen=True):
    """A request of another app."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes


class Returned(Struct, array_like=True, frozen=True):
    """What became of a call."""

    error: str = ""
    """The type of the exception that was raised."""
    text: str = ""
    value: Any = None
    """As `rpc_values` wrote it; of a request, status, headers and body."""


def rpc_body(call: Rpc) -> bytes:
    """The body of a call by another app."""
    return _encode(call)
