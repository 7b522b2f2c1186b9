"""What the gateways of a node say to something that all of them were asked."""

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Replies(Generic[T]):
    """Those of the gateways that were connected when it was asked."""

    def __init__(self, asked: Iterable[object] = ()) -> None:
        self.said: list[T] = []
        self._waiting = set(asked)
        self._all = asyncio.Event()
        self._look()

    @property
    def missing(self) -> int:
        """How many have not answered."""
        return len(self._waiting)

    def say(self, gateway: object, answer: T) -> None:
        """One of them answers."""
        self.said.append(answer)
        self.lost(gateway)

    def lost(self, gateway: object) -> None:
        """One of them is gone, and is not waited for."""
        self._waiting.discard(gateway)
        self._look()

    async def wait(self, most_s: float) -> None:
        """Return once all have answered, or `most_s` have passed."""
        try:
            async with asyncio.timeout(most_s):
                await self._all.wait()
        except TimeoutError:
            return

    def _look(self) -> None:
        if not self._waiting:
            self._all.set()
