"""The way to the gateways of the parent node: whether it is open, and one request on it.

A parent that cannot be reached, or that says nothing for too long, is left alone for a while (`origins.breaker`): the origin is
there to be asked, and nobody is to wait for what does not come.
"""

import asyncio
from typing import Literal

from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.gateway_limits import RELAY_CONNECT_MS, RELAY_QUIET_MS, RELAY_REQUESTS
from littoral.core.limits import Limits
from littoral.gateway.cache.sender import Inform
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.breaker import Breaker
from littoral.gateway.origins.settings import Breaking
from littoral.gateway.origins.transport import (
    Endpoint,
    OriginAnswer,
    OriginFailed,
    OriginRequest,
    OriginTimeouts,
    OriginTransport,
)
from littoral.gateway.origins.under_way import CountedAnswer
from littoral.wire.relay import PROCESSING, WORKING

BREAKING = Breaking(failures_in_a_row=2, open_s=1.0, open_most_s=10.0)
"""Each try while it is gone costs one client the wait for a connection; and once it is back, it should be used soon."""
ANSWER_S = 600.0
"""For the head of an answer, in all: the parent says meanwhile that it is at it."""

Reason = Literal["unreachable", "busy", "misdirected", "failed", "purged", "untold"]
"""Why the origin was asked in place of the parent, or after it: it cannot be reached, or does not answer; too many requests are
under way there; it does not answer by that route; it could not answer; what it has was purged here; it is not known yet what was
purged here."""


class ShieldParent(Struct, frozen=True):
    """Where it is, and its name."""

    node: str
    endpoint: Endpoint


class ParentWay:
    """That of one gateway process."""

    def __init__(self, parent: ShieldParent, transport: OriginTransport, clock: Clock, limits: Limits) -> None:
        self.parent = parent
        self._transport = transport
        self._clock = clock
        self.limits = limits
        self._breaker = Breaker(BREAKING)
        self._most = limits[RELAY_REQUESTS]
        self._connect_s = limits[RELAY_CONNECT_MS] / 1000
        self._quiet_s = limits[RELAY_QUIET_MS] / 1000
        self._timeouts = OriginTimeouts(connect_s=self._connect_s, head_s=ANSWER_S)
        self.inflight = 0

    async def ask(self, request: OriginRequest, inform: Inform | None) -> OriginAnswer | Reason:
        """One request; why not, where there is no answer."""
        if not self._breaker.allows(self._clock.monotonic_s()):
            return "unreachable"
        if self.inflight >= self._most:
            self.limits.hit(RELAY_REQUESTS)
            return "busy"
        self._breaker.begin()
        self.inflight += 1
        try:
            answer = await self._send(request, inform)
        except (OriginFailed, TimeoutError):
            self._ended(failed=True)
            return "unreachable"
        except BaseException:
            self._breaker.given_up()
            self.inflight -= 1
            raise
        self._breaker.succeeded()
        if answer.whole is None:
            return CountedAnswer(answer, lambda failed: self._ended(failed=failed))
        self._ended(failed=False)
        return answer

    async def _send(self, request: OriginRequest, inform: Inform | None) -> OriginAnswer:
        """Raises OriginFailed, and TimeoutError where the parent is quiet for too long. One that is at it says so, and not again
        before it has been at it for twice as long."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        first_s = began_s + self._connect_s + self._quiet_s
        async with asyncio.timeout_at(first_s) as patience:

            def heard(status: int, fields: Fields) -> None:
                now_s = loop.time()
                if not patience.expired():
                    patience.reschedule(max(first_s, now_s + (now_s - began_s) + self._quiet_s))
                if inform is not None and not (status == PROCESSING and tuple(fields) == WORKING):
                    inform(status, fields)

            return await self._transport.send(self.parent.endpoint, request, self._timeouts, heard)

    def _ended(self, *, failed: bool) -> None:
        self.inflight -= 1
        if failed:
            self._breaker.failed(self._clock.monotonic_s())
