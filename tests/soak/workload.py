"""What all clients share: they ask again until they are answered, and stop when they are told to."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from littoral.core.errors import LittoralError

RETRY_S = 0.25
T = TypeVar("T")


class Client:
    """A client that works until it is told to end, and then finishes what it has begun."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ending = False
        self.done = asyncio.Event()
        self.violations: list[str] = []
        self.retries = 0
        self.last_refusal = ""

    async def run(self) -> None:
        """Until all is answered after `ending` was set."""
        while not self.ending:
            await self.step()
        await self.finish()
        self.done.set()

    async def step(self) -> None:
        """One piece of work."""
        raise NotImplementedError

    async def finish(self) -> None:
        """What is left once nothing new is begun."""

    async def insist(self, attempt: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The answer, and whether it came at the first attempt. One that got no answer may still take effect later."""
        first = True
        while True:
            try:
                return await attempt(), first
            except LittoralError as error:
                self.last_refusal = str(error)
            first = False
            self.retries += 1
            await asyncio.sleep(RETRY_S)


def seconds() -> float:
    """Of the monotonic clock."""
    return time.monotonic()
