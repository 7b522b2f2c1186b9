"""What a node asks of those below it, and what they answer: the streams, and what is in them.

    P/inbox/C     at P, and followed by its child C alone: messages for C and for all below it
    C/outbox      C's answers; it goes up to the root, and whoever asked finds its own in it

A message goes from inbox to inbox down to its target. Nobody connects to a child for it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from littoral.core.errors import InvalidInput, LittoralError, TooLarge
from littoral.core.http import Response
from littoral.core.limits import INBOX_BYTES, OUTBOX_BYTES, RECORD_BYTES, Limits
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.store.stream import Span
from littoral.store.transaction import Transaction
from littoral.wire.http_fields import BODILESS, flaw_of
from littoral.wire.problem import problem_response

INBOX = "inbox"
OUTBOX = "outbox"
"""Paths of the streams."""

DEADLINE_MOST_MS = 7 * 86_400_000
"""A message may wait for a node that is away for a week."""
KEPT_MS = 3_600_000
"""How long after its deadline a message is remembered, at both ends: its answer can be had until then, and clocks may be
set meanwhile."""
PART_BYTES = 256 * 1024
"""An answer is so many bytes of a record, and goes on in the next."""
ENVELOPE_BYTES = 4096
"""Of a record, for what stands around the part of an answer: mostly its headers, in the first."""

MSGPACK = "application/msgpack"
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,100}$")]
Node = Annotated[str, Meta(max_length=63)]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an inbox: a request that the target is to make of its own operator API."""

    id: Key
    """The idempotency key: of one asker, the request with this key is made once."""
    ticket: bytes
    """Drawn for this message, and repeated in its answer: only who was given the message can answer it."""
    asker: Node
    target: Node
    asked_ms: int
    deadline_ms: int
    """By the clock of the tree, as `asked_ms`: later it is not made."""
    kind: Literal["request", "cancel"] = "request"
    """cancel: what was asked with this id is not to be made, if it was not yet."""
    method: str = ""
    path: str = ""
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes = b""

    @property
    def key(self) -> str:
        """Under which the target remembers it."""
        return f"{self.asker}/{self.id}"

    @property
    def subject(self) -> str:
        """What it is about, for errors."""
        return f"{self.method} {self.path[:120]} at {self.target}"


class Answer(msgspec.Struct, frozen=True):
    """What the target's operator API answered, or why it was not asked."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


class AnswerPart(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an outbox; the parts of one answer stand next to each other."""

    id: Key
    ticket: bytes
    asker: Node
    part: Annotated[int, Meta(ge=0)]
    parts: Annotated[int, Meta(ge=1)]
    status: int
    headers: list[tuple[str, str]] = []
    """In the first part."""
    body: bytes = b""


encode = msgspec.msgpack.Encoder().encode
_message = msgspec.msgpack.Decoder(Message).decode
_part = msgspec.msgpack.Decoder(AnswerPart).decode


def inbox_of(parent: str, child: str) -> StreamName:
    """The stream in which `child` finds what `parent` has for it."""
    return StreamName(parent, f"{INBOX}/{child}")


def outbox_of(node: str) -> StreamName:
    """The stream in which `node` answers."""
    return StreamName(node, OUTBOX)


def is_inbox(name: StreamName) -> bool:
    """Whether a stream is somebody's inbox."""
    return name.path.startswith(f"{INBOX}/")


def addressee(name: StreamName) -> str | None:
    """The child whose inbox a stream is; None for any other stream."""
    return name.path.removeprefix(f"{INBOX}/") if is_inbox(name) else None


def read_message(data: bytes, source: StreamName) -> Message:
    """A record of an inbox. Raises InvalidInput."""
    try:
        return _message(data)
    except UNDECODABLE as error:
        raise InvalidInput("read message in", str(source), f"this version cannot read it ({error})") from error


def read_part(data: bytes, source: StreamName) -> AnswerPart:
    """A record of an outbox. Raises InvalidInput."""
    try:
        return _part(data)
    except UNDECODABLE as error:
        raise InvalidInput("read answer in", str(source), f"this version cannot read it ({error})") from error


