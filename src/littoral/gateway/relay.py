"""What the gateways of child nodes ask here before they ask an origin: answered as if their clients had asked, by the same
routes, from the same cache.

    of another route, or of none here    421: the child asks the origin
    behind in purges                     waits a moment until this gateway has heard of those that the child knows; then 503
    otherwise                            answered, with its age to the millisecond. While it waits, it says so: after 1, 2, 4, 8, ... seconds

A child is believed what it says of its client: scheme, host and address.
"""

import asyncio
from collections.abc import Awaitable, Callable

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, LittoralError, Misdirected, Unavailable
from littoral.core.gateway_limits import RELAY_WAIT_MS
from littoral.core.limits import Limits
from littoral.gateway.around import Around
from littoral.gateway.cache.purge import SCHEMES
from littoral.gateway.exchange import Answering, Exchange, Later, Serve
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.meters import RelayMeter
from littoral.gateway.origin_calls import CACHED
from littoral.gateway.routes import NoRoute
from littoral.gateway.target import read_target
from littoral.wire.problem import problem_response
from littoral.wire.relay import AGE, FIELDS, PROCESSING, RELAY, WORKING, PurgesKnown, RelayRequest, decode_request

FIRST_WORD_S = 1.0
"""After that a child is told that its request is being answered, and then each time after twice as long."""
FOR_CHILDREN = FIELDS | {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
"""What a child says of its client's request in fields."""
SAME_VERSION = "Run the same version of Littoral on both nodes"

Find = Callable[[str, str, str], str | NoRoute]
"""Method, host and path to what they lead to."""


class PurgesHeard:
    """Up to where this node's purges are done in this gateway."""

    def __init__(self) -> None:
        self._known = PurgesKnown()
        self._waiting: set[asyncio.Event] = set()

    def note(self, known: PurgesKnown) -> None:
        """They are done up to there."""
        self._known = known
        for each in self._waiting:
            each.set()

    def covers(self, asked: PurgesKnown) -> bool:
        """Whether all of these are done here."""
        return asked.next == 0 or (asked.log == self._known.log and asked.next <= self._known.next)

    async def wait(self, asked: PurgesKnown, most_s: float) -> bool:
        """Until they are, if that does not take too long, and is to be expected."""
        if asked.log != self._known.log:
            return False
        moved = asyncio.Event()
        self._waiting.add(moved)
        try:
            async with asyncio.timeout(most_s):
                while not self.covers(asked):
                    moved.clear()
                    await moved.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(moved)
        return True


class Relay:
    """Answers children. One per gateway process."""

    def __init__(
        self, serve: Serve, find: Find, heard: PurgesHeard, clock: Clock, limits: Limits, meter: RelayMeter
    ) -> None:
        """serve, find: the gateway's."""
        self._serve = serve
        self._find = find
        self._heard = heard
        self._clock = clock
        self.limits = limits
        self._meter = meter

    def serve(self, exchange: Exchange) -> Answering | None:
        """See `littoral.gateway.exchange.Serve`; of a child's gateway."""
        self._meter.requests += 1
        try:
            asked = self._read(exchange)
            relayed = RelayedExchange(exchange, self._clock)
        except LittoralError as error:
            self.refuse(exchange, error)
            return None
        if not self._heard.covers(asked.purges):
            return self._catch_up(relayed, asked)
        answer = self._serve(relayed)
        assert not isinstance(answer, Later), "a child is told meanwhile"
        return None if answer is None else _telling(relayed, answer)

    def refuse(self, exchange: Exchange, error: LittoralError) -> None:
        """Answer with an error of this gateway's own."""
        self._meter.refused += 1
        response = problem_response(error)
        exchange.respond(response.status, FieldBlock(response.headers), (), response.body)

    def _read(self, exchange: Exchange) -> RelayRequest:
        """Raises InvalidInput, Misdirected."""
        said = [value for name, value in exchange.fields if name == RELAY]
        asked = decode_request(said[0]) if len(said) == 1 else None
        if asked is None:
            cause = f"it has no {RELAY}, or one that cannot be read"
            raise InvalidInput("relay request", exchange.target[:120], cause, SAME_VERSION)
        found = self._find(exchange.method, exchange.host, read_target(exchange.target).path)
        if found != f"route/{asked.route}" or exchange.method not in CACHED or exchange.has_body:
            cause = f"it is not what this node answers by the route {asked.route}"
            raise Misdirected("relay request", exchange.target[:120], cause, "The child asks the origin instead")
        return asked

    async def _catch_up(self, relayed: "RelayedExchange", asked: RelayRequest) -> None:
        if not await self._heard.wait(asked.purges, self.limits[RELAY_WAIT_MS] / 1000):
            self.limits.hit(RELAY_WAIT_MS)
            cause = "this gateway has not heard of all purges that the child knows of"
            self.refuse(relayed, Unavailable("relay request", relayed.target[:120], cause, "The child asks the origin"))
            return
        answer = self._serve(relayed)
        assert not isinstance(answer, Later), "a child is told meanwhile"
        if answer is not None:
            await _telling(relayed, answer)


async def _telling(relayed: "RelayedExchange", answer: Awaitable[None]) -> None:
    """Wait for an answer, and tell the child so meanwhile."""
    word = _Word(relayed)
    try:
        await answer
    finally:
        word.cancel()


class _Word:
    """Tells a child that its request is being answered, less and less often."""

    def __init__(self, relayed: "RelayedExchange") -> None:
        self._relayed = relayed
        self._pause_s = FIRST_WORD_S
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._pause_s, self._tell)

    def _tell(self) -> None:
        if not self._relayed.begun:
            self._relayed.inform(PROCESSING, WORKING)
            self._timer = self._loop.call_later(self._pause_s, self._tell)
            self._pause_s *= 2

    def cancel(self) -> None:
        """It is answered."""
        self._timer.cancel()


class RelayedExchange(Around):
    """Implements `littoral.gateway.exchange.Exchange`: what a child asks in place of its client."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        """Raises InvalidInput where the child does not say of its client what it has to."""
        super().__init__(exchange)
        self._clock = clock
        said = {name: value for name, value in exchange.fields if name in FOR_CHILDREN}
        before, _, client = said.get("x-forwarded-for", "").rpartition(",")
        fields = [field for field in exchange.fields if field[0] not in FOR_CHILDREN]
        self.fields = [*fields, ("x-forwarded-for", before)] if before else fields
        self.client = client.strip()
        # What is spoken here is between the nodes.
        self.tls = ""
        self.scheme = said.get("x-forwarded-proto", "")
        self.begun = False
        """Whether anything of the answer was sent."""
        if self.scheme not in SCHEMES:
            cause = "it does not say by which scheme its client came"
            raise InvalidInput("relay request", self.target[:120], cause, SAME_VERSION)

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """See Exchange."""
        self.begun = True
        super().respond(status, block, self._with_age(extra), body)

    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """See Exchange."""
        self.begun = True
        await super().begin(status, block, self._with_age(extra))

    def _with_age(self, extra: Fields) -> Fields:
        """Not younger than it is. Nothing is said of what this gateway answers by itself."""
        if not self.made_s:
            return extra
        return [*extra, (AGE, str(max(0, self._clock.wall_ms() - int(self.made_s * 1000))))]
