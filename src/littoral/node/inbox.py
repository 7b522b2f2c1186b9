"""What is asked of a node from above, done: each message once, in the order in which they came, some at a time.

    taken     the fold has noted it (littoral.fleet.inbox_folds)
    begun     noted, and synced, before a request is made that may change something
    done      noted in the transaction that appends the answer to the outbox

After a crash what was taken is made. What was begun is not made again: whether it took effect nobody knows, and that is
what is answered. A request that changes nothing is never noted as begun, and is made again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import cast

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import (
    BadGateway,
    Gone,
    InvalidInput,
    LimitReached,
    LittoralError,
    StorageError,
    TimedOut,
    TooLarge,
)
from littoral.core.http import Handler, Request, Response, StreamingResponse
from littoral.core.limits import INBOX_ANSWER_BYTES, INBOX_AT_ONCE, INBOX_KEPT, Limits
from littoral.core.names import StreamName
from littoral.core.resources.model import Requests
from littoral.core.tasks import Tasks
from littoral.core.waiting import Client
from littoral.fleet.inbox import (
    ENVELOPE_BYTES,
    Answer,
    Message,
    answer_of,
    encode,
    forgettable,
    joined,
    outbox_of,
    read_message,
    refusal,
    reply,
)
from littoral.fleet.inbox_folds import DONE, JOBS, Done, Job, late, read_state
from littoral.node.inbox_rights import check_message, is_repeatable
from littoral.store.store import Store
from littoral.store.stream import Span
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction
from littoral.wire.problem import Fault
from littoral.wire.problem import answer as answered_by

FORGET_EVERY_S = 60.0
READ_AGAIN_S = 1.0
"""After the disk could not be read."""
READ_AT_ONCE_BYTES = 1 << 20


class InboxCounters(msgspec.Struct):
    """What became of messages for this node, since the hub started."""

    made: int = 0
    """Requests that were made."""
    repeated: int = 0
    """Answered as they had been before."""
    refused: int = 0
    """The document, or a limit, does not let them be made, or they were cancelled."""
    expired: int = 0
    """Their deadline had passed, or passed before they were answered."""
    unknown: int = 0
    """Begun before the hub died, or asked before the store was restored: whether they took effect is not known."""


class _Cancelled(Gone):
    """Whoever asked has thought better of it."""


class Inbox:
    """Does what is asked of one node."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        clock: Clock,
        requests: Requests,
        handler: Handler,
        failed: Callable[[BaseException], None],
        fault: Fault,
        warn: Callable[[str], None],
    ) -> None:
        """requests: what the node's document lets be asked; handler: its operator API, for one who may use it.
        failed: told of a fault of ours; fault: the same, while a message is answered; warn: told in words why an answer cannot be stored."""
        self._store = store
        self._limits = limits
        self._clock = clock
        self._requests = requests
        self._handler = handler
        self._fault = fault
        self._warn = warn
        self._tasks = Tasks(failed)
        self._room = asyncio.Semaphore(limits[INBOX_AT_ONCE])
        self._under_way: set[str] = set()
        self._overdue: dict[str, asyncio.Task[Answer]] = {}
        """Requests that go on past their messages' deadlines."""
        self._done: dict[str, int] = {}
        """Deadlines of what was answered."""
        self._wake = asyncio.Event()
        self.counters = InboxCounters()

    @property
    def waiting(self) -> int:
        """Messages that are not answered yet."""
        return len(self._under_way)

    def folded(self) -> None:
        """There may be messages."""
        self._wake.set()

    async def run(self) -> None:
        """Do what is asked until cancelled."""
        is_known = False
        try:
            while True:
                self._wake.clear()
                try:
                    if not is_known:
                        done = self._store.state(DONE).items()
                        self._done = {key: read_state(data, Done).deadline_ms for key, data in done}
                        is_known = True
                    await self._forget()
                    self._begin_new()
                except StorageError as error:
                    # A disk that cannot be read now: what is asked waits.
                    self._warn(str(error))
                    await asyncio.sleep(READ_AGAIN_S)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(FORGET_EVERY_S):
                        await self._wake.wait()
        finally:
            await self._tasks.stop()

    def _begin_new(self) -> None:
        held = self._store.state(JOBS)
        jobs = {key: read_state(data, Job) for key, data in held.items() if key not in self._under_way}
        for key, job in sorted(jobs.items(), key=lambda each: (each[1].source, each[1].offset)):
            self._under_way.add(key)
            self._tasks.start(self._do(key, job), f"inbox {key}")

    async def _forget(self) -> None:
        over = forgettable(self._done, self._clock.wall_ms(), self._limits[INBOX_KEPT] - 1)
        if not over:
            return

        def job(tx: Transaction) -> None:
            for key in over:
                tx.put_state(DONE, key, None)

        try:
            await self._store.submit(job)
        except LittoralError as error:
            self._warn(str(error))
            return
        for key in over:
            self._done.pop(key, None)

    # One message

    async def _do(self, key: str, job: Job) -> None:
        async with self._room:
            try:
                await self._answer(key, job)
            finally:
                self._under_way.discard(key)
            if self._is_asked_again(key):
                self._wake.set()
            if (making := self._overdue.pop(key, None)) is not None:
                # It keeps its place.
                await asyncio.wait([making])

    def _is_asked_again(self, key: str) -> bool:
        """By one that has not heard of the answer. It is looked once more where the disk cannot be read now."""
        try:
            return self._store.state_value(JOBS, key) is not None
        except StorageError:
            return True

    def _say(self, failure: str) -> None:
        if failure:
            self._warn(f"cannot store an answer: {failure}")

    def _finish(self, key: str, message: Message, answer: Answer, tx: Transaction, *, remember: bool) -> None:
        held = tx.get_state(JOBS, key)
        assert held is not None, "nobody else removes it"
        # Whoever asked last with this key is who waits.
        message = msgspec.structs.replace(message, ticket=read_state(held, Job).ticket)
        try:
            span = reply(tx, message, answer, self._limits)
        except TooLarge:
            # With records as short as that nothing can be said; it was done all the same, and is not done again.
            span = Span(0, 0)
        done = Done(ticket=message.ticket, deadline_ms=message.deadline_ms, first=span.first, next=span.next)
        tx.put_state(JOBS, key, None)
        if remember:
            tx.put_state(DONE, key, encode(done))

    async def _answer(self, key: str, job: Job) -> None:
        message = self._message(key, job)
        # What was refused has changed nothing; were it remembered, refusals would fill the memory.
        remember = True
        try:
            if job.answered is not None:
                answer = self._said_before(message, job.answered)
            elif job.begun or self._was_restored_since(message):
                self.counters.unknown += 1
                answer = refusal(_unknown(message))
            elif (refused := await self._begun(key, message)) is not None:
                remember = isinstance(refused, _Cancelled)
                answer = refusal(refused)
            else:
                answer = await self._made(key, message)
        except LittoralError as error:
            answer = refusal(error)
        except Exception as error:  # noqa: BLE001 -- the boundary of a message: else it came again after each restart
            answer = answer_of(self._fault(message.method, message.path, error))
        await self._note(key, message, answer, remember=remember)
        if remember:
            self._done[key] = message.deadline_ms

    async def _note(self, key: str, message: Message, answer: Answer, *, remember: bool) -> None:
        """It is done, with this answer; with that of a fault where no record can be made of it."""
        try:
            finish = partial(self._finish, key, message, answer, remember=remember)
            await commit_stubbornly(self._store, finish, self._say)
        except Exception as error:  # noqa: BLE001 -- as above
            fault = answer_of(self._fault(message.method, message.path, error))
            finish = partial(self._finish, key, message, fault, remember=remember)
            await commit_stubbornly(self._store, finish, self._say)

    async def _begun(self, key: str, message: Message) -> LittoralError | None:
        """Why a message is not made; None where it is to be made now."""
        try:
            self._check(message)
            if is_repeatable(message):
                held = self._store.state_value(JOBS, key)
                is_cancelled = held is not None and read_state(held, Job).cancelled
            else:
                is_cancelled = not await self._store.submit(partial(_begin, key))
            if is_cancelled:
                raise _Cancelled("run", f"message {message.id}", f"{message.asker} cancelled it before it was begun")
        except LittoralError as error:
            if isinstance(error, TimedOut):
                self.counters.expired += 1
            else:
                self.counters.refused += 1
            return error
        return None

    def _was_restored_since(self, message: Message) -> bool:
        """Whether it may have been made in the part of the store's history that was given up for a backup."""
        former = self._store.former
        return bool(former) and message.asked_ms < former[-1].restored_ms and not is_repeatable(message)

    def _message(self, key: str, job: Job) -> Message:
        """The message as it was sent; where it is no longer held, an empty one, which nothing lets be made."""
        held: Message | None = None
        with suppress(LittoralError):
            records = read_records(self._store, job.source, job.offset, job.offset + 1, READ_AT_ONCE_BYTES)
            held = read_message(records[0], job.source) if records else None
        if held is not None and held.key == key and held.ticket == job.ticket:
            return held
        asker, _, id_ = key.partition("/")
        return Message(
            id=id_, ticket=job.ticket, asker=asker, target=self._store.node, asked_ms=0, deadline_ms=job.deadline_ms
        )

    def _check(self, message: Message) -> None:
        """Whether it may be made now. Raises LittoralError."""
        if not message.method:
            raise Gone("run", f"message {message.id}", "the copy of the inbox that held it is gone", "Ask again")
        if self._clock.wall_ms() >= message.deadline_ms:
            raise late(message, self._store.node)
        check_message(self._requests, message)
        if len(self._done) >= self._limits[INBOX_KEPT]:
            self._limits.hit(INBOX_KEPT)
            cause = f"it remembers {len(self._done)} messages until their deadlines, its limit {INBOX_KEPT.name}"
            remedy = "Ask with earlier deadlines, or raise the limit in its document"
            raise LimitReached("ask for", message.subject, cause, remedy)

    async def _made(self, key: str, message: Message) -> Answer:
        """What the operator API answers. Raises TimedOut at the deadline: what only waits is ended then, and what changes
        something goes on to its end."""
        self.counters.made += 1
        client = Client()
        making = self._tasks.start(self._make(message, client), f"make {key}")
        await asyncio.wait([making], timeout=(message.deadline_ms - self._clock.wall_ms()) / 1000)
        if making.done():
            return making.result()
        client.leave()
        self._overdue[key] = making
        self.counters.expired += 1
        cause = f"{self._store.node} had not done with it at its deadline; what it changes may be changed"
        raise TimedOut("ask for", message.subject, cause, "Give it a later deadline")

    async def _make(self, message: Message, client: Client) -> Answer:
        client.answered_here()
        request = Request(
            message.method, message.path, message.query, message.headers, message.body, remote=message.asker
        )
        response = await answered_by(partial(self._whole, message), request, self._fault)
        assert isinstance(response, Response)
        return answer_of(response)

    async def _whole(self, message: Message, request: Request) -> Response:
        """Raises LittoralError."""
        response = await self._handler(request)
        most = self._limits[INBOX_ANSWER_BYTES]
        if isinstance(response, StreamingResponse):
            async with aclosing(cast("AsyncGenerator[bytes, None]", response.chunks)) as chunks:
                if any(_is_events(*field) for field in response.headers):
                    remedy = "Ask with live=long-poll"
                    raise InvalidInput("ask for", message.subject, "events without an end cannot be answered", remedy)
                body = b""
                async for chunk in chunks:
                    body += chunk
                    self._check_size(message, len(body), most)
            return Response(response.status, response.headers, body)
        self._check_size(message, len(response.body), most)
        return response

    def _check_size(self, message: Message, size: int, most: int) -> None:
        if size > most:
            self._limits.hit(INBOX_ANSWER_BYTES)
            cause = f"the answer has more than {most} bytes, the limit {INBOX_ANSWER_BYTES.name} of {self._store.node}"
            raise TooLarge("answer", message.subject, cause, "Ask for less at once, or raise the limit in its document")

    def _said_before(self, message: Message, done: Done) -> Answer:
        """Raises Gone, StorageError."""
        self.counters.repeated += 1
        source = outbox_of(self._store.node)
        most_bytes = answer_bytes_most(self._limits)
        answer = joined(read_records(self._store, source, done.first, done.next, most_bytes), done.ticket, source)
        if answer is None:
            raise Gone("repeat answer to", message.subject, "it was done, and its answer is no longer kept")
        return answer


