"""Faults of ours, put into the product on purpose: what the simulator must be able to find.

Each takes one protecting line away, as a slip of a programmer's would.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw
import msgspec
import pytest

from littoral.core.http import AnyResponse, Request
from littoral.core.kv import KvEntry
from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.iot import rule_runner
from littoral.store import kv
from littoral.store.batch import StoredBatch, make_batch
from littoral.store.committer import Committed, Committer, Job
from littoral.store.database import storage_error
from littoral.store.kv import KvTable
from littoral.store.replica import ReplicaOutcome
from littoral.store.store import Store
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction
from littoral.streams import peer_server
from littoral.streams.outbox import Outbox
from littoral.streams.peer_server import PeerServer
from littoral.streams.take_over import take_over


def acknowledge_before_sync(patch: pytest.MonkeyPatch) -> None:
    """A group is told of its results before its commit, which comes with the next group."""

    def commit(self: Committer, jobs: list[Job]) -> Committed:
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._run(job) for job in jobs]
            self._transaction.flush()
            self._transaction.write_heads()
        except apsw.Error as error:
            return self._failed(jobs, storage_error(error, "commit to", "store"))
        return Committed(results, self._heads.publish())

    patch.setattr(Committer, "commit", commit)


class _Later:
    """A transaction that puts off what says how far a rule has come."""

    def __init__(self, tx: Transaction, put_off: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._tx = tx
        self._put_off = put_off

    def __getattr__(self, name: str) -> Any:
        if name in ("set_fold", "put_state"):
            return lambda *args: self._put_off.append((name, args))
        return getattr(self._tx, name)


def effect_and_offset_in_two_transactions(patch: pytest.MonkeyPatch) -> None:
    """What a rule gives is committed first, and how far it has come after that."""

    async def in_two(store: Store, effect: Callable[[Transaction], None], note: Callable[[str], None]) -> None:
        put_off: list[tuple[str, tuple[Any, ...]]] = []

        def first(tx: Transaction) -> None:
            put_off.clear()
            effect(_Later(tx, put_off))  # type: ignore[arg-type]

        def second(tx: Transaction) -> None:
            for name, args in put_off:
                getattr(tx, name)(*args)

        await commit_stubbornly(store, first, note)
        await commit_stubbornly(store, second, note)

    patch.setattr(rule_runner, "commit_stubbornly", in_two)


def retry_recuts_its_batch(patch: pytest.MonkeyPatch) -> None:
    """A batch that was not answered is sent again together with what has come since, as a new batch of both."""
    sent_before: set[tuple[str, StreamName, int]] = set()
    take = Outbox.take

    def take_recut(self: Outbox, lanes: Iterable[Lane], max_bytes: int) -> list[StoredBatch]:
        frame: list[StoredBatch] = []
        for stored in take(self, lanes, max_bytes):
            last = frame[-1].batch if frame else None
            if (
                last is not None
                and last.name == stored.batch.name
                and (self._store.node, last.name, last.first) in sent_before
            ):
                both = [*last.records(), *stored.batch.records()]
                whole = make_batch(last.name, last.lineage, last.first, both, last.appended_ms, last.chain_before)
                frame[-1] = msgspec.structs.replace(frame[-1], batch=whole)
            else:
                frame.append(stored)
        sent_before.update((self._store.node, stored.batch.name, stored.batch.first) for stored in frame)
        return frame

    patch.setattr(Outbox, "take", take_recut)


def relay_drops_the_origin(patch: pytest.MonkeyPatch) -> None:
    """What a child sends is taken for the child's own, wherever it came from."""

    def take_as_own(frame: Sequence[StoredBatch], via: str, tx: Transaction) -> list[ReplicaOutcome]:
        own = [
            msgspec.structs.replace(stored, batch=msgspec.structs.replace(stored.batch, origin=via)) for stored in frame
        ]
        return take_over(own, via, tx)

    patch.setattr(peer_server, "take_over", take_as_own)


def fold_ignores_the_tombstone_horizon(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks any more whether a deletion of the key may have been forgotten."""
    merge, read_horizon = KvTable.merge, kv.read_horizon

    def merge_all(
        self: KvTable, namespace: str, entries: Sequence[KvEntry], *, refuse: bool, wall_ms: int
    ) -> kv.Merged:
        kv.read_horizon = lambda connection, namespace: 0
        try:
            return merge(self, namespace, entries, refuse=refuse, wall_ms=wall_ms)
        finally:
            kv.read_horizon = read_horizon

    patch.setattr(KvTable, "merge", merge_all)


def invariant_breaks_in_every_seventh_request(patch: pytest.MonkeyPatch) -> None:
    """What a parent asserts does not hold: the child is told of an error, and asks again."""
    handle = PeerServer.handle
    asked = 0

    async def handle_and_fail(self: PeerServer, child: str, request: Request) -> AnyResponse:
        nonlocal asked
        asked += 1
        assert asked % 7, "planted"
        return await handle(self, child, request)

    patch.setattr(PeerServer, "handle", handle_and_fail)
