"""A request for what is not stored, and which nobody waits for who would be given the same."""

from collections.abc import Awaitable
from typing import Protocol

from littoral.gateway.cache.asked import Asked
from littoral.gateway.cache.giver import Given
from littoral.gateway.cache.sender import Sent
from littoral.gateway.origin_later import OriginLater
from littoral.gateway.origins.transport import OriginAnswer
from littoral.wire.caching.cache_status import Forward


class Taker(Protocol):
    """What takes answers in: the route's cache."""

    def take_whole(self, asked: Asked, answer: OriginAnswer, reason: Forward) -> Given:
        """Give a whole answer, and store it if it may be."""
        ...

    async def fetch_rest(self, asked: Asked, sent: Sent, reason: Forward) -> int:
        """Go on with a request that was begun when it came: give its answer, and store it if it may be. Raises OriginFailed,
        Unavailable."""
        ...


class Fetching(OriginLater):
    """See the module."""

    __slots__ = ("_asked", "_reason", "_taker")

    def __init__(self, taker: Taker, asked: Asked, reason: Forward, request_id: str) -> None:
        """reason: why there is nothing stored."""
        super().__init__(asked.exchange, request_id)
        self._taker = taker
        self._asked = asked
        self._reason: Forward = reason

    def _give(self, answer: OriginAnswer) -> Given:
        return self._taker.take_whole(self._asked, answer, self._reason)

    def _go_on(self, sent: Sent) -> Awaitable[int]:
        return self._taker.fetch_rest(self._asked, sent, self._reason)