def _is_events(name: str, value: str) -> bool:
    return name.lower() == "content-type" and value.startswith("text/event-stream")


def answer_bytes_most(limits: Limits) -> int:
    """Of the records that an answer is: of its body, and as much again for what stands around its parts, which may be
    short where records are."""
    return 2 * limits[INBOX_ANSWER_BYTES] + ENVELOPE_BYTES


def read_records(store: Store, source: StreamName, first: int, end: int, most_bytes: int) -> list[bytes]:
    """Records [first, end) of a stream; fewer once those hold most_bytes. Raises NotFound, Gone, StorageError."""
    records: list[bytes] = []
    while first < end and sum(map(len, records)) < most_bytes:
        batches = store.read(source, first, READ_AT_ONCE_BYTES)
        if not batches:
            break
        for batch in batches:
            records += batch.records()[max(0, first - batch.first) : end - batch.first]
            first = batch.next
            if first >= end:
                break
    return records


def _begin(key: str, tx: Transaction) -> bool:
    """Note that it is going to be made; False if it was cancelled."""
    held = tx.get_state(JOBS, key)
    assert held is not None, "nobody else removes it"
    job = read_state(held, Job)
    if not job.cancelled:
        tx.put_state(JOBS, key, encode(msgspec.structs.replace(job, begun=True)))
    return not job.cancelled


def _unknown(message: Message) -> BadGateway:
    return BadGateway(
        "ask for",
        message.subject,
        "the node died, or was restored, after it may have been begun: whether it was done is not known, and it is not done"
        " again",
        "Look whether it was, and ask again with another Idempotency-Key if not",
    )
