"""Stores in virtual time whose streams are kept within their budgets."""

from collections.abc import Awaitable, Callable
from typing import TypeVar, Unpack

from littoral.core.names import StreamName
from littoral.core.resources.model import Storage
from littoral.core.tasks import Tasks
from littoral.store.retention import Retention
from littoral.testing.loop import run
from littoral.testing.offload import at_once
from tests.support.stores import Made, SimStore, append


class Retained:
    """A store with its retention at work."""

    def __init__(self, bounds: Storage | None = None, **limits: int) -> None:
        self.sim = SimStore("plant-a", bounds, **limits)
        self.warnings: list[str] = []
        self.failures: list[BaseException] = []
        self.open()

    def open(self) -> None:
        self.store = self.sim.open()
        self.retention = Retention(self.store, self.sim.clock, self.sim.limits, self.warnings.append, at_once)
        self.tasks = Tasks(self.failures.append)
        self.tasks.start(self.retention.run(), "retention")

    async def close(self) -> None:
        """The node ends. Retention must have gone on until then."""
        assert self.failures == []
        await self.tasks.stop()
        await self.sim.close()

    async def append(self, stream: StreamName, *records: bytes, essential: bool = False, **made: Unpack[Made]) -> None:
        await self.store.submit(append(stream, *records, essential=essential, **made))

    def held(self, stream: StreamName) -> int:
        """Its bytes."""
        info = self.store.stream(stream)
        assert info is not None
        return info.bytes


R = TypeVar("R", bound=Retained)


def run_story(story: Callable[[R], Awaitable[None]], opened: Callable[[], R]) -> None:
    """Play it with a store, which is closed at the end."""

    async def main() -> None:
        running = opened()
        await story(running)
        await running.close()

    run(main)
