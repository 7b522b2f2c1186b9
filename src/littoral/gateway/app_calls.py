"""Requests that an app answers: read whole, handed to one of its workers, and answered whole."""

from collections.abc import Awaitable, Callable
from typing import Self

from littoral.core.errors import BadGateway, TooLarge, Unavailable
from littoral.core.limits import FUNCTION_BODY_BYTES, GATEWAY_HELD_BYTES, Limits
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import FieldBlock
from littoral.gateway.forwarding import for_origin
from littoral.gateway.meters import Meters
from littoral.gateway.target import RequestTarget
from littoral.wire.caching.fields import OF_THE_CONNECTION
from littoral.wire.http_fields import flaw_of

HeaderList = list[tuple[str, str]]
FunctionCall = Callable[[str, str, str, HeaderList, bytes, str], Awaitable[tuple[int, HeaderList, bytes]]]
"""(app, method, url, headers, body, request id) -> (status, headers, body). Raises LittoralError."""

_NOT_FOR_CLIENTS = OF_THE_CONNECTION | {"content-length", "x-request-id"}


class AppCalls:
    """Implements `littoral.gateway.gateway.Handler` for one app."""

    def __init__(self, app: str, call: FunctionCall, limits: Limits, meters: Meters) -> None:
        """call: reaches the app's workers."""
        self._app = app
        self._call = call
        self._limits = limits
        self._meters = meters

    async def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int:
        """See Handler.serve. Raises TooLarge before it reads what is announced as such, else as soon as it is; and what the
        call raises."""
        url = f"{exchange.scheme}://{exchange.host or 'localhost'}{target}"
        headers = for_origin(
            exchange.method,
            exchange.fields,
            host=exchange.host,
            asked=exchange.host,
            scheme=exchange.scheme,
            version=exchange.version,
            client=exchange.client,
            request_id=request_id,
        )
        if exchange.has_body:
            with _Hold(self._meters, self._limits) as hold:
                body = await self._read(exchange, hold)
                headers.append(("content-length", str(len(body))))
                answer = await self._call(self._app, exchange.method, url, headers, body, request_id)
        else:
            answer = await self._call(self._app, exchange.method, url, headers, b"", request_id)
        status, fields, content = self._checked(answer, request_id)
        exchange.respond(status, FieldBlock(fields), (), content)
        return status

    async def _read(self, exchange: Exchange, hold: "_Hold") -> bytes:
        most = self._limits[FUNCTION_BODY_BYTES]
        if (exchange.body_length or 0) > most:
            raise self._too_large(most)
        pieces = []
        size = 0
        async for piece in exchange.body():
            size += len(piece)
            if size > most:
                raise self._too_large(most)
            hold.add(len(piece))
            pieces.append(piece)
        return b"".join(pieces)

    def _too_large(self, most: int) -> TooLarge:
        self._limits.hit(FUNCTION_BODY_BYTES)
        return TooLarge("read request", "body", f"it is larger than {most} bytes", "Send it in parts")

    def _checked(self, answer: tuple[int, HeaderList, bytes], request_id: str) -> tuple[int, HeaderList, bytes]:
        """The app's answer as it may go out. Raises BadGateway for what is no HTTP response."""
        status, headers, body = answer
        # A worker is not trusted to have checked: a line break in a value would let it write a response of its own.
        if flaw := flaw_of(status, headers):
            raise BadGateway("call app", self._app, f"its response is not valid HTTP: {flaw}", "Check what it returns")
        fields = [(lower, value) for name, value in headers if (lower := name.lower()) not in _NOT_FOR_CLIENTS]
        return status, [*fields, ("x-request-id", request_id)], body


class _Hold:
    """The memory one request body takes, against the bound of all of them together."""

    def __init__(self, meters: Meters, limits: Limits) -> None:
        self._meters = meters
        self._limits = limits
        self._bytes = 0

    def add(self, count: int) -> None:
        """Raises Unavailable at the bound."""
        if self._meters.held_bytes + count > self._limits[GATEWAY_HELD_BYTES]:
            self._limits.hit(GATEWAY_HELD_BYTES)
            raise Unavailable("read request", "body", "the gateway holds as many bodies as it can", "Try again later")
        self._meters.held_bytes += count
        self._bytes += count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._meters.held_bytes -= self._bytes
