"""Calls to an origin, as the gateway makes them. `drivers.origin_transport` implements it."""

from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol

from msgspec import Struct

from littoral.core.errors import BadGateway
from littoral.gateway.exchange import Duplex
from littoral.gateway.field_block import Fields
from littoral.gateway.notes import Notes


class Endpoint(Struct, frozen=True, cache_hash=True):
    """One server."""

    scheme: Literal["http", "https"]
    host: str
    """A name or an address; without brackets."""
    port: int
    server_name: str = ""
    """For TLS: whose certificate it must show; empty for `host`."""
    ca_file: str = ""
    """For TLS: PEM with the CAs that may have signed it; empty for the system's."""
    certificate_file: str = ""
    """For TLS: PEM with the certificate that it is shown; empty for none. Those who want one are nodes, which speak TLS 1.3."""
    key_file: str = ""
    """PEM with the key to that."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class OriginTimeouts(Struct, frozen=True):
    """In seconds."""

    connect_s: float = 5.0
    """TCP and TLS together."""
    head_s: float = 60.0
    """From the last byte of the request to the head of the response."""
    idle_s: float = 60.0
    """Between two pieces of either body."""


class Steering(Struct, frozen=True):
    """What a request says itself of the target that it is for."""

    mark: str = ""
    """Which its client was given to come back to a target."""
    hash_key: str = ""
    """What consistent-hash goes by; empty for what it would go by anyway."""
    over_tls: bool = False
    """Whether it came so: what its client is told then stays on such connections."""


class OriginRequest(Struct, frozen=True):
    """What is sent. The transport adds the framing and nothing else."""

    method: str
    target: str
    """In origin form, raw."""
    fields: Fields
    """With `host`; without those of the connection (`connection`, `transfer-encoding`, `content-length`, ...)."""
    body: bytes | AsyncIterator[bytes] = b""
    body_length: int | None = 0
    """None: unknown, sent chunked. 0: there is none."""
    own: Fields = ()
    """More fields, that no other request says: its name, for example."""
    steering: Steering | None = None
    """Is not sent; None where the pool decides alone."""
    notes: Notes | None = None
    """Is not sent: of the client's request for whose sake it is sent; None where nobody takes any."""


Stage = Literal["connect", "send", "head", "body"]


class OriginFailed(BadGateway):
    """An origin did not answer, or not as HTTP says.

    stage: connect (nothing was sent: any request may be tried elsewhere), send, head (it may have acted on it), body (the
    response has begun, and breaks off). timed_out: whether that was for time: then the answer is 504.
    reused: whether it was a connection that had been idle and that the origin closed before it answered anything: then the same
    request may be sent again on a new one, if it is idempotent or was not sent whole.
    """

    stage: Stage = "head"
    timed_out: bool = False
    reused: bool = False


class OriginAnswer(Protocol):
    """A response whose head has come."""

    status: int
    fields: Fields
    """Names in lower case, values as latin-1, checked, in their order; framing and connection fields are still in it."""
    version: str
    """"1.0" or "1.1"."""
    whole: bytes | None
    """The body, where all of it had come with the head; else it is read."""
    length: int | None
    """As announced; None where it ends with the last chunk, or with the connection."""
    trailers: Fields
    """After the end of the body."""
    personal: Fields
    """What only the client is told that has asked for it, besides `fields`: it is neither stored nor given to others."""
    older_s: float
    """By how much it is older than its `age` says: a parent node says it to the millisecond."""

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end. Raises OriginFailed (stage body) where it breaks off."""
        ...

    def close(self) -> None:
        """Nothing more is wanted of it. After its end the connection is kept for another request; before, it is closed."""
        ...


class OriginTransport(Protocol):
    """Connections to origins, kept and used again."""

    async def send(
        self,
        endpoint: Endpoint,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None] | None = None,
        begun: OriginAnswer | None = None,
    ) -> OriginAnswer:
        """One request; returns with the head of the final response. inform: is given interim responses (1xx but 101). begun: what
        `begin` has returned for it: then it is not sent a second time, unless it has to be. Raises OriginFailed; what iterating
        over the body raises."""
        ...

    def begin(
        self,
        endpoint: Endpoint,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None],
        told: Callable[[], None],
    ) -> OriginAnswer | None:
        """Send a request at once, on a connection that is kept, with nobody who waits; None where there is none, or where not all of
        the request is at hand. told: called once, and not before this has returned. If the answer is whole then, that is all;
        whatever else has become of it is for `send` to say. Not called after the answer was closed."""
        ...

    async def switch(
        self, endpoint: Endpoint, request: OriginRequest, timeouts: OriginTimeouts
    ) -> tuple[OriginAnswer, Duplex | None]:
        """One request with `connection: upgrade` and `upgrade` among its fields; with the way on where the answer is 101.
        Raises OriginFailed."""
        ...
