"""Calls to the parent: signed, within the link's budget, and in pieces of the size that the link carries in time."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from littoral.core.clock import Clock
from littoral.core.errors import PeerUnreachable
from littoral.core.http import Request, Response
from littoral.core.limits import READ_BYTES, UPLINK_BATCH_BYTES, UPLINK_FRAMES, Limits
from littoral.core.transport import OpenStream, Transport
from littoral.streams.bandwidth import CONNECTION_BYTES, REQUEST_BYTES
from littoral.streams.link_budget import LinkBudget
from littoral.streams.pace import REQUEST_TIMEOUT_S, Pace
from littoral.wire.problem import error_of

Headers = Callable[[str, str], dict[str, str]]
"""Authentication headers for a request: (method, path) -> headers with a fresh node token."""


class ParentLink:
    """The way to one parent."""

    def __init__(
        self,
        transport: Transport,
        parent: str,
        url: str,
        headers: Headers,
        clock: Clock,
        limits: Limits,
        budget: LinkBudget | None = None,
    ) -> None:
        """parent: its name; url: "https://host:port" of its peer listener; budget: what the link may carry, if not all it
        can."""
        self.parent = parent
        self.url = url
        self.budget = budget
        self._transport = transport
        self.headers = headers
        self._clock = clock
        self.up = Pace(clock, limits[UPLINK_BATCH_BYTES], limits[UPLINK_FRAMES])
        self.down = Pace(clock, limits[READ_BYTES])

    def most(self, pace: Pace) -> int:
        """How much to ask of the link at once."""
        return pace.bytes if self.budget is None else self.budget.piece_bytes(pace.bytes)

    async def connect(self, requests: int = 0) -> None:
        """Wait until the budget has room for another connection, and as many requests on it. Raises as `call` does."""
        if self.budget is not None:
            await self.budget.enter(CONNECTION_BYTES + requests * REQUEST_BYTES, urgent=True)

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: dict[str, str] | None = None,
        pace: Pace | None = None,
        *,
        urgent: bool = True,
        expected_bytes: int = 0,
    ) -> Response:
        """One request, and its answer.

        pace: what is told how long it took, and how long to wait; without it, the way up is told where there was an answer.
        expected_bytes: of the answer; what it really was is settled with the budget afterwards.
        Raises: PeerUnreachable, BudgetSpent, Unavailable, or the error the parent answered.
        """
        if self.budget is not None:
            await self.budget.enter(REQUEST_BYTES + len(body) + expected_bytes, urgent=urgent)
        request = Request(method, path, query or {}, self.headers(method, path), body)
        timeout_s = pace.timeout_s if pace is not None else REQUEST_TIMEOUT_S
        measured = pace if pace is not None else self.up
        sent = measured.sent()
        try:
            response = await self._transport.request(self.url, request, timeout_s)
        except PeerUnreachable:
            if pace is not None:
                pace.failed()
            raise
        finally:
            measured.ended()
        if self.budget is not None:
            self.budget.carried(len(response.body) - expected_bytes)
        measured.answered(sent, len(body) + len(response.body))
        if response.status != 200:
            raise error_of(response.status, response.body, "call", f"{self.url}{path}", response.headers)
        return response

    def stream(self, path: str, silence_s: float) -> AbstractAsyncContextManager[OpenStream]:
        """A response without an end, which is dead when it is silent for so long. What it carries is counted by the
        caller."""
        return self._transport.stream(self.url, Request("GET", path, headers=self.headers("GET", path)), silence_s)
