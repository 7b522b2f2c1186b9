"""The queues of a node: which there are, who may send to them, and who gets what is in them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, InvalidInput, NotFound, TooLarge
from littoral.core.event_limits import QUEUE_BATCH_BYTES, QUEUE_DELAY_S, QUEUE_MESSAGE_BYTES
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.apps import PlacedApp
from littoral.functions.event_caller import EventCaller
from littoral.functions.messages import BindingCall
from littoral.node.queue import NewMessage, NodeQueue
from littoral.node.queue_consumer import Consumer
from littoral.node.queue_log import QUEUES
from littoral.store.dead_letters import head_text
from littoral.store.store import Store

BATCH_MESSAGES = 100
PEEKED_MOST = 100
CONTENT_TYPES = ("json", "text", "bytes")


class QueueStatus(Struct, frozen=True):
    """One queue of this node."""

    queue: str
    consumer: str
    """The app that gets its messages; empty where none is placed here."""
    messages: int
    """That are not done."""
    taken: int
    """Of those, with the consumer now."""
    bytes: int
    """Of its stream."""
    sent: int
    delivered: int
    done: int
    retried: int
    dead: int
    """Since the hub started."""
    problem: str = ""
    """Why the last batch was not handled."""


class PeekedMessage(Struct, frozen=True):
    """A message that is not done."""

    id: str
    content_type: str
    head: str
    """Its first bytes, as text."""
    size: int
    sent_ms: int
    attempts: int
    due_ms: int
    """It is not given before; 0 for at once."""
    from_queue: str = ""
    """Which queue it is a dead letter of."""


class QueueDesk:
    """All queues of a node."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random: Random,
        limits: Limits,
        call: EventCaller,
        failed: Callable[[BaseException], None],
    ) -> None:
        """failed: receives errors that are faults of ours."""
        self._store = store
        self._clock = clock
        self._random = random
        self._limits = limits
        self._call = call
        self._failed = failed
        self._queues: dict[str, NodeQueue] = {}
        self._producers: dict[str, frozenset[str]] = {}

    def apply(self, apps: Iterable[PlacedApp], parting: Iterable[PlacedApp] = ()) -> None:
        """Exactly these apps send and get messages. parting: those that were taken away, and send some until they have ended."""
        placed = sorted(apps, key=lambda app: app.name)
        senders = [*placed, *parting]
        self._producers = {app.name: frozenset(each.queue for each in app.queues.producers) for app in senders}
        consumers: dict[str, Consumer] = {}
        for app in placed:
            for each in app.queues.consumers:
                # A queue has one consumer: of several apps the first by name.
                consumers.setdefault(each.queue, Consumer.of(app.name, each, self._limits))
        letters = {each.dead_letter_queue for each in consumers.values() if each.dead_letter_queue is not None}
        for name in {*self._kept(), *consumers, *letters, *frozenset().union(*self._producers.values())}:
            if name not in self._queues:
                self._open(name)
        for name, queue in self._queues.items():
            queue.serve(consumers.get(name))

    def _kept(self) -> Iterator[str]:
        """Queues of which something is in the store."""
        for info in self._store.heads():
            first, _, name = info.name.path.partition("/")
            if info.name.origin == self._store.node and first == QUEUES:
                yield name

    def _open(self, name: str) -> None:
        queue = NodeQueue(name, self._store, self._clock, self._random, self._limits, self._call, self._failed)
        self._queues[name] = queue
        queue.start()

    async def stop(self) -> None:
        """Give nothing more away."""
        for queue in self._queues.values():
            await queue.stop()
        self._queues.clear()

    # Apps

    async def answer(self, app: str, call: BindingCall) -> Any:
        """Answers the calls of kind "queue": see BindingHandler."""
        if call.namespace not in self._producers.get(app, frozenset()):
            raise Forbidden(
                "send to queue",
                call.namespace,
                f"app {app} is no producer of it",
                "Add it under spec.queues.producers of the app",
            )
        await self.perform(call)

    def check(self, name: str) -> None:
        """Raises NotFound where there is no such queue."""
        self._find("send to queue", name)

    async def perform(self, call: BindingCall) -> None:
        """Send for one who may. Raises LittoralError."""
        if call.operation != "send":
            raise InvalidInput("call queue", call.namespace, f"it does not do {call.operation[:40]!r}", "It takes send")
        await self._find("send to queue", call.namespace).send(self._messages(call))

    def _messages(self, call: BindingCall) -> list[NewMessage]:
        """Raises InvalidInput, TooLarge."""
        try:
            (messages,) = msgspec.convert(call.arguments, tuple[list[tuple[str, bytes, int, str]]])
        except UNDECODABLE as error:
            raise InvalidInput("send to queue", call.namespace, f"this is no message ({error})") from error
        if not 1 <= len(messages) <= BATCH_MESSAGES:
            cause = f"{len(messages)} messages at once; 1 to {BATCH_MESSAGES} are allowed"
            raise InvalidInput("send to queue", call.namespace, cause, "Send them in several batches")
        size = 0
        for content_type, body, delay_s, _ in messages:
            if content_type not in CONTENT_TYPES:
                raise InvalidInput("send to queue", call.namespace, f"content type {content_type[:40]!r} is not known")
            if not 0 <= delay_s <= self._limits[QUEUE_DELAY_S]:
                self._limits.hit(QUEUE_DELAY_S)
                cause = f"a delay of {delay_s} s; at most {self._limits[QUEUE_DELAY_S]} s are allowed"
                raise InvalidInput("send to queue", call.namespace, cause, "Raise limit queue-delay-seconds")
            if len(body) > self._limits[QUEUE_MESSAGE_BYTES]:
                self._limits.hit(QUEUE_MESSAGE_BYTES)
                cause = f"a body of {len(body)} bytes; at most {self._limits[QUEUE_MESSAGE_BYTES]} are allowed"
                raise TooLarge("send to queue", call.namespace, cause, "Send where it is instead, or several messages")
            size += len(body)
        if len(messages) > 1 and size > self._limits[QUEUE_BATCH_BYTES]:
            self._limits.hit(QUEUE_BATCH_BYTES)
            cause = f"bodies of {size} bytes together; at most {self._limits[QUEUE_BATCH_BYTES]} are allowed"
            raise TooLarge("send to queue", call.namespace, cause, "Send them in several batches")
        return [NewMessage(*message) for message in messages]

    # Operators

    def statuses(self) -> list[QueueStatus]:
        """All queues, by name."""
        return [self._status(queue) for _, queue in sorted(self._queues.items())]

    def _status(self, queue: NodeQueue) -> QueueStatus:
        counters, consumer = queue.counters, queue.consumer
        return QueueStatus(
            queue.name,
            consumer.app if consumer is not None else "",
            queue.messages,
            queue.state.taken,
            queue.bytes,
            counters.sent,
            counters.delivered,
            counters.done,
            counters.retried,
            counters.dead,
            queue.problem,
        )

    async def peek(self, name: str, most: int) -> list[PeekedMessage]:
        """The oldest messages that are not done. Raises NotFound, StorageError."""
        found = await self._find("look into queue", name).peek(most)
        return [
            PeekedMessage(
                each.id,
                each.content_type,
                head_text(each.body),
                len(each.body),
                each.sent_ms,
                attempts,
                due_ms,
                each.from_queue,
            )
            for each, attempts, due_ms in found
        ]

    async def purge(self, name: str) -> int:
        """Remove all messages; returns how many. Raises NotFound, StorageError."""
        return await self._find("purge queue", name).purge()

    def _find(self, operation: str, name: str) -> NodeQueue:
        if name not in self._queues:
            raise NotFound(operation, name[:120], "this node has no such queue", "`littoral queue list` names them")
        return self._queues[name]
