"""The time of the tree: a node whose clock is wrong goes by its parent's.

Node tokens, renewals and the timestamps of key-value writes compare clocks, and a site may have been alone for a month
with a clock that nothing corrects. So a parent says its time with each answer, also where it refuses, and a child adds the
difference to its own clock, once that is greater than what two clocks that are kept in step may differ by. The root goes
by its own clock.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import NamedTuple

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.http import AnyResponse, Handler, Request, Response
from littoral.core.transport import OpenStream, Transport
from littoral.node.seams import Seams
from littoral.wire.problem import problem_response

TIME_HEADER = "littoral-time"
"""The parent's wall clock, in milliseconds since the Unix epoch."""
TOLERATED_MS = 5_000
"""Clocks that differ by less are left alone: NTP keeps them much closer, and an answer may take that long."""
TIME_DIGITS_MOST = 15


class TreeClock:
    """A node's clock, corrected by what its parent says. Implements `littoral.core.clock.Clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_ms = 0
        """What is added to the node's own clock. Not kept over a restart: the clock may have been set meanwhile."""

    def wall_ms(self) -> int:
        """See Clock."""
        return self._clock.wall_ms() + self.offset_ms

    def monotonic_s(self) -> float:
        """See Clock."""
        return self._clock.monotonic_s()

    def now(self) -> "Moment":
        """For `heard`."""
        return Moment(self._clock.wall_ms(), self._clock.monotonic_s())

    def heard(self, parent_ms: int, asked: "Moment") -> None:
        """The parent's clock, in an answer that has just come to what was asked then."""
        now = self.now()
        took_ms = int((now.monotonic_s - asked.monotonic_s) * 1000)
        if abs(now.wall_ms - asked.wall_ms - took_ms) > TOLERATED_MS:
            return  # our clock was set meanwhile: the next answer will tell
        # It was said at some time in between: at any, for all that is known.
        least_ms, most_ms = parent_ms - now.wall_ms, parent_ms + took_ms - now.wall_ms
        if least_ms - TOLERATED_MS <= self.offset_ms <= most_ms + TOLERATED_MS:
            return
        middle_ms = (least_ms + most_ms) // 2
        self.offset_ms = 0 if abs(middle_ms) <= TOLERATED_MS else middle_ms


class Moment(NamedTuple):
    """By a node's own clock."""

    wall_ms: int
    monotonic_s: float


class TimedTransport:
    """A transport that listens to what time the parent says it is. Implements `littoral.core.transport.Transport`."""

    def __init__(self, transport: Transport, clock: TreeClock) -> None:
        self._transport = transport
        self._clock = clock

    async def request(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """See Transport."""
        asked = self._clock.now()
        response = await self._transport.request(base_url, request, timeout_s)
        for name, value in response.headers:
            if name.lower() == TIME_HEADER and value.isascii() and value.isdecimal() and len(value) <= TIME_DIGITS_MOST:
                self._clock.heard(int(value), asked)
        return response

    def stream(self, base_url: str, request: Request, idle_timeout_s: float) -> AbstractAsyncContextManager[OpenStream]:
        """See Transport."""
        return self._transport.stream(base_url, request, idle_timeout_s)


def in_tree_time(seams: Seams) -> Seams:
    """The outside of a child that goes by its parent's clock where its own is wrong."""
    clock = TreeClock(seams.clock)
    return replace(
        seams,
        clock=clock,
        joining=lambda ca: TimedTransport(seams.joining(ca), clock),
        peers=lambda identity: TimedTransport(seams.peers(identity), clock),
    )


def telling_time(handler: Handler, clock: Clock) -> Handler:
    """A handler whose answers, refusals included, say what time it is here."""

    async def handle(request: Request) -> AnyResponse:
        try:
            response = await handler(request)
        except LittoralError as error:
            response = problem_response(error)
        return replace(response, headers=(*response.headers, (TIME_HEADER, str(clock.wall_ms()))))

    return handle