def send(tx: Transaction, child: str, message: Message, limits: Limits) -> None:
    """Put a message into the inbox of `child`. Raises TooLarge, where the node's record-bytes are too few."""
    name = inbox_of(tx.node, child)
    tx.open_stream(
        name,
        content_type=MSGPACK,
        lane="control",
        reach="node",
        retention_bytes=limits[INBOX_BYTES],
        retention_ms=DEADLINE_MOST_MS,
    )
    tx.append(name, [encode(message)], essential=True)


def reply(tx: Transaction, message: Message, answer: Answer, limits: Limits) -> Span:
    """Answer a message; returns where in the outbox the answer is. Raises TooLarge, where the node's record-bytes are
    too few even for its beginning."""
    name = outbox_of(tx.node)
    tx.open_stream(
        name,
        content_type=MSGPACK,
        lane="control",
        reach="root",
        retention_bytes=limits[OUTBOX_BYTES],
        retention_ms=DEADLINE_MOST_MS,
    )
    with tx.attempt():
        return tx.append(name, list(map(encode, _parts(message, answer, limits))), essential=True)


def _parts(message: Message, answer: Answer, limits: Limits) -> list[AnswerPart]:
    most = max(1, min(PART_BYTES, limits[RECORD_BYTES] - ENVELOPE_BYTES))
    bodies = [answer.body[start : start + most] for start in range(0, len(answer.body), most)] or [b""]
    return [
        AnswerPart(
            id=message.id,
            ticket=message.ticket,
            asker=message.asker,
            part=number,
            parts=len(bodies),
            status=answer.status,
            headers=[] if number else list(answer.headers),
            body=body,
        )
        for number, body in enumerate(bodies)
    ]


def joined(records: Sequence[bytes], ticket: bytes, source: StreamName) -> Answer | None:
    """The answer that the records are; None if they are not the answer to the message with that ticket, or not all of
    it. Raises InvalidInput."""
    parts = [read_part(record, source) for record in records]
    numbers = [(part.ticket, part.part, part.parts) for part in parts]
    if not parts or numbers != [(ticket, number, len(parts)) for number in range(len(parts))]:
        return None
    return Answer(parts[0].status, parts[0].headers, b"".join(part.body for part in parts))


def check_answer(answer: Answer, source: StreamName) -> None:
    """Whether the answer can be passed on as an HTTP response: who gave it may be anybody's node, and what goes on into a
    connection must not end the response there and begin another. Raises InvalidInput."""
    cause = flaw_of(answer.status, answer.headers)
    if answer.body and answer.status in BODILESS:
        cause = f"an answer with status {answer.status} has no body"
    if cause:
        raise InvalidInput("read answer in", str(source), cause)


def refusal(error: LittoralError) -> Answer:
    """Why a request was not made, as its answer."""
    return answer_of(problem_response(error))


def answer_of(response: Response) -> Answer:
    """A response as an answer."""
    return Answer(response.status, list(response.headers), response.body)


def refuse(tx: Transaction, message: Message, error: LittoralError, limits: Limits) -> None:
    """Answer a message that goes no further, or is not made. A cancellation is not answered."""
    if message.kind == "cancel":
        return
    try:
        reply(tx, message, refusal(error), limits)
    except TooLarge:
        return  # With records that short nothing can be said; the asker's deadline says it.


def forgettable(deadlines: Mapping[str, int], now_ms: int, most: int) -> list[str]:
    """Of messages by their deadlines, those that need not be remembered any more: whose time is over, and beyond `most`
    also the oldest of those whose deadline has passed, which are not made again even if they are met again."""
    over = [key for key, deadline_ms in deadlines.items() if deadline_ms + KEPT_MS < now_ms]
    excess = len(deadlines) - len(over) - most
    if excess > 0:
        passed = sorted(
            (deadline_ms, key) for key, deadline_ms in deadlines.items() if now_ms - KEPT_MS <= deadline_ms < now_ms
        )
        over += [key for _, key in passed[:excess]]
    return over
