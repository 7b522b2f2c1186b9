"""`fetch`: requests that a function makes itself (Fetch Standard, section 4, as far as it concerns servers)."""

import os
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from hashlib import sha1
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from littoral.core.egress import shown_url
from littoral.workers import platform
from littoral.workers.abort import AbortSignal
from littoral.workers.abortable import unless_aborted
from littoral.workers.body import USED, BodyInit, BodyUsedError
from littoral.workers.decoding import accepted, decoded, decodes
from littoral.workers.failures import FetchError
from littoral.workers.headers import Headers, HeadersInit
from littoral.workers.outgoing import Incoming, Outgoing, Way
from littoral.workers.request import Request
from littoral.workers.response import WITHOUT_BODY, Response
from littoral.workers.streams import ReadableStream

if TYPE_CHECKING:
    from littoral.workers.web_socket import WebSocket

REDIRECTS = 20
"""Followed one after the other; Fetch Standard, section 4.4."""
_REDIRECT = frozenset({301, 302, 303, 307, 308})
_OF_BODIES = frozenset(
    {"content-encoding", "content-language", "content-length", "content-location", "content-type", "transfer-encoding"}
)
_OF_HANDSHAKES = frozenset({"sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "upgrade"})
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""
_OF_ORIGINS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""What one server is told is not for another one to know."""

R = TypeVar("R", bound=Response)


async def fetch(
    resource: str | Request,
    *,
    method: str | HTTPMethod | None = None,
    headers: HeadersInit = None,
    body: BodyInit = None,
    redirect: str | None = None,
    cf: Any = None,
    signal: AbortSignal | None = None,
    **others: object,
) -> Response:
    """The answer to a request. resource: an absolute URL, or a request; the rest is as in Request. signal: gives it up. What
    only browsers and caches use of `others` is ignored.

    Raises FetchError, which is a TypeError and a JsException, where nobody answers or the request may not be made; AbortError.
    """
    given = {"method": method, "headers": headers, "body": body, "redirect": redirect, "cf": cf}
    return await send(request_of(resource, given), Response, signal)


def request_of(resource: object, given: Mapping[str, Any]) -> Request:
    """What is asked. resource: a URL, or a request to take everything from that is not given; its body is taken, and not
    copied, so that nobody has to hold it for somebody who does not read it. Raises as Request."""
    if not isinstance(resource, Request):
        return Request(str(resource), **given)
    if given.get("body") is not None:
        return Request(resource, **given)
    like = {"method": resource.method, "headers": resource.headers, "redirect": resource.redirect}
    request = Request(resource.url, **{**like, **{name: value for name, value in given.items() if value is not None}})
    if (body := _taken(resource)) and request.method in ("GET", "HEAD"):
        raise TypeError(f"a request with method {request.method} cannot have a body")
    request._body = body
    request._signal = getattr(resource, "_signal", None)
    return request


async def send(request: Request, kind: type[R], signal: AbortSignal | None = None) -> R:
    """The answer to a request, after its redirects. kind: what it is given as. Raises as `fetch`."""
    outgoing = _first(request)
    signal = signal or getattr(request, "_signal", None)
    for _ in range(REDIRECTS + 1):
        incoming = await unless_aborted(signal, platform.subrequest(outgoing))
        if incoming.status not in _REDIRECT or request.redirect == "manual" or not _leads_on(incoming):
            return _response(incoming, outgoing, kind, signal)
        await incoming.close()
        if request.redirect == "error":
            raise FetchError(
                f"cannot fetch {shown_url(incoming.url)}: it redirects to {shown_url(incoming.location)}, and redirect is error"
            )
        outgoing = _next(outgoing, incoming)
    raise FetchError(f"cannot fetch {shown_url(request.url)}: it redirects more than {REDIRECTS} times")


def _first(request: Request) -> Outgoing:
    if request.redirect not in ("follow", "manual", "error"):
        raise TypeError(f"redirect is follow, manual or error; not {request.redirect!r}")
    fields = request.headers.items()
    if "range" not in request.headers and "accept-encoding" not in request.headers:
        fields.append(("accept-encoding", accepted()))
    key = ""
    if (request.headers.get("upgrade") or "").lower() == "websocket":
        key = b64encode(os.urandom(16)).decode()  # noqa: TID251 - a function has no seed
        # Those of a client's handshake, which may have been passed on, are not of this one.
        fields = [field for field in fields if field[0] not in _OF_HANDSHAKES]
        fields += [("sec-websocket-key", key), ("sec-websocket-version", "13")]
    return Outgoing(request.url, request.method, fields, _taken(request), web_socket_key=key)


def _taken(request: Request) -> bytes | ReadableStream | None:
    """Its body, which is read by that. Raises BodyUsedError."""
    body = request._body
    if isinstance(body, ReadableStream):
        if body.disturbed or body.locked:
            raise BodyUsedError
        return body
    if body is None or isinstance(body, bytes):
        request._body = USED if body else body
        return body
    raise BodyUsedError


def _leads_on(incoming: Incoming) -> bool:
    """Raises FetchError for a redirect to what is no URL."""
    if incoming.location:
        return True
    for name, value in incoming.headers:
        if name == "location":
            raise FetchError(
                f"cannot fetch {shown_url(incoming.url)}: it redirects to {shown_url(value)!r}, which is no URL"
            )
    return False


def _next(outgoing: Outgoing, incoming: Incoming) -> Outgoing:
    """HTTP-redirect fetch (section 4.4). Raises FetchError."""
    status, method, body, fields = incoming.status, outgoing.method, outgoing.body, outgoing.headers
    if status != HTTPStatus.SEE_OTHER and isinstance(body, ReadableStream):
        raise FetchError(
            f"cannot fetch {shown_url(incoming.url)}: it redirects, and a body that is a stream cannot be sent again"
        )
    if (status in (301, 302) and method == "POST") or (status == 303 and method not in ("GET", "HEAD")):
        method, body = "GET", None
        fields = [field for field in fields if field[0] not in _OF_BODIES]
    if _origin(incoming.location) != _origin(incoming.url):
        fields = [field for field in fields if field[0] not in _OF_ORIGINS]
    return Outgoing(incoming.location, method, fields, body, incoming.url, outgoing.web_socket_key)


def _origin(url: str) -> tuple[str, str]:
    """Of a URL in canonical form, in which a port that goes without saying is not said."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]


def _response(incoming: Incoming, outgoing: Outgoing, kind: type[R], signal: AbortSignal | None) -> R:
    response = kind(None)
    response.status = incoming.status
    response.status_text = _phrase(incoming.status)
    response.headers = type(response.headers).received(incoming.headers)
    response.url = incoming.url
    response.was_redirected = bool(outgoing.base)
    if incoming.way is not None:
        response._web_socket = _web_socket(incoming, incoming.way, outgoing.web_socket_key)
        # It was for this handshake: a client that is given the WebSocket has another.
        response.headers.delete("sec-websocket-accept")
        return response
    body = incoming.body
    if incoming.status in WITHOUT_BODY or outgoing.method == "HEAD":
        return response
    coding = response.headers.get("content-encoding") or ""
    if not decodes(coding):
        response._body = body if isinstance(body, bytes) else ReadableStream(_abortable(body, signal))
        return response
    # What they say is not true any more of the body that is read.
    response.headers.delete("content-encoding")
    response.headers.delete("content-length")
    pieces = decoded(_of(body) if isinstance(body, bytes) else _abortable(body, signal), coding)
    response._body = ReadableStream(pieces)
    return response


def _web_socket(incoming: Incoming, way: Way, key: str) -> "WebSocket":
    """The function's end of what the server has switched to. Raises FetchError where that is no WebSocket."""
    # Loaded by functions that use it only.
    from littoral.workers.web_socket import WebSocketPair  # noqa: PLC0415

    said = Headers.received(incoming.headers)
    if said.get("sec-websocket-accept") != b64encode(sha1(f"{key}{_GUID}".encode()).digest()).decode():  # noqa: S324
        way.close()
        raise FetchError(
            f"cannot fetch {shown_url(incoming.url)}: what it answers to the handshake of a WebSocket is none"
        )
    mine, others = WebSocketPair()
    mine.protocol = said.get("sec-websocket-protocol") or ""
    mine.url = incoming.url
    platform.carry(others, way)
    return mine


async def _of(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _abortable(pieces: AsyncIterator[bytes], signal: AbortSignal | None) -> AsyncIterator[bytes]:
    return pieces if signal is None else _unless(pieces, signal)


async def _unless(pieces: AsyncIterator[bytes], signal: AbortSignal) -> AsyncIterator[bytes]:
    async def following() -> bytes:
        return await anext(pieces, b"")

    while piece := await unless_aborted(signal, following()):
        yield piece


def _phrase(status: int) -> str:
    """HTTP/2 has none, and nobody is to go by what HTTP/1.1 says."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
