"""Messages that came through the tree, on their way to this node's clients.

a record of `mqtt-tree/NAME`    in one transaction: into the queues of the sessions that are kept, as retained message, and the
                                offset up to which that is done; then to those that are connected
the disk takes nothing          again, and nothing of it has happened
behind retention                go on with the oldest that is left, and count what is gone
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from littoral.core.clock import Clock
from littoral.core.errors import Gone, InvalidInput, NotFound, StorageCorrupt, StorageError, Unavailable
from littoral.core.limits import READ_BYTES, Limits
from littoral.core.names import StreamName
from littoral.iot.broker import Broker
from littoral.iot.global_records import DELIVERY, Travelling, decode_travelling, message_of, tree_name
from littoral.iot.message import Message
from littoral.iot.session_store import Passed
from littoral.store.batch import Batch
from littoral.store.database import STORAGE_ERRORS
from littoral.store.store import Store
from littoral.store.stream import StreamInfo

AT_ONCE = 512
"""Messages in one transaction, and until others have their turn."""
RETRY_S = 1.0
"""After a disk that took nothing."""
_log = logging.getLogger(__name__)


class GlobalDelivery:
    """Of one node."""

    def __init__(self, store: Store, broker: Broker, clock: Clock, limits: Limits) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._limits = limits
        self._due: dict[StreamName, None] = {}
        self._wake = asyncio.Event()
        self.delivered = 0
        """Messages of other nodes that reached this node's sessions, however many had subscribed."""
        self.missed = 0
        """Messages that were gone, or not to be read, before they were delivered."""

    async def run(self) -> None:
        """Deliver until cancelled."""
        stop = self._store.watch(self._note)
        try:
            for info in self._store.streams():
                self._note(info)
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._due:
                    await self._try(self._due.popitem()[0])
        finally:
            stop()

    def _note(self, info: StreamInfo) -> None:
        if info.name.origin == self._store.node and tree_name(info.name.path) is not None:
            self._due[info.name] = None
            self._wake.set()

    async def _try(self, name: StreamName) -> None:
        """Bring one stream to its tail, if the disk lets us; otherwise it is tried again."""
        try:
            await self._catch_up(name)
        except (StorageError, Unavailable, *STORAGE_ERRORS) as error:
            _log.warning("cannot read messages of other nodes: %s; it is tried again", error)
            await asyncio.sleep(RETRY_S)
            self._due[name] = None

    async def _catch_up(self, name: StreamName) -> None:
        """Bring one stream to its tail."""
        while (info := self._store.stream(name)) is not None:
            offset = self._store.fold_offset(DELIVERY, name)
            if offset >= info.next:
                return
            try:
                await self._advance(info, offset)
            except (Gone, NotFound):
                return  # It is about to be published, which notes the stream again.

    async def _advance(self, info: StreamInfo, offset: int) -> None:
        """Deliver some from `offset` on. Raises Gone, NotFound."""
        start = max(offset, info.first)
        try:
            batches = self._store.read(info.name, start, self._limits[READ_BYTES])
            entries, end = _entries(info.name, batches, start)
        except StorageCorrupt as missing:
            _log.error("messages of other nodes are lost: %s", missing)
            entries, end = [], self._store.next_batch(info, start)
            self.missed += end - start
        self.missed += start - offset
        await self._pass(info.name, entries, end)

    async def _pass(self, name: StreamName, entries: Iterable[Travelling], end: int) -> None:
        now_ms = self._clock.wall_ms()
        messages: list[Message] = []
        retained: list[Message] = []
        others = set[str]()
        """Topics whose retained message becomes that of another node by what comes before."""
        for each in entries:
            message = message_of(each.message)
            if each.origin == self._store.node:
                if each.keep and (message.topic in others or self._is_of_another(message.topic)):
                    retained.append(message)
            elif each.stays:
                retained.append(message)
                others.add(message.topic)
            elif each.here and (message.expires_ms is None or now_ms < message.expires_ms):
                messages.append(message)
                if each.keep:
                    retained.append(message)
                    others.add(message.topic)
        passed = Passed(tree_name(name.path) or "", end)
        while (error := await self._take_over(messages, retained, passed)) is not None:
            if self._store.stream(name) is None:
                return
            _log.warning("cannot store messages of other nodes: %s; it is tried again", error)
            await asyncio.sleep(RETRY_S)
        self.delivered += len(messages)

    def _is_of_another(self, topic: str) -> bool:
        """Whether what is retained came from another node: then this node's own, which is newer, takes its place."""
        held = self._broker.retained.get(topic)
        return held is not None and not held.publisher

    async def _take_over(
        self, messages: Sequence[Message], retained: Sequence[Message], passed: Passed
    ) -> BaseException | None:
        done: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        def written(error: BaseException | None) -> None:
            if not done.done():
                done.set_result(error)

        self._broker.take_over(messages, retained, passed, written)
        return await done


def _entries(name: StreamName, batches: Sequence[Batch], start: int) -> tuple[list[Travelling], int]:
    """Up to AT_ONCE messages from `start` on, and where the next is. Raises StorageCorrupt where there are none."""
    found: list[Travelling] = []
    end = start
    for batch in batches:
        try:
            records = batch.records()
        except StorageCorrupt:
            if end > start:
                break
            raise
        for record in records[end - batch.first :][: AT_ONCE - (end - start)]:
            try:
                found.append(decode_travelling(name, record))
            except InvalidInput as error:
                raise StorageCorrupt("read messages of", str(name), error.cause) from error
            end += 1
        if end < batch.next:
            break
    return found, end
