"""One request of a function: looked at, looked up, sent, and its answer passed on.

    1. the URL and the fields               InvalidInput
    2. the name, by the app's rules         Forbidden
    3. its addresses; those that the rules  Forbidden; what the name server said
       let be connected to
    4. one of these after the other         what was said of the last one
       until a connection is there

What is connected to is the address that was looked at, never the name again: so a name that says something else a moment later
leads nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from littoral.core.egress import shown_url
from littoral.core.errors import BadGateway, LimitReached, LittoralError, TimedOut, TooLarge
from littoral.core.function_limits import (
    SUBREQUEST_BODY_BYTES,
    SUBREQUEST_CONNECT_MS,
    SUBREQUEST_IDLE_MS,
    SUBREQUESTS,
    SUBREQUESTS_AT_ONCE,
)
from littoral.core.gateway_limits import GATEWAY_TUNNEL_IDLE_S
from littoral.core.limits import Limits
from littoral.functions.egress_messages import PIECE_BYTES, Ask, Head
from littoral.functions.egress_rules import EgressRules
from littoral.gateway.exchange import Duplex
from littoral.gateway.origins.transport import (
    Endpoint,
    OriginAnswer,
    OriginFailed,
    OriginRequest,
    OriginTimeouts,
    OriginTransport,
)
from littoral.gateway.tunnel import tunnel
from littoral.node.egress_line import SWITCHED, EgressLine
from littoral.node.egress_meters import EgressMeter
from littoral.node.egress_target import Target, fields_of, location_of, read_target
from littoral.wire.caching.fields import OF_THE_CONNECTION

LookUp = Callable[[str], Awaitable[list[str]]]
"""The addresses of a name. Raises OSError, ValueError, TimeoutError."""


_Answer = TypeVar("_Answer")


class EgressCall:
    """See the module."""

    def __init__(
        self,
        line: EgressLine,
        ask: Ask,
        *,
        rules: EgressRules,
        transport: OriginTransport,
        look_up: LookUp,
        limits: Limits,
        meter: EgressMeter,
    ) -> None:
        self._line = line
        self._ask = ask
        self._rules = rules
        self._transport = transport
        self._look_up = look_up
        self._limits = limits
        self._meter = meter

    async def answer(self) -> None:
        """Do all of it. Raises LittoralError while nothing of an answer was passed on."""
        ask, limits = self._ask, self._limits
        if ask.waited:
            limits.hit(SUBREQUESTS_AT_ONCE)
        if ask.number > limits[SUBREQUESTS]:
            limits.hit(SUBREQUESTS)
            cause = f"it would be request {ask.number} for one request of a client; the limit subrequests is {limits[SUBREQUESTS]}"
            raise LimitReached("fetch", shown_url(ask.url), cause, "Ask less often, or for several things at once")
        target = read_target(ask.url, ask.base)
        fields = fields_of(ask, target)
        addresses = await self._addresses(target)
        if ask.web_socket:
            await self._switch(target, OriginRequest(ask.method, target.path, fields), addresses)
            return
        body = _Counted(self._line.body(), self._meter, limits) if ask.follows else ask.body
        self._meter.sent_bytes += len(ask.body)
        request = OriginRequest(ask.method, target.path, fields, body, ask.length if ask.follows else 0)
        answer = await self._first(
            target, addresses, lambda endpoint, timeouts: self._transport.send(endpoint, request, timeouts)
        )
        await self._pass_on(target, answer)

    async def _addresses(self, target: Target) -> list[str]:
        """Those that may be connected to. Raises Forbidden, BadGateway, TimedOut."""
        if self._rules.check_host(shown_url(target.href), target.host, target.port) is not None:
            found = [target.host]
        else:
            try:
                found = await self._look_up(target.host)
            except TimeoutError:
                raise TimedOut("fetch", shown_url(target.href), f"no name server answers for {target.host}") from None
            except (OSError, ValueError):
                cause = f"the host name {target.host} cannot be resolved"
                raise BadGateway(
                    "fetch", shown_url(target.href), cause, "Check the name, and the DNS of the node"
                ) from None
        return self._rules.admitted(shown_url(target.href), found, target.port)

    async def _first(
        self,
        target: Target,
        addresses: list[str],
        send: Callable[[Endpoint, OriginTimeouts], Awaitable[_Answer]],
    ) -> _Answer:
        """What the first address answers that can be connected to. Raises BadGateway, TimedOut, and what iterating over the body
        raises."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._limits[SUBREQUEST_CONNECT_MS] / 1000
        idle_s = self._limits[SUBREQUEST_IDLE_MS] / 1000
        for left in range(len(addresses), 0, -1):
            address = addresses[-left]
            name = "" if address == target.host else target.host
            endpoint = Endpoint(target.scheme, address, target.port, server_name=name)
            connect_s = max((until_s - loop.time()) / left, 0.001)
            try:
                return await send(endpoint, OriginTimeouts(connect_s, idle_s, idle_s))
            except OriginFailed as failure:
                if failure.stage == "connect" and left > 1:
                    continue
                raise _failed(target, address, failure) from failure
        raise AssertionError("there is an address")

    # The answer

    async def _pass_on(self, target: Target, answer: OriginAnswer) -> None:
        """Raises TooLarge where more is announced than is passed on."""
        try:
            most = self._limits[SUBREQUEST_BODY_BYTES]
            if self._ask.method != "HEAD" and (answer.length or 0) > most:
                self._limits.hit(SUBREQUEST_BODY_BYTES)
                cause = f"its answer has {answer.length} bytes; the limit subrequest-body-bytes is {most}"
                raise TooLarge("fetch", shown_url(target.href), cause, "Ask for parts of it, with the header Range")
            head = _head(target, answer)
            if answer.whole is not None and len(answer.whole) <= PIECE_BYTES:
                self._meter.received_bytes += len(answer.whole)
                self._line.say(msgspec.structs.replace(head, body=answer.whole))
                return
            self._line.say(msgspec.structs.replace(head, follows=True))
            await self._pass_body(target, answer, most)
        finally:
            answer.close()

    async def _pass_body(self, target: Target, answer: OriginAnswer, most: int) -> None:
        count = 0
        try:
            while data := await answer.read():
                count += len(data)
                self._meter.received_bytes += len(data)
                if count > most:
                    self._limits.hit(SUBREQUEST_BODY_BYTES)
                    self._line.fail(
                        f"cannot read {shown_url(target.href)}: it is larger than the limit subrequest-body-bytes, {most}"
                    )
                    return
                await self._line.write(data)
        except OriginFailed as failure:
            self._meter.failed += 1
            self._line.fail(f"cannot read {shown_url(target.href)}: {failure.cause}")
        except ConnectionError:
            # The worker wants no more of it.
            return
        else:
            self._line.finish()

    # Another protocol

    async def _switch(self, target: Target, request: OriginRequest, addresses: list[str]) -> None:
        async def send(endpoint: Endpoint, timeouts: OriginTimeouts) -> tuple[OriginAnswer, Duplex | None]:
            return await self._transport.switch(endpoint, request, timeouts)

        answer, way = await self._first(target, addresses, send)
        if way is None:
            await self._pass_on(target, answer)
            return
        head = _head(target, answer)
        self._line.say(msgspec.structs.replace(head, status=SWITCHED, follows=True))
        if await tunnel(self._line, way, self._limits[GATEWAY_TUNNEL_IDLE_S]):
            self._limits.hit(GATEWAY_TUNNEL_IDLE_S)


