"""Origin shield: what is not stored here is asked of the parent node first, and of the origin where that does not answer.

    the parent answers by the same route     its answer is the answer, also where it says that the origin fails
    ... but from before a purge of ours      the origin is asked
    it has no such route (421)               the origin is asked, and the parent not for a while
    it fails, is busy, or is gone            the origin is asked

A tree has no circles; who would make one is stopped by CDN-Loop (`forwarding`).
"""

from collections.abc import Awaitable, Callable

from littoral.core.clock import Clock
from littoral.gateway.cache.purge import tags_of
from littoral.gateway.cache.sender import Inform, PromptSender, Sent
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import Fields
from littoral.gateway.meters import ShieldMeter
from littoral.gateway.notes import PARENT, step
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest
from littoral.gateway.proxy_status import has_reached_origin
from littoral.gateway.shield_parent import ParentWay, Reason
from littoral.gateway.shield_purges import ShieldPurges
from littoral.gateway.target import RequestTarget
from littoral.wire.caching.freshness import age_value
from littoral.wire.relay import AGE, RELAY, PurgesKnown, RelayRequest, decode_age_s, encode_request

MISDIRECTED = 421
MISDIRECTED_S = 10.0
"""For so long a parent that does not answer by a route is not asked for it again: documents come to it first."""


class ShieldRequest(OriginRequest, frozen=True, kw_only=True):
    """A request to the origin, and what of it is another one to the parent."""

    asked_host: str
    asked_target: str
    """As the client asked."""


class Shield:
    """What is known of the parent in one gateway process. Without a way there is none, or it has no relay."""

    def __init__(self, purges: ShieldPurges) -> None:
        self.purges = purges
        self.way: ParentWay | None = None


class ShieldedSender:
    """Implements `littoral.gateway.cache.sender.PromptSender` for one route."""

    def __init__(self, route: str, direct: PromptSender, shield: Shield, clock: Clock, meter: ShieldMeter) -> None:
        """route: its name. direct: asks the origin."""
        self._route = route
        self._direct = direct
        self._shield = shield
        self._clock = clock
        self._meter = meter
        self._not_before_s = 0.0

    def request(self, exchange: Exchange, target: RequestTarget, request_id: str) -> OriginRequest:
        """See Sender.request."""
        request = self._direct.request(exchange, target, request_id)
        if self._shield.way is None:
            return request
        said = {name: getattr(request, name) for name in request.__struct_fields__}
        return ShieldRequest(**said, asked_host=exchange.host, asked_target=str(target))

    def send(self, request: OriginRequest, key: str, inform: Inform | None) -> Awaitable[OriginAnswer]:
        """See Sender.send."""
        way = self._shield.way
        if way is not None and isinstance(request, ShieldRequest) and request.asked_host:
            return self._send(way, request, key, inform)
        return self._direct.send(request, key, inform)

    def begin(self, request: OriginRequest, key: str, inform: Inform, told: Callable[[], None]) -> Sent | None:
        """See PromptSender.begin: where there is no parent to be asked before."""
        return self._direct.begin(request, key, inform, told) if self._shield.way is None else None

    async def _send(self, way: ParentWay, request: ShieldRequest, key: str, inform: Inform | None) -> OriginAnswer:
        answer = await self._ask(way, request, key, inform)
        if not isinstance(answer, str):
            self._meter.answered += 1
            return answer
        self._meter.gone_on[answer] = self._meter.gone_on.get(answer, 0) + 1
        return await self._direct.send(request, key, inform)

    def changed(self, url: str) -> None:
        """See Sender.changed."""
        self._shield.purges.change(url)

    async def _ask(
        self, way: ParentWay, request: ShieldRequest, key: str, inform: Inform | None
    ) -> OriginAnswer | Reason:
        known, asked_s = self._shield.purges.known, self._clock.monotonic_s()
        if known is None:
            return "untold"
        if asked_s < self._not_before_s:
            return "misdirected"
        with step(request.notes, PARENT, way.parent.node) as noted:
            answer = await way.ask(self._to_parent(request, known), inform)
            if isinstance(answer, str):
                return answer
            noted.answered(answer.status, answer.fields)
        reason, age_s = self._judge(answer, key, asked_s)
        if reason is not None:
            answer.close()
            return reason
        answer.older_s = max(0.0, age_s - _said_age_s(answer.fields))
        return answer

    def _judge(self, answer: OriginAnswer, key: str, asked_s: float) -> tuple[Reason | None, float]:
        """Why an answer is not taken, if it is not; and how old it is."""
        age_s = next((decode_age_s(value) for name, value in answer.fields if name == AGE), None)
        if age_s is None:
            # The parent itself has answered, and not by the route.
            if answer.status == MISDIRECTED:
                self._not_before_s = asked_s + MISDIRECTED_S
                return "misdirected", 0.0
            return (None if has_reached_origin(answer.fields) else "failed"), 0.0
        # Not younger than it seems: it was on its way since, too.
        if self._shield.purges.hits(key, tags_of(answer.fields), asked_s - age_s):
            return "purged", 0.0
        return None, age_s

    def _to_parent(self, request: ShieldRequest, known: PurgesKnown) -> OriginRequest:
        fields: Fields = [
            *(("host", request.asked_host) if field[0] == "host" else field for field in request.fields),
            (RELAY, encode_request(RelayRequest(self._route, known))),
        ]
        return OriginRequest(request.method, request.asked_target, fields, own=request.own, notes=request.notes)


def _said_age_s(fields: Fields) -> float:
    return age_value(next((value for name, value in fields if name == "age"), None))
