"""Requests that an origin answers, or a cache in its place."""

from collections.abc import Awaitable
from typing import Protocol

import msgspec

from littoral.gateway.cache.cache import Inform, RouteCache
from littoral.gateway.exchange import Duplex, Exchange
from littoral.gateway.forwarding import for_client, for_origin
from littoral.gateway.origins.caller import Answered
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest
from littoral.gateway.passing import pass_on
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

    async def switch(
        self, request: OriginRequest, *, hash_key: str = "", affinity: str = ""
    ) -> tuple[Answered, Duplex | None]:
        """Ask one of them to go on with another protocol. Raises OriginFailed, Unavailable."""
        ...


class OriginSender:
    """Implements `littoral.gateway.cache.cache.Sender` for one route."""

    def __init__(self, caller: Caller, host: str, strip_prefix: str) -> None:
        """host: what the origin is sent as such; empty for what the client asked."""
        self._caller = caller
        self._host = host
        self._strip_prefix = strip_prefix

    def request(self, exchange: Exchange, target: RequestTarget, request_id: str) -> OriginRequest:
        """See Sender.request."""
        fields = for_origin(
            exchange.method,
            exchange.fields,
            host=self._host or exchange.host,
            asked=exchange.host,
            scheme=exchange.scheme,
            version=exchange.version,
            client=exchange.client,
            request_id=request_id,
        )
        sent = stripped(str(target), self._strip_prefix)
        if not exchange.has_body:
            return OriginRequest(exchange.method, sent, fields)
        return OriginRequest(exchange.method, sent, fields, exchange.body(), exchange.body_length)

    async def send(self, request: OriginRequest, key: str, inform: Inform | None) -> OriginAnswer:
        """See Sender.send."""
        return (await self._caller.call(request, hash_key=key, inform=inform)).answer

    async def switch(self, request: OriginRequest) -> tuple[OriginAnswer, Duplex | None]:
        """Ask for another protocol. Raises OriginFailed, Unavailable."""
        answered, way = await self._caller.switch(request)
        return answered.answer, way


def stripped(target: str, prefix: str) -> str:
    """A target without the prefix that a route takes off it: what an origin is sent."""
    rest = target.removeprefix(prefix.rstrip("/"))
    return rest if rest.startswith("/") else f"/{rest}"


class OriginCalls:
    """Implements `littoral.gateway.gateway.Handler` for one route."""

    def __init__(self, sender: OriginSender, cache: RouteCache | None) -> None:
        self._sender = sender
        self._cache = cache

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Awaitable[int]:
        """See Handler.serve."""
        if (protocol := wanted_protocol(exchange)) is not None:
            return self._switch(exchange, target, request_id, protocol)
        if self._cache is not None and exchange.method in CACHED and not exchange.has_body:
            return self._cache.serve(exchange, target, request_id)
        return self._pass(exchange, target, request_id)

    async def _switch(self, exchange: Exchange, target: RequestTarget, request_id: str, protocol: str) -> int:
        """Let client and origin go on with another protocol, if the origin will."""
        request = self._sender.request(exchange, target, request_id)
        fields = [*request.fields, ("connection", "upgrade"), ("upgrade", protocol)]
        answer, way = await self._sender.switch(msgspec.structs.replace(request, fields=fields))
        answered = for_client(answer.fields, answer.version)
        if way is None:
            await pass_on(exchange, answer, answered, ())
            return answer.status
        chosen = next((value for name, value in answer.fields if name == "upgrade"), protocol)
        fields = [*answered, ("connection", "upgrade"), ("upgrade", chosen)]
        await tunnel(exchange.switch(answer.status, fields), way)
        return answer.status

    async def _pass(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int:
        request = self._sender.request(exchange, target, request_id)
        since = self._cache.since if self._cache is not None else 0
        answer = await self._sender.send(request, "", exchange.inform)
        fields = for_client(answer.fields, answer.version)
        if self._cache is not None:
            fields = self._cache.note(exchange, target, answer, fields, since)
        await pass_on(exchange, answer, fields, ())
        return answer.status
