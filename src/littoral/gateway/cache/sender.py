"""Asking the origin of a route, as a cache does it."""

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest
from littoral.gateway.target import RequestTarget

Inform = Callable[[int, Fields], None]


class Sender(Protocol):
    """Asks the origin of a route."""

    def request(self, exchange: Exchange, target: RequestTarget, request_id: str) -> OriginRequest:
        """What an exchange's request is to the origin. Raises BadGateway."""
        ...

    def send(self, request: OriginRequest, key: str, inform: Inform | None) -> Awaitable[OriginAnswer]:
        """Send it. key: what a consistent hash goes by. Raises OriginFailed, Unavailable."""
        ...

    def changed(self, url: str) -> None:
        """The origin has answered a request that has changed, perhaps, what is kept under a URL: other caches do not know of it."""
        ...


class Sent(Protocol):
    """A request that was taken over by `PromptSender.begin`."""

    @property
    def is_under_way(self) -> bool:
        """Whether it was sent. If not, nobody is told, and `rest` sends it."""
        ...

    def taken(self) -> OriginAnswer | None:
        """Once told: the answer, if it is whole and there is nothing to be done but to give it. It is over then."""
        ...

    async def rest(self) -> OriginAnswer:
        """What `Sender.send` would have returned: what it takes to get there is done now. Raises as that."""
        ...

    def close(self) -> None:
        """Nobody wants the answer any more, and nobody is told."""
        ...


@runtime_checkable
class PromptSender(Sender, Protocol):
    """One that can also ask at once, with no task that waits for the answer."""

    def begin(self, request: OriginRequest, key: str, inform: Inform, told: Callable[[], None]) -> Sent | None:
        """Ask now, if that can be done. None where it takes `send`: nothing was done then. told: called once when the answer is
        there, or it takes `Sent.rest` to have one. Raises LittoralError for what is known at once."""
        ...
