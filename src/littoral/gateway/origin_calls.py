"""Requests that an origin answers, or a cache in its place."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from littoral.core.gateway_limits import GATEWAY_TUNNEL_IDLE_S
from littoral.core.limits import Limits
from littoral.gateway.cache.cache import RouteCache
from littoral.gateway.cache.sender import Inform, Sent
from littoral.gateway.exchange import Duplex, Exchange, Later
from littoral.gateway.field_block import Fields
from littoral.gateway.forwarding import SHARED, for_client, own_fields, passed_on
from littoral.gateway.origin_later import OriginLater, may_be_later
from littoral.gateway.origins.caller import Answered
from littoral.gateway.origins.steers import Steers
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest
from littoral.gateway.passing import pass_on, pass_whole
from littoral.gateway.routes import authority
from littoral.gateway.target import RequestTarget
from littoral.gateway.tunnel import tunnel, wanted_protocol

CACHED = frozenset({"GET", "HEAD"})


class Caller(Protocol):
    """Reaches the targets of an origin (`littoral.gateway.origins.caller`)."""

    async def call(
        self, request: OriginRequest, *, hash_key: str = "", affinity: str = "", inform: Inform | None = None
    ) -> Answered:
        """Ask one of them. Raises OriginFailed, Unavailable."""
        ...

    def begin(self, request: OriginRequest, told: Callable[[], None], *, hash_key: str, inform: Inform) -> Sent:
        """Ask one of them at once, if that can be done (`PromptSender.begin`)."""
        ...

    async def switch(
        self, request: OriginRequest, *, hash_key: str = "", affinity: str = ""
    ) -> tuple[Answered, Duplex | None]:
        """Ask one of them to go on with another protocol. Raises OriginFailed, Unavailable."""
        ...


class OriginSender:
    """Implements `littoral.gateway.cache.sender.PromptSender` for one route."""

    def __init__(self, caller: Caller, host: str, strip_prefix: str, steers: Steers | None = None) -> None:
        """host: what the origin is sent as such; empty for what the client asked. steers: None where requests do not say which
        target they are for."""
        self._caller = caller
        self._host = host
        self._strip_prefix = strip_prefix
        self._steers = steers

    def request(self, exchange: Exchange, target: RequestTarget, request_id: str) -> OriginRequest:
        """See Sender.request."""
        asked = authority(exchange.scheme, exchange.host)
        passed = passed_on(
            (
                exchange.method in SHARED,
                tuple(exchange.fields),
                self._host or asked,
                asked,
                exchange.scheme,
                exchange.version,
                exchange.client,
            )
        )
        fields, own = passed.fields, own_fields(passed, request_id)
        sent = target.path if not target.query else str(target)
        if self._strip_prefix or sent[0] != "/":
            sent = stripped(sent, self._strip_prefix)
        if exchange.has_body:
            body, length = exchange.body(), exchange.body_length
            request = OriginRequest(exchange.method, sent, fields, body, length, own=own, notes=exchange.notes)
        else:
            request = OriginRequest(exchange.method, sent, fields, own=own, notes=exchange.notes)
        return request if self._steers is None else self._steers.steered(request, exchange)

    async def send(self, request: OriginRequest, key: str, inform: Inform | None) -> OriginAnswer:
        """See Sender.send."""
        steering = request.steering
        if steering is None or self._steers is None:
            return (await self._caller.call(request, hash_key=key, inform=inform)).answer
        hash_key = steering.hash_key or key
        answered = await self._caller.call(request, hash_key=hash_key, affinity=steering.mark, inform=inform)
        answered.answer.personal = self._steers.told(steering, answered.mark)
        return answered.answer

    def begin(self, request: OriginRequest, key: str, inform: Inform, told: Callable[[], None]) -> Sent | None:
        """See PromptSender.begin."""
        return self._caller.begin(request, told, hash_key=key, inform=inform) if request.steering is None else None

    def changed(self, url: str) -> None:
        """See Sender.changed: no other cache is asked."""

    async def switch(self, request: OriginRequest, key: str) -> tuple[OriginAnswer, Duplex | None]:
        """Ask for another protocol. key: as for `send`. Raises OriginFailed, Unavailable."""
        steering = request.steering
        if steering is None or self._steers is None:
            answered, way = await self._caller.switch(request, hash_key=key)
        else:
            answered, way = await self._caller.switch(
                request, hash_key=steering.hash_key or key, affinity=steering.mark
            )
            answered.answer.personal = self._steers.told(steering, answered.mark)
        return answered.answer, way


def stripped(target: str, prefix: str) -> str:
    """A target without the prefix that a route takes off it: what an origin is sent."""
    rest = target.removeprefix(prefix.rstrip("/"))
    return rest if rest.startswith("/") else f"/{rest}"


class OriginCalls:
    """Implements `littoral.gateway.gateway.Handler` for one route."""

    def __init__(self, sender: OriginSender, cache: RouteCache | None, limits: Limits) -> None:
        self._sender = sender
        self._cache = cache
        self._limits = limits

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Later | Awaitable[int]:
        """See Handler.serve."""
        if (protocol := wanted_protocol(exchange)) is not None:
            return self._switch(exchange, target, request_id, protocol)
        if self._cache is not None and exchange.method in CACHED and not exchange.has_body:
            return self._cache.serve(exchange, target, request_id)
        request = self._sender.request(exchange, target, request_id)
        if may_be_later(exchange):
            asked = _Asked(self, exchange, target, request_id).ask(self._sender, request, _url(exchange, target))
            if asked is not None:
                return asked
        return self._pass(exchange, target, request, self.since)

    async def _switch(self, exchange: Exchange, target: RequestTarget, request_id: str, protocol: str) -> int:
        """Let client and origin go on with another protocol, if the origin will."""
        request = self._sender.request(exchange, target, request_id)
        fields = [*request.fields, ("connection", "upgrade"), ("upgrade", protocol)]
        answer, way = await self._sender.switch(msgspec.structs.replace(request, fields=fields), _url(exchange, target))
        answered = for_client(answer.fields, answer.version)
        if way is None:
            await pass_on(exchange, answer, answered, ())
            return answer.status
        chosen = next((value for name, value in answer.fields if name == "upgrade"), protocol)
        fields = [*answered, *answer.personal, ("connection", "upgrade"), ("upgrade", chosen)]
        if await tunnel(exchange.switch(answer.status, fields), way, self._limits[GATEWAY_TUNNEL_IDLE_S]):
            self._limits.hit(GATEWAY_TUNNEL_IDLE_S)
        return answer.status

    async def _pass(self, exchange: Exchange, target: RequestTarget, request: OriginRequest, since: int) -> int:
        answer = await self._sender.send(request, _url(exchange, target), exchange.inform)
        await pass_on(exchange, answer, self.noted(exchange, target, answer, since), ())
        return answer.status

    async def pass_rest(self, exchange: Exchange, target: RequestTarget, sent: Sent, since: int) -> int:
        """Go on with a request that was begun when it came."""
        answer = await sent.rest()
        await pass_on(exchange, answer, self.noted(exchange, target, answer, since), ())
        return answer.status

    @property
    def since(self) -> int:
        """For `noted`: before the origin is asked."""
        return self._cache.since if self._cache is not None else 0

    def noted(self, exchange: Exchange, target: RequestTarget, answer: OriginAnswer, since: int) -> Fields:
        """What the client is sent of an answer's fields; the cache hears of it."""
        fields = for_client(answer.fields, answer.version)
        return fields if self._cache is None else self._cache.note(exchange, target, answer, fields, since)


class _Asked(OriginLater):
    """A request that is none of the cache's."""

    __slots__ = ("_calls", "_since", "_target")

    def __init__(self, calls: OriginCalls, exchange: Exchange, target: RequestTarget, request_id: str) -> None:
        super().__init__(exchange, request_id)
        self._calls = calls
        self._target = target
        self._since = calls.since

    def _give(self, answer: OriginAnswer) -> int:
        exchange = self.exchange
        pass_whole(exchange, answer, self._calls.noted(exchange, self._target, answer, self._since), ())
        return answer.status

    def _go_on(self, sent: Sent) -> Awaitable[int]:
        return self._calls.pass_rest(self.exchange, self._target, sent, self._since)


def _url(exchange: Exchange, target: RequestTarget) -> str:
    """What a consistent hash goes by where there is no cache key."""
    return f"{exchange.host}{target}"
