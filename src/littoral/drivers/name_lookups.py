"""What addresses the hosts have that clients named.

The system's resolver waits in a thread, for longer than any call does, where no server answers for a name. So that a few
such names hold up nobody else, there is at most one lookup of a name, and few of one domain; who comes too late for those
waits in line, and is told after a while that nobody answers.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

LOOKUPS = 64
"""At once; of any domains. Each that nobody answers for holds a thread."""
DOMAIN_LOOKUPS = 4
"""At once, of names whose last two labels are the same: who has a domain has any number of names in it."""
LOOKUP_S = 5.0
"""After it, a name is one that nobody answers for. As long as connecting may take."""


class _Lookup(NamedTuple):
    """One that runs."""

    began_s: float
    found: "asyncio.Future[list[Any]]"


class NameLookups:
    """Those of one process. They have threads of their own, so that nothing else waits behind them."""

    def __init__(self, lookup_s: float = LOOKUP_S) -> None:
        self._lookup_s = lookup_s
        self._threads = ThreadPoolExecutor(LOOKUPS, "resolve")
        self._running: dict[str, _Lookup] = {}
        self._lines: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By domain; kept by who waits or runs in it."""

    async def addresses(self, host: str) -> list[str]:
        """As the system has them. Raises OSError or ValueError for a name that has none, TimeoutError for one that nobody
        answers for: at once while an earlier lookup of it has not ended."""
        name = host.rstrip(".").lower()
        running = self._running.get(name)
        if running is not None and asyncio.get_running_loop().time() - running.began_s >= self._lookup_s:
            raise TimeoutError
        async with asyncio.timeout(self._lookup_s):
            if running is None:
                running = await self._begun(name, host)
            # It ends when its thread does, whoever waits for it still.
            found = await asyncio.shield(running.found)
        return [str(address[0]) for *_, address in found]

    async def _begun(self, name: str, host: str) -> _Lookup:
        domain = ".".join(name.split(".")[-2:])
        line = self._lines.setdefault(domain, asyncio.Semaphore(DOMAIN_LOOKUPS))
        await line.acquire()
        if (running := self._running.get(name)) is not None:
            line.release()
            return running
        loop = asyncio.get_running_loop()
        look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        running = _Lookup(loop.time(), loop.run_in_executor(self._threads, look_up))
        self._running[name] = running
        running.found.add_done_callback(partial(self._ended, name, line))
        return running

    def _ended(self, name: str, line: asyncio.Semaphore, found: "asyncio.Future[list[Any]]") -> None:
        del self._running[name]
        line.release()
        if not found.cancelled():
            found.exception()  # Whoever waited may have left.
