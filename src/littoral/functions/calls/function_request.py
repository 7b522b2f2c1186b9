"""What an app is asked, as gateways and the hub ask it."""

from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from littoral.functions.messages import EventKind
from littoral.wire.told_fields import ToldFields


class FunctionRequest(Struct, frozen=True, gc=False):
    """What an app is asked."""

    method: str
    url: str
    headers: list[tuple[str, str]] | ToldFields
    body: bytes | AsyncIterator[bytes] | None
    """Whole; or as it comes; or None for a request to go on with another protocol, for which the answer's stream is the way."""
    request_id: str
    event: EventKind = ""
    wall_ms: int = 0
    """The most it may take, where that is not what the target says."""
    when_gone: Callable[[Callable[[], None]], None] | None = None
    """Registers what is to be called if the client goes away; None where nobody can tell."""
