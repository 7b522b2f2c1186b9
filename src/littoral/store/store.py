"""A node's store: streams, the state folded from them, and key-value, in one SQLite file with one writer.

Reads stand in `stream_reads` and `state_reads`; `opening` opens it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import apsw
import msgspec

from littoral.core.errors import NotFound
from littoral.core.names import StreamName
from littoral.store.bounds import Bounds
from littoral.store.checkpointer import Checkpointer
from littoral.store.committer import Committed, Committer
from littoral.store.lineage import FormerLineage
from littoral.store.replica import FORMER_STREAMS, ReplicaOutcome
from littoral.store.stream import StreamInfo
from littoral.store.stream_reads import StreamReads
from littoral.store.transaction import Transaction
from littoral.store.writer import Writer

T = TypeVar("T")


class StoreCounters(msgspec.Struct):
    """Since the store was opened. Only what is on disk counts."""

    commits: int = 0
    """Groups, each one transaction and one sync."""
    jobs: int = 0
    appended_records: int = 0
    """To streams of this node's own."""
    replicated_records: int = 0
    """To copies of other nodes' streams."""
    verdicts: dict[str, int] = {}
    """Batches that neighbours sent, by what became of them (littoral.store.replica)."""

    def judged(self, outcomes: Sequence[ReplicaOutcome]) -> None:
        """Count what became of a frame."""
        for outcome in outcomes:
            verdict = outcome.verdict.value
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1


class Store(StreamReads):
    """The open store. Reads run on the caller's (the event loop's) thread, writes are submitted to the writer."""

    def __init__(
        self,
        node: str,
        lineage: str,
        connection: apsw.Connection,
        reader: apsw.Connection,
        writer: Writer,
        committer: Committer,
        bounds: Bounds,
        former: list[FormerLineage],
        checkpointer: Checkpointer | None,
    ) -> None:
        """Use `littoral.store.opening.open_store`."""
        super().__init__(node, reader, committer.streams(), bounds.spill)
        self.lineage = lineage
        self.former = former
        """What the store was before it was restored."""
        self.checkpointer = checkpointer
        """None where the disk has no shared memory: then SQLite checkpoints its log by itself."""
        self.committer = committer
        self.bounds = bounds
        self._connection = connection
        self._writer = writer
        self._waiters: dict[StreamName, dict[asyncio.Future[None], None]] = {}
        self.counters = StoreCounters()
        self._watchers: list[tuple[Callable[[StreamInfo], None], Callable[[StreamName], None]]] = []

    # Writing

    def submit(self, job: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Run `job` on the writer. The future ends once the group that holds it is synced to disk.

        Raises: LimitReached, Unavailable; the future: whatever the job raises, StorageError.
        """
        return cast("asyncio.Future[T]", self._writer.submit(job))

    # What moves

    async def wait(self, name: StreamName, offset: int, *, expected: bool = False) -> None:
        """Return once the stream's tail is beyond `offset`, or it is closed. Raises NotFound when it is deleted; expected:
        one that is not there is waited for."""
        while True:
            info = self._streams.get(name)
            if info is None and not expected:
                raise NotFound("wait for stream", str(name), "there is no such stream on this node")
            if info is not None and (info.next > offset or info.closed):
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(name, {})[waiter] = None
            try:
                await waiter
            finally:
                self._drop_waiter(name, waiter)

    def watch(
        self, changed: Callable[[StreamInfo], None], deleted: Callable[[StreamName], None] = lambda name: None
    ) -> Callable[[], None]:
        """Call `changed` on the event loop for every stream that a commit changed, and `deleted` for every one it
        deleted; returns what ends it. A stream that was deleted and made anew in one commit has changed, and has another
        `id`. Neither may raise: it would end the writer.
        """
        watcher = (changed, deleted)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    # Its end

    async def writer_ended(self) -> None:
        """Return after `close`. Raises what ended the writer before: the node must not go on."""
        await self._writer.ended()

    async def close(self) -> None:
        """Commit what is queued, and close. Safe to call twice."""
        await self._writer.stop()
        if self.checkpointer is not None:
            self.checkpointer.close()
        if self._reader is not self._connection:
            self._reader.close()
        with contextlib.suppress(apsw.Error):
            # A disk that takes no writes keeps SQLite from tidying up; the next start does it. Nothing is lost by that.
            self._connection.close()

    def abandon(self) -> None:
        """As when the process dies: the files are let go of as they are, without a word to anybody."""
        with contextlib.suppress(apsw.Error):
            self._connection.close(True)

    def published(self, committed: Committed) -> None:
        """For the writer: a group is on disk."""
        counters = self.counters
        counters.commits += 1
        counters.jobs += len(committed.results)
        watchers = tuple(self._watchers)
        for name, info in committed.streams.items():
            old = self._streams.get(name)
            if info is None:
                self._streams.pop(name, None)
                for _, deleted in watchers:
                    deleted(name)
            else:
                self._streams[name] = info
                self._count(old, info)
                for changed, _ in watchers:
                    changed(info)
            for waiter in self._waiters.pop(name, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def _count(self, old: StreamInfo | None, info: StreamInfo) -> None:
        if info.name.path.startswith(FORMER_STREAMS):
            return  # counted under its former name
        begins = info.fork.inherited if info.fork is not None else info.first
        # A stream that was cut back is shorter; what is counted only grows.
        grown = max(0, info.next - (old.next if old is not None and old.id == info.id else begins))
        if info.name.origin == self.node:
            self.counters.appended_records += grown
        else:
            self.counters.replicated_records += grown

    def _drop_waiter(self, name: StreamName, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiters.get(name)
        if waiters is not None:
            waiters.pop(waiter, None)
            if not waiters:
                del self._waiters[name]
