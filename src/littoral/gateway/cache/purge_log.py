"""The purges of a gateway process, by number: an answer that an origin was asked for before a purge is not stored after it."""

from collections import deque
from collections.abc import Collection
from itertools import islice

from littoral.gateway.cache.purge import Aim

REMEMBERED_MOST = 1000
"""An answer that was asked for before the last so many purges is taken to be meant by one of them."""


class PurgeLog:
    """The last purges. Who asks an origin notes `number` first, and asks whether it `hits` before it stores the answer."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last one."""
        self._aims: deque[Aim] = deque(maxlen=REMEMBERED_MOST)

    def note(self, aim: Aim) -> None:
        """One more."""
        self.number += 1
        self._aims.append(aim)

    def hits(self, since: int, key: str, tags: Collection[str] | None = None, *, hard: bool = False) -> bool:
        """Whether one after number `since` was meant for this. tags: None where they are not known yet. hard: soft ones
        do not count."""
        if since == self.number:
            return False
        gone = self.number - len(self._aims)
        if since < gone:
            return True
        return any(aim.hits(key, tags) for aim in islice(self._aims, since - gone, None) if not (hard and aim.soft))
