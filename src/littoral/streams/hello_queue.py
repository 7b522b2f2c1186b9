"""What keeps a parent well while many children come at once, as they do when it has restarted.

A hello is dear: a handshake, a signature to check, and all that the child then fetches. Two things bound that:

- Children are told in every welcome over how long those of this parent have to spread (`spread_s`), and wait so long,
  by chance, before they come back when a session has ended.
- Hellos get their turn one by one, and between two of them whatever else is asked of the node gets its own. One that
  finds too many waiting is told to come later, before anything is checked.
"""

import asyncio

from littoral.core.errors import Unavailable
from littoral.core.limits import HELLOS_AT_ONCE, HELLOS_S, Limits
from littoral.wire.peer import SPREAD_MOST_S

SPREAD_LEAST_S = 0.1
"""So much the first wait of a child's backoff spreads by itself."""


class HelloQueue:
    """Of one parent."""

    def __init__(self, node: str, limits: Limits) -> None:
        self._node = node
        self._limits = limits
        self._waiting = 0
        self._turn = asyncio.Lock()

    async def turn(self, child: str) -> None:
        """Return when it is this hello's turn. Raises Unavailable when too many wait."""
        if self._waiting >= self._limits[HELLOS_AT_ONCE]:
            self._limits.hit(HELLOS_AT_ONCE)
            raise Unavailable(
                "open session of",
                child,
                f"{self._waiting} others are waiting for {self._node}, the limit {HELLOS_AT_ONCE.name}",
                "It comes back by itself",
            )
        self._waiting += 1
        try:
            async with self._turn:
                await asyncio.sleep(0)  # Whatever else is ready goes first.
        finally:
            self._waiting -= 1

    def spread_s(self, children: int) -> float:
        """Over how long so many children are to spread; 0 where they need not."""
        spread_s = children / self._limits[HELLOS_S]
        return min(spread_s, SPREAD_MOST_S) if spread_s > SPREAD_LEAST_S else 0.0
