"""Requests that wait until a target of their pool has room: first come, first served, so many and so long."""

import asyncio
from collections import deque

from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.settings import Crowding


class Queue:
    """That of one pool."""

    def __init__(self, settings: Crowding, meter: PoolMeter) -> None:
        self._settings = settings
        self._meter = meter
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter(self) -> float:
        """Until when one may wait, by the event loop's time."""
        return asyncio.get_running_loop().time() + self._settings.wait_s

    async def wait(self, until_s: float) -> bool:
        """Until it is one's turn to look again. False: there are too many, or it has taken too long."""
        if len(self._waiting) >= self._settings.waiting:
            self._meter.refused += 1
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._meter.waiting += 1
        try:
            async with asyncio.timeout_at(until_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self.room()  # It was given to one who has just left.
            if isinstance(error, asyncio.CancelledError):
                raise
            self._meter.refused += 1
            return False
        finally:
            self._meter.waiting -= 1
            if turn in self._waiting:
                self._waiting.remove(turn)
        return True

    def room(self) -> None:
        """There is room for one more."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
