"""One node's store in virtual time, on a disk whose power can be cut."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from littoral.core.errors import LittoralError
from littoral.core.limits import Limits
from littoral.core.resources.model import Storage
from littoral.store.history import History
from littoral.store.opening import open_store
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.testing.clock import SimClock
from littoral.testing.disk import PowerCut, SimDisk
from littoral.testing.random import SeededRandom
from littoral.testing.writer import SimWriter

T = TypeVar("T")

ANSWER_S = 3.0
"""How long `insist` waits for an answer before it asks again. Virtual."""


class SimStore:
    """One node's disk, and the store that is open on it. Inside `littoral.testing.loop.run` only."""

    def __init__(
        self, node: str = "plant-a", storage: Storage | None = None, /, *, seed: int | str = 1, **limits: int
    ) -> None:
        """storage: what bounds its streams, besides the limits of the node, which are named with "_"."""
        self.node = node
        self.limits = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        self.random = SeededRandom(seed).fork(node)
        self.clock = SimClock(asyncio.get_running_loop())
        self.disk = SimDisk(self.random.fork("disk"))
        self.disk.on_cut = self._power_went
        self.storage = storage
        self.spill_disk: SimDisk | None = None
        """What `storage` names as a place for spilled records. It is in the same machine, and loses power with it."""
        if storage is not None and storage.spill is not None:
            self.spill_disk = SimDisk(self.random.fork("spill disk"))
            self.spill_disk.on_cut = self.disk.cut_power
        self.writer = SimWriter(self.limits, self.random.fork("writer"))
        self.store: Store | None = None
        self.deaths = 0
        """How often the power went. A test that lets others work on the store begins them anew when this has grown."""

    def open(self) -> Store:
        """Open the store; a second time after `close` or `cut_power`."""
        self.disk.power_on()
        if self.spill_disk is not None:
            self.spill_disk.power_on()
        self.writer = SimWriter(self.limits, self.random.fork("writer"))
        self.store = open_store(
            self.node,
            self.disk,
            self.clock,
            self.random.fork("store"),
            self.limits,
            self.writer,
            storage=self.storage,
            spill_disk=self.spill_disk,
        )
        return self.store

    def running(self) -> Store:
        """The open store; opened (again) if it is not. Raises what a restart cannot mend."""
        while self.store is None:
            try:
                self.open()
            except (LittoralError, PowerCut):
                if self.disk.powered:
                    raise
        return self.store

    async def insist(self, job: Callable[[Transaction], T]) -> T:
        """Submit a job again until it is answered: a store whose power went says nothing, and may have done it. Raises
        what the job raises."""
        while True:
            store, deaths = self.running(), self.deaths
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await store.submit(job)
            except (TimeoutError, LittoralError):
                if self.deaths == deaths:
                    raise

    async def close(self) -> None:
        """Close the store in an orderly way, if it is open; the power may go meanwhile."""
        deaths = self.deaths
        if self.store is not None:
            try:
                await self.store.close()
            except (LittoralError, PowerCut):
                if self.deaths == deaths:
                    raise
        self.store = None

    def cut_power(self) -> None:
        """As when the machine loses power."""
        self.disk.cut_power()
        self.died()

    def died(self) -> None:
        """The power is off: nothing of the process remains."""
        self.writer.kill()
        store, self.store = self.store, None
        if store is not None:
            store.abandon()

    def _power_went(self) -> None:
        self.deaths += 1
        if self.spill_disk is not None:
            self.spill_disk.cut_power()
        self.writer.kill()
        store, self.store = self.store, None
        if store is not None:
            # Not here: the cut may have come in the middle of an operation of SQLite's, which has to return first.
            asyncio.get_running_loop().call_soon(store.abandon)


def check_histories(store: Store) -> None:
    """Assert that every stream is what its hashes say: no damaged batch, no hole in a stream of the node's own, every
    chain the continuation of the one before, and the stream's head that of its last batch."""
    for info in store.streams():
        inherited = info.fork.inherited if info.fork is not None else 0
        history = History(
            str(info.name),
            info.first,
            gapless=info.name.origin == store.node,
            inherited=max(inherited, store.spilled.end(info)),
        )
        for batch in store.read(info.name, info.first, 1 << 40):
            assert not (found := list(history.follow(batch))), str(found[0])
        assert not (found := list(history.end(info))), str(found[0])
