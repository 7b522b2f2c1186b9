"""The folds of inboxes and outboxes: a node takes what is for it, passes on what is for others, and finds its answers.

Kept in the store under these scopes:

    inbox        asker/id -> Job      messages for this node that are not answered yet
    inbox-done   asker/id -> Done     those that are
    asked        id -> Asked          what this node asked of others

Effect and offset are one transaction, so a message is taken, or passed on, once. What makes it be done once is `inbox`
and `inbox-done`: a message that comes again, from a parent or an asker that was restored, finds what became of it.
"""

from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from littoral.core.errors import LimitReached, NotFound, TimedOut, TooLarge
from littoral.core.limits import INBOX_MESSAGES, Limits
from littoral.core.names import StreamName
from littoral.fleet.inbox import (
    OUTBOX,
    Message,
    encode,
    inbox_of,
    outbox_of,
    read_message,
    read_part,
    refuse,
    send,
)
from littoral.fleet.registry import next_hop, not_below
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction

T = TypeVar("T")

JOBS = "inbox"
DONE = "inbox-done"
ASKED = "asked"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was answered."""

    ticket: bytes
    deadline_ms: int
    first: int
    next: int
    """The answer, in this node's outbox."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A message that this node has yet to answer."""

    source: StreamName
    offset: int
    """Where it stands; it is not kept twice."""
    ticket: bytes
    deadline_ms: int
    begun: bool = False
    """What it asks for may have been done, wholly or in part."""
    cancelled: bool = False
    """It is not to be made, if that was not begun."""
    answered: Done | None = None
    """It was answered before: that answer is to be said again."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A message of this node's to one below."""

    target: str
    via: str
    """The child in whose inbox it was put."""
    ticket: bytes
    digest: bytes
    """Of the request: another one with the same key is a mistake."""
    method: str
    path: str
    size: int
    """Bytes of the message."""
    asked_ms: int
    deadline_ms: int
    cancelled: bool = False
    status: int | None = None
    """Of the answer, once it is here."""
    source: StreamName | None = None
    first: int = 0
    next: int = 0
    """Where the answer is."""

    def is_waiting(self, now_ms: int) -> bool:
        """Whether it takes a place: an answer may come still."""
        return self.status is None and now_ms < self.deadline_ms


def read_state(data: bytes, kind: type[T]) -> T:
    """What `encode` made of a Job, Done or Asked."""
    return msgspec.msgpack.decode(data, type=kind)


class InboxFold:
    """Takes what the parent has for this node and for those below."""

    name = "inbox"

    def __init__(self, node: str, parent: str, limits: Limits) -> None:
        """parent: the parent's name; empty at the root."""
        self._node = node
        self._parent = parent
        self._limits = limits

    def wants(self, info: StreamInfo) -> bool:
        """Only what the parent itself wrote, and sent: nobody else has anything to ask."""
        return bool(self._parent) and info.via == self._parent and info.name == inbox_of(self._parent, self._node)

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        waiting = len(tx.state(JOBS))
        for offset, data in enumerate(records, first):
            message = read_message(data, source)
            if message.target != self._node:
                self._pass_on(tx, message)
            elif message.kind == "cancel":
                self._cancel(tx, message)
            else:
                waiting += self._take(tx, message, source, offset, waiting)

    def _pass_on(self, tx: Transaction, message: Message) -> None:
        try:
            child = next_hop(tx, message.target)
            if child is None:
                raise not_below("ask", message.target, self._node)
            if tx.now_ms >= message.deadline_ms:
                raise late(message, self._node)
            send(tx, child, message, self._limits)
        except (LimitReached, NotFound, TimedOut, TooLarge) as error:
            refuse(tx, message, error, self._limits)

    def _take(self, tx: Transaction, message: Message, source: StreamName, offset: int, waiting: int) -> int:
        """waiting: how many do. Returns by how many that is more now."""
        done, held = tx.get_state(DONE, message.key), tx.get_state(JOBS, message.key)
        job = Job(source=source, offset=offset, ticket=message.ticket, deadline_ms=message.deadline_ms)
        if held is not None:
            # Not done yet, and asked again by one that does not remember: it is that one that hears of it.
            before = read_state(held, Job)
            job = msgspec.structs.replace(job, begun=before.begun, answered=before.answered)
        elif done is not None:
            before_done = read_state(done, Done)
            if before_done.ticket == message.ticket:
                return 0
            job = msgspec.structs.replace(job, answered=before_done)
        elif waiting >= self._limits[INBOX_MESSAGES]:
            self._limits.hit(INBOX_MESSAGES)
            remedy = "Ask again later, or raise the limit in its document"
            cause = (
                f"so many messages wait there already: {self._limits[INBOX_MESSAGES]}, its limit {INBOX_MESSAGES.name}"
            )
            refuse(tx, message, LimitReached("ask", self._node, cause, remedy), self._limits)
            return 0
        tx.put_state(JOBS, message.key, encode(job))
        return int(held is None)

    def _cancel(self, tx: Transaction, message: Message) -> None:
        held = tx.get_state(JOBS, message.key)
        if held is None:
            return
        job = read_state(held, Job)
        if job.ticket == message.ticket:
            tx.put_state(JOBS, message.key, encode(msgspec.structs.replace(job, cancelled=True)))


def late(message: Message, node: str) -> TimedOut:
    """It comes too late."""
    return TimedOut("ask", message.subject, f"its deadline had passed when {node} had it", "Give it a later deadline")


class AnswerFold:
    """Finds the answers to what this node asked in the outboxes of those below."""

    name = "answers"

    def __init__(self, node: str) -> None:
        self._node = node
        self._found: deque[str] = deque()

    def take_found(self) -> list[str]:
        """The ids of messages that were answered since this was asked last. To be asked when nothing is being folded."""
        found = list(self._found)
        self._found.clear()
        return found

    def wants(self, info: StreamInfo) -> bool:
        return info.name.path == OUTBOX and info.name != outbox_of(self._node)

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        for offset, data in enumerate(records, first):
            part = read_part(data, source)
            if part.asker != self._node or part.part + 1 != part.parts:
                continue
            held = tx.get_state(ASKED, part.id)
            if held is None:
                continue
            asked = read_state(held, Asked)
            # The ticket says that whoever answers was given the message: the target, or one on the way to it.
            if asked.status is not None or asked.ticket != part.ticket:
                continue
            begin = max(0, offset - part.part)
            answered = msgspec.structs.replace(asked, status=part.status, source=source, first=begin, next=offset + 1)
            tx.put_state(ASKED, part.id, encode(answered))
            self._found.append(part.id)
