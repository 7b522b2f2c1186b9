"""What a node asks of those below it: sent, waited for, kept for a while, cancelled.

    waiting      in the inbox of the child on the way
    answered     the answer is in the outbox of whoever gave it, of which there is a copy here
    forgotten    some time after the deadline

A request with a key that was used is the same request: it is not sent again, and its answer is the same answer.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from heapq import nsmallest
from typing import Literal

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import (
    BadGateway,
    Conflict,
    Gone,
    InvalidInput,
    LimitReached,
    LittoralError,
    NotFound,
    TimedOut,
    TooLarge,
)
from littoral.core.http import Response
from littoral.core.limits import (
    INBOX_ANSWER_BYTES,
    INBOX_BYTES,
    INBOX_KEPT,
    INBOX_MESSAGE_BYTES,
    INBOX_MESSAGES,
    Limits,
)
from littoral.core.names import StreamName
from littoral.core.random import Random
from littoral.fleet.inbox import Message, check_answer, encode, forgettable, joined, send
from littoral.fleet.inbox_folds import ASKED, Asked, read_state
from littoral.fleet.registry import Registry, not_below
from littoral.node.inbox import FORGET_EVERY_S, answer_bytes_most, read_records
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.wire.query import is_whole_number

TICKET_BYTES = 16
ID_BYTES = 9
State = Literal["waiting", "answered", "cancelled", "expired"]


class AskedEntry(msgspec.Struct, frozen=True):
    """One message, as it is shown."""

    id: str
    node: str
    method: str
    path: str
    state: State
    """cancelled: it is not made, unless that was begun before the cancellation came. expired: nor was it answered."""
    status: int | None
    """Of the answer, once it is here; 410 where it was cancelled before it was made."""
    asked_ms: int
    deadline_ms: int


class AskedPage(msgspec.Struct, frozen=True):
    """Answer of GET /v1/inbox."""

    messages: list[AskedEntry]
    cursor: str | None
    """Give it to the next call; None at the end."""


class Asking:
    """The messages of one node."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        limits: Limits,
        clock: Clock,
        random: Random,
        warn: Callable[[str], None],
    ) -> None:
        """warn: told in words when the disk refuses to forget."""
        self._store = store
        self._registry = registry
        self._limits = limits
        self._clock = clock
        self._random = random
        self._warn = warn
        self._asked = {key: read_state(data, Asked) for key, data in store.state(ASKED).items()}
        self._unanswered: dict[str, dict[str, None]] = {}
        """Via a child, those that were not answered when they were looked at last."""
        for key, asked in self._asked.items():
            self._unanswered.setdefault(asked.via, {})[key] = None
        self._sending: dict[str, asyncio.Future[None]] = {}
        """Those that are not on disk yet."""
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """Messages that are not answered, and may be."""
        return sum(len(self._waiting_for(via)) for via in self._unanswered)

    def _waiting_for(self, via: str) -> list[Asked]:
        """Messages via that child that are not answered, and may be: a few of those that are remembered."""
        now_ms, unanswered = self._clock.wall_ms(), self._unanswered.get(via, {})
        held = {id_: self._asked.get(id_) for id_ in unanswered}
        waiting = {id_: asked for id_, asked in held.items() if asked is not None and asked.is_waiting(now_ms)}
        for id_ in held.keys() - waiting.keys():
            del unanswered[id_]
        return list(waiting.values())

    # Asking

    async def ask(self, message: Message) -> str:
        """Send a message, unless one with its id was sent; its ticket is drawn here. Returns the id, which is drawn, too,
        where it is empty.

        Raises: NotFound for a node that is not below; Conflict where the id is that of another request; TooLarge,
        LimitReached, StorageError.
        """
        if not message.id:
            message = msgspec.structs.replace(message, id=self._random.token_bytes(ID_BYTES).hex())
        digest = _digest(message)
        known = self._asked.get(message.id)
        if known is not None:
            if known.digest != digest:
                cause = "another request was made with it"
                raise Conflict("use Idempotency-Key", message.id, cause, "Use each for one request")
            if (sending := self._sending.get(message.id)) is not None:
                await asyncio.shield(sending)
            return message.id
        via = self._registry.via(message.target)
        if via is None:
            raise not_below("ask", message.target, self._store.node)
        message = msgspec.structs.replace(message, ticket=self._random.token_bytes(TICKET_BYTES))
        size = len(encode(message))
        self._check_room(message, via, size)
        asked = Asked(
            target=message.target,
            via=via,
            ticket=message.ticket,
            digest=digest,
            method=message.method,
            path=message.path,
            size=size,
            asked_ms=message.asked_ms,
            deadline_ms=message.deadline_ms,
        )
        sending = self._store.submit(partial(_put, asked, message, self._limits))
        # Before anything is awaited: a second request with the key finds it, and hears with the first whether it was sent.
        self._asked[message.id], self._sending[message.id] = asked, sending
        self._unanswered.setdefault(via, {})[message.id] = None
        sending.add_done_callback(partial(self._sent, message.id))
        # Also where the caller does not wait for it: what was begun is sent.
        await asyncio.shield(sending)
        return message.id

    def _sent(self, id_: str, sending: "asyncio.Future[None]") -> None:
        del self._sending[id_]
        if sending.cancelled() or sending.exception() is not None:
            del self._asked[id_]

    def _check_room(self, message: Message, via: str, size: int) -> None:
        limits = self._limits
        if size > limits[INBOX_MESSAGE_BYTES]:
            limits.hit(INBOX_MESSAGE_BYTES)
            cause = f"the request has {size} bytes; at most {limits[INBOX_MESSAGE_BYTES]} are allowed"
            raise TooLarge("ask for", message.subject, cause, f"Send less, or raise limit {INBOX_MESSAGE_BYTES.name}")
        waiting = [each.size for each in self._waiting_for(via)]
        for limit, used in ((INBOX_MESSAGES, len(waiting) + 1), (INBOX_BYTES, sum(waiting) + size)):
            if used > limits[limit]:
                limits.hit(limit)
                cause = f"{len(waiting)} messages of {sum(waiting)} bytes wait for {via} already: limit {limit.name}"
                remedy = (
                    "See GET /v1/inbox; cancel some, or wait until they are answered or their deadlines have passed"
                )
                raise LimitReached("ask for", message.subject, cause, remedy)
        most = limits[INBOX_KEPT]
        if len(self._asked) >= most and len(self._asked) - len(self._forgettable()) >= most:
            limits.hit(INBOX_KEPT)
            cause = f"{len(self._asked)} messages are remembered until their deadlines: limit {INBOX_KEPT.name}"
            raise LimitReached("ask for", message.subject, cause, "Ask with earlier deadlines")

    async def wait(self, id_: str) -> Response:
        """The answer, once it comes. Raises TimedOut at the deadline, Gone where it was cancelled, and as `answer`."""
        asked = self._known(id_)
        if asked.status is None and not asked.cancelled:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(id_, []).append(waiter)
            try:
                async with asyncio.timeout(max(0.0, (asked.deadline_ms - self._clock.wall_ms()) / 1000)):
                    await waiter
            except TimeoutError:
                raise _no_answer(id_, asked) from None
            finally:
                self._drop_waiter(id_, waiter)
        return self.answer(id_)

    def _drop_waiter(self, id_: str, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiters[id_]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[id_]

    def folded(self, found: Iterable[str]) -> None:
        """These may be answered: tell those who wait for it."""
        for id_ in found:
            if id_ in self._asked and self._known(id_).status is not None:
                self._tell(id_)

    def _tell(self, id_: str) -> None:
        for waiter in self._waiters.get(id_, ()):
            if not waiter.done():
                waiter.set_result(None)

    # Looking

    def page(self, cursor: str, most: int) -> AskedPage:
        """Those that are remembered, the latest first: as many as that, from `cursor` on. Raises InvalidInput."""
        after = _place(cursor) if cursor else (0, "")
        places = ((-asked.asked_ms, id_) for id_, asked in self._asked.items())
        shown = nsmallest(most + 1, (place for place in places if not cursor or place > after))
        entries = [self.entry(id_) for _, id_ in shown[:most]]
        return AskedPage(entries, f"{entries[-1].asked_ms}/{entries[-1].id}" if len(shown) > most else None)

    def entry(self, id_: str) -> AskedEntry:
        """One of them. Raises NotFound."""
        asked = self._known(id_)
        state: State = "waiting"
        if asked.status is not None:
            state = "answered"
        elif asked.cancelled:
            state = "cancelled"
        elif not asked.is_waiting(self._clock.wall_ms()):
            state = "expired"
        return AskedEntry(
            id_, asked.target, asked.method, asked.path, state, asked.status, asked.asked_ms, asked.deadline_ms
        )

    def answer(self, id_: str) -> Response:
        """The answer that came. Raises NotFound, Conflict while there is none, TimedOut once there will be none, and as
        `_read_answer`."""
        asked = self._known(id_)
        if asked.status is None or asked.source is None:
            if asked.cancelled:
                raise Gone("get answer to", f"message {id_}", "it was cancelled")
            if not asked.is_waiting(self._clock.wall_ms()):
                raise _no_answer(id_, asked)
            raise Conflict("get answer to", f"message {id_}", f"{asked.target} has not answered yet", "Ask again later")
        return self._read_answer(id_, asked, asked.source)

    def _read_answer(self, id_: str, asked: Asked, source: StreamName) -> Response:
        """What the target, or somebody on the way to it, says that it answers. Raises Gone, TooLarge, BadGateway."""
        subject, most, most_read = f"message {id_}", self._limits[INBOX_ANSWER_BYTES], answer_bytes_most(self._limits)
        # Where an answer begins is for whoever gives it to say: what is read is bounded, however many parts it has.
        records = read_records(self._store, source, asked.first, asked.next, most_read)
        is_whole = sum(map(len, records)) < most_read
        try:
            answer = joined(records, asked.ticket, source) if is_whole else None
            if answer is not None:
                check_answer(answer, source)
        except InvalidInput as error:
            cause = f"what {source.origin} answered is no HTTP response: {error.cause}"
            raise BadGateway("get answer to", subject, cause, f"Look after {source.origin}") from error
        if not is_whole or (answer is not None and len(answer.body) > most):
            self._limits.hit(INBOX_ANSWER_BYTES)
            cause = f"it has more than {most} bytes, the limit {INBOX_ANSWER_BYTES.name} of {self._store.node}"
            raise TooLarge("get answer to", subject, cause, "Ask for less at once, or raise the limit in its document")
        if answer is None:
            raise Gone("get answer to", subject, f"{source} does not hold it (any more)", "Ask again")
        return Response(answer.status, list(answer.headers), answer.body)

    def _known(self, id_: str) -> Asked:
        """As the fold left it. Raises NotFound."""
        known = self._asked.get(id_)
        if known is None:
            remedy = f"GET /v1/inbox at {self._store.node} has those that are remembered"
            raise NotFound("find", f"message {id_[:100]}", f"{self._store.node} did not ask it, or not lately", remedy)
        if known.status is None and (data := self._store.state_value(ASKED, id_)) is not None:
            known = self._asked[id_] = read_state(data, Asked)
        return known

    # Ending

    async def cancel(self, id_: str) -> None:
        """Ask for it not to be made. Raises NotFound, Conflict where it is answered, StorageError."""
        asked = self._known(id_)
        if asked.status is not None:
            raise Conflict("cancel", f"message {id_}", f"{asked.target} has answered it")
        cancel = Message(
            id=id_,
            ticket=asked.ticket,
            asker=self._store.node,
            target=asked.target,
            asked_ms=asked.asked_ms,
            deadline_ms=asked.deadline_ms,
            kind="cancel",
        )
        still = self._registry.via(asked.target) == asked.via

        def job(tx: Transaction) -> None:
            held = tx.get_state(ASKED, id_)
            if held is None:
                return
            tx.put_state(ASKED, id_, encode(msgspec.structs.replace(read_state(held, Asked), cancelled=True)))
            if still:
                send(tx, asked.via, cancel, self._limits)

        await self._store.submit(job)
        self._known(id_)
        self._tell(id_)

    async def run(self) -> None:
        """Forget messages when their time is over, until cancelled."""
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            over = self._forgettable()
            if not over:
                continue
            try:
                await self._store.submit(partial(_forget, over))
            except LittoralError as error:
                self._warn(str(error))
                continue
            for id_ in over:
                self._asked.pop(id_, None)

    def _forgettable(self) -> list[str]:
        deadlines = {id_: each.deadline_ms for id_, each in self._asked.items() if id_ not in self._waiters}
        return forgettable(deadlines, self._clock.wall_ms(), self._limits[INBOX_KEPT] - 1)


def _put(asked: Asked, message: Message, limits: Limits, tx: Transaction) -> None:
    tx.put_state(ASKED, message.id, encode(asked))
    send(tx, asked.via, message, limits)


def _forget(ids: list[str], tx: Transaction) -> None:
    for id_ in ids:
        tx.put_state(ASKED, id_, None)


def _place(cursor: str) -> tuple[int, str]:
    asked_ms, _, id_ = cursor.partition("/")
    if not is_whole_number(asked_ms):
        raise InvalidInput("list", "messages", f"{cursor[:120]!r} is no cursor", "Use that of the page before")
    return -int(asked_ms), id_


def _digest(message: Message) -> bytes:
    """Of what is asked; not of when, by whom, and until when."""
    parts = (message.target, message.method, message.path, sorted(message.query.items()))
    return hashlib.sha256(encode([*parts, sorted(message.headers.items()), message.body])).digest()


def _no_answer(id_: str, asked: Asked) -> TimedOut:
    return TimedOut(
        "ask for",
        f"{asked.method} {asked.path[:120]} at {asked.target}",
        f"no answer to message {id_} came before its deadline",
        f"{asked.target} may be away, or slow; GET /v1/inbox/{id_}/answer has the answer if it comes still",
    )