class _Counted:
    """A body on its way out, within its limit."""

    def __init__(self, pieces: AsyncIterator[bytes], meter: EgressMeter, limits: Limits) -> None:
        self._pieces = pieces
        self._meter = meter
        self._limits = limits
        self._count = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await anext(self._pieces)
        self._count += len(data)
        self._meter.sent_bytes += len(data)
        most = self._limits[SUBREQUEST_BODY_BYTES]
        if self._count > most:
            self._limits.hit(SUBREQUEST_BODY_BYTES)
            raise TooLarge("fetch", "with this body", f"it is larger than the limit subrequest-body-bytes, {most}")
        return data


def _head(target: Target, answer: OriginAnswer) -> Head:
    fields = [field for field in answer.fields if field[0] not in OF_THE_CONNECTION]
    location = next((value for name, value in fields if name == "location"), None)
    leads = location_of(location, target) if location is not None else ""
    return Head(answer.status, fields, target.href, leads)


def _failed(target: Target, address: str, failure: OriginFailed) -> LittoralError:
    """In the words of who asked."""
    where = "" if address == target.host else f" (at {address})"
    cause = f"{failure.cause}{where}"
    return (
        TimedOut("fetch", shown_url(target.href), cause)
        if failure.timed_out
        else BadGateway("fetch", shown_url(target.href), cause)
    )
