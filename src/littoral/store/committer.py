"""Group commit: many jobs, one transaction, one sync.

    job fails               its savepoint is rolled back, the others go on
    commit fails            nothing of the group happened; every job gets the error
    commit succeeds         it is on disk (WAL, synchronous=FULL), and only now is anybody told

This is plain synchronous code. A writer (`littoral.store.writer`) decides when it runs and on which thread.
"""

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Unavailable
from littoral.core.hlc import HybridClock
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.core.order import Order
from littoral.store.atomic import roll_back
from littoral.store.bounds import Bounds
from littoral.store.checkpointer import Checkpointer
from littoral.store.database import STORAGE_ERRORS, storage_error
from littoral.store.heads import Heads
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction

Job = Callable[[Transaction], Any]


class OrderedJob:
    """A job that is not done once another of its order has failed."""

    __slots__ = ("_job", "order")

    def __init__(self, job: Job, order: Order) -> None:
        self._job = job
        self.order = order

    def __call__(self, tx: Transaction) -> Any:
        """Raises Unavailable, or what the job raises."""
        if self.order.failed is not None:
            raise Unavailable("write to", "store", f"what came before it could not be written: {self.order.failed}")
        return self._job(tx)


class Committed(msgspec.Struct, frozen=True):
    """What a group did."""

    results: list[object]
    """One per job, in order: what it returned, or the exception it ended with."""
    streams: dict[StreamName, StreamInfo | None]
    """The streams that changed, as committed; None for a deleted one."""


class Committer:
    """Runs groups of jobs on one connection."""

    def __init__(
        self,
        connection: apsw.Connection,
        node: str,
        lineage: str,
        clock: Clock,
        limits: Limits,
        hlc: HybridClock,
        bounds: Bounds,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """checkpointer: None where SQLite checkpoints by itself."""
        self._connection = connection
        self._checkpointer = checkpointer
        self._heads = Heads(connection)
        self._transaction = Transaction(connection, self._heads, node, lineage, clock, limits, hlc, bounds)

    def streams(self) -> dict[StreamName, StreamInfo]:
        """All streams as committed."""
        return {info.name: info for info in self._heads}

    def commit(self, jobs: list[Job]) -> Committed:
        """Run `jobs` in one transaction and sync it. Raises no Exception: whatever fails, the jobs are told."""
        transaction = self._transaction
        try:
            if self._connection.in_transaction:  # the last group failed, and could not even be rolled back
                self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._run(job) for job in jobs]
            transaction.flush()
            transaction.write_heads()
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            failure = storage_error(error, "commit to", self._connection.filename)
            return self._failed(jobs, failure)
        except Exception as failure:  # noqa: BLE001 -- a boundary: the writer goes on, and who waits is told
            return self._failed(jobs, failure)
        return Committed(results, self._heads.publish())

    def settle(self) -> None:
        """Between two groups, when the first has been answered: what is to be done that nobody waits for."""
        if self._checkpointer is not None:
            self._checkpointer.after_group()

    def _run(self, job: Job) -> object:
        """One job, undone if it fails. Raises only what ends the whole group."""
        try:
            with self._transaction.attempt():
                result: object = job(self._transaction)
        except STORAGE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 -- a boundary: the job's owner gets it from its future
            failure = storage_error(error, "write to", "store") if isinstance(error, apsw.Error) else error
            _end_order(job, failure)
            return _Failure(failure)
        self._transaction.flush(full_only=True)
        return result

    def _failed(self, jobs: list[Job], failure: Exception) -> Committed:
        # What cannot be rolled back now is before the next group; until then nothing of it is committed.
        roll_back(self._connection)
        self._transaction.abandon()
        self._heads.rollback()
        for job in jobs:
            _end_order(job, failure)
        return Committed([_Failure(failure) for _ in jobs], {})


def _end_order(job: Job, failure: Exception) -> None:
    if isinstance(job, OrderedJob) and job.order.failed is None:
        job.order.failed = failure


class _Failure:
    """Marks a result as an exception to raise."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def deliver(result: object) -> tuple[object, Exception | None]:
    """A job's result as (value, exception)."""
    return (None, result.error) if isinstance(result, _Failure) else (result, None)
