"""How the gateway reaches the workers of apps: what `node` wires."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from littoral.wire.told_fields import ToldFields

HeaderList = list[tuple[str, str]]
Registrar = Callable[[Callable[[], None]], None]
"""Has something called if the client goes away."""


class AppStream(Protocol):
    """The body of an app's answer, as it comes; and the way on, where another protocol is spoken."""

    length: int | None
    """As the app said; None where nobody knows."""
    switched: bool
    """Whether another protocol is spoken: to be set by who begins to."""

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises LittoralError where it breaks off."""
        ...

    async def write(self, data: bytes) -> None:
        """Send on the way on. Raises ConnectionError."""
        ...

    def end(self) -> None:
        """Nothing more is written."""
        ...

    def close(self) -> None:
        """Nobody reads the rest."""
        ...


class FunctionCall(Protocol):
    """Reaches the workers of apps."""

    async def __call__(
        self,
        app: str,
        method: str,
        url: str,
        headers: HeaderList,
        body: bytes | AsyncIterator[bytes] | None,
        request_id: str,
        when_gone: Registrar | None = None,
        /,
    ) -> tuple[int, HeaderList, bytes | AppStream]:
        """Status, headers and body. body: None to go on with another protocol. Raises LittoralError; what iterating over the
        body raises."""
        ...


class AppSaid(Protocol):
    """The head of an app's answer, and its body where that is whole."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> HeaderList: ...
    @property
    def body(self) -> bytes: ...


class AppAsking(Protocol):
    """Who has asked an app without waiting for it: one of these is called, once."""

    def answered(self, answer: AppSaid, stream: AppStream | None, /) -> None:
        """stream: where the body comes if that is not in the answer."""
        ...

    def failed(self, error: Exception, /) -> None:
        """There is no answer: a LittoralError says why."""
        ...


class AppAsked(Protocol):
    """A call of an app that nobody waits for."""

    def cancel(self) -> None:
        """Nobody wants the answer any more; nor the rest of one that has begun."""
        ...


class FunctionAsk(Protocol):
    """Reaches the workers of apps, and calls back."""

    def __call__(
        self, app: str, method: str, url: str, headers: HeaderList | ToldFields, request_id: str, who: AppAsking, /
    ) -> AppAsked:
        """A request without a body. Raises LittoralError for what is known at once."""
        ...
