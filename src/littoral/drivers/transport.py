"""Calls to other nodes over HTTPS with client certificates, through pyreqwest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.request import RequestBuilder, StreamRequest
from pyreqwest.response import Response as ResponseHead
from pyreqwest.response import ResponseBodyReader

from littoral.core.errors import PeerUnreachable, StartupError
from littoral.core.http import Headers, Request, Response
from littoral.core.limit import Limit
from littoral.core.limits import PEER_ANSWER_BYTES, Limits
from littoral.core.transport import OpenStream

CONNECT_TIMEOUT_S = 5.0
"""TCP and TLS together. Long enough for two lost packets of a satellite link, short enough to try again soon."""
IDLE_CONNECTIONS = 4
"""Connections per peer that are kept open between requests."""

IDLE_CONNECTION_S = 60.0
"""For so long: less than a node keeps one on which nothing is asked (api-idle-seconds), so that no request meets its end."""
READ_AHEAD_BYTES = 64 * 1024
"""Of an answer, read from the connection before it is asked for."""

T = TypeVar("T")

_CAUSES = (
    ("UnknownIssuer", "its certificate is signed by another CA", "Join the tree again with a new token of this parent"),
    ("certificate expired", "its certificate has expired", "Check the clocks of both nodes; the peer must renew"),
    ("not valid yet", "its certificate is not valid yet", "Check the clocks of both nodes"),
    (
        "not valid for name",
        "its certificate does not name this address",
        "Add the address to the peer's advertised names",
    ),
    ("invalid peer certificate", "its certificate is not trusted", ""),
    ("alert: CertificateRequired", "it demands a client certificate, and this node has none", "Enrol this node"),
    ("alert: UnknownCA", "it says this node's certificate is signed by another CA", "Enrol this node again"),
    ("alert: CertificateExpired", "it says this node's certificate has expired", "Renew it"),
    ("alert: CertificateRevoked", "it says this node's certificate is revoked", "Ask the parent's operator"),
    ("Connection refused", "connection refused", "Check that the node runs and listens there"),
    ("failed to lookup address", "the host name cannot be resolved", "Check the name and the DNS of this machine"),
    ("Network is unreachable", "the network is unreachable", ""),
    ("No route to host", "there is no route to the host", ""),
    ("tls handshake eof", "the connection was closed during the TLS handshake", ""),
    ("connection closed before message", "the connection was closed before an answer came", ""),
    ("Connection reset", "the connection was reset", ""),
    ("invalid HTTP version", "what answered does not speak HTTP here", "Check scheme and port of the URL"),
    ("InvalidContentType", "what answered does not speak TLS", "Check scheme and port of the URL"),
    ("end of file before message", "the connection was closed in the middle of the answer", ""),
    ("IncompleteMessage", "the connection was closed in the middle of the answer", ""),
    ("error reading a body", "the connection was lost in the middle of the answer", ""),
)
"""What the TLS and HTTP libraries say, in words for an operator: (part of the message, cause, remedy)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a node trusts and shows, as PEM."""

    ca: bytes = b""
    """Certificates of the CA that peers must be signed by, besides those of the operating system."""
    certificate: bytes = b""
    """The node's own certificate and chain; empty while it is not enrolled."""
    key: bytes = field(default=b"", repr=False)


class Pin(NamedTuple):
    """Where a host is."""

    host: str
    address: str
    port: int


class HttpTransport:
    """Implements `littoral.core.transport.Transport`. Close it with `aclose`.

    Redirects are not followed and no proxy is used: a node speaks to the peer it was told, or fails.
    """

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        trust_anyone: bool = False,
        limits: Limits | None = None,
        answer_limit: Limit = PEER_ANSWER_BYTES,
        pinned: Pin | None = None,
    ) -> None:
        """`trust_anyone` accepts every server certificate. It is for one purpose: to fetch, before enrolment, the CA
        certificate whose fingerprint is then compared with the one in the join token. `answer_limit`, of `limits`,
        bounds what `request` reads; pieces that `stream` gives are its caller's to bound. `pinned`: a host that is not
        looked up.

        Raises StartupError for PEM that cannot be read.
        """
        self._trust_anyone = trust_anyone
        self._limits = limits or Limits()
        self._answer_limit = answer_limit
        self._pinned = pinned
        self._client = self._build(identity or Identity())

    def reload(self, identity: Identity) -> None:
        """Use another identity for every request from now on; requests in progress end on their connections."""
        self._client = self._build(identity)

    async def aclose(self) -> None:
        """Close the connections; requests in progress fail with PeerUnreachable."""
        await self._client.close()

    async def request(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """See `Transport.request`."""
        return await self._answer(base_url, self._builder(base_url, request), timeout_s)

    async def post(self, url: str, headers: Headers, body: bytes, timeout_s: float) -> Response:
        """One POST to a whole URL, which is used as it is written. Raises PeerUnreachable."""
        return await self._answer(url, self._request("POST", url, headers, body), timeout_s)

    async def _answer(self, base_url: str, builder: RequestBuilder, timeout_s: float) -> Response:
        builder = builder.timeout(timedelta(seconds=timeout_s))
        # Not `build`, which reads a whole answer whatever its size.
        built = builder.streamed_read_buffer_limit(READ_AHEAD_BYTES).build_streamed()
        try:
            answer = await _opened(built)
            try:
                body = await self._body(base_url, answer.body_reader)
            finally:
                await _heeding_cancellation(built.__aexit__(None, None, None))
        except PyreqwestError as error:
            raise _unreachable(base_url, error, timeout_s) from error
        return Response(answer.status, list(answer.headers.items()), body)

    @asynccontextmanager
    async def stream(self, base_url: str, request: Request, idle_timeout_s: float) -> AsyncIterator[OpenStream]:
        """See `Transport.stream`."""
        # Without a limit of 0, pyreqwest holds small pieces back until its buffer is full.
        built = self._builder(base_url, request).streamed_read_buffer_limit(0).build_streamed()
        try:
            async with asyncio.timeout(idle_timeout_s):
                answer = await _opened(built)
        except (PyreqwestError, TimeoutError) as error:
            raise _unreachable(base_url, error, idle_timeout_s) from error
        try:
            chunks = _chunks(base_url, answer.body_reader, idle_timeout_s)
            yield OpenStream(answer.status, list(answer.headers.items()), chunks)
        finally:
            await _heeding_cancellation(built.__aexit__(None, None, None))

    async def _body(self, base_url: str, reader: ResponseBodyReader) -> bytes:
        most = self._limits[self._answer_limit]
        pieces: list[bytes] = []
        size = 0
        while (piece := await _heeding_cancellation(reader.read_chunk())) is not None:
            size += len(piece)
            if size > most:
                self._limits.hit(self._answer_limit)
                cause = f"it answers with more than {most} bytes, the limit {self._answer_limit.name}"
                raise PeerUnreachable("read answer of", base_url, cause, "Check what listens there")
            pieces.append(piece.to_bytes())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _builder(self, base_url: str, request: Request) -> RequestBuilder:
        url = base_url.rstrip("/") + quote(request.path, safe="/:@!$&'()*+,;=~")
        if request.query:
            url += "?" + urlencode(request.query)
        return self._request(request.method, url, tuple(request.headers.items()), request.body)

    def _request(self, method: str, url: str, headers: Headers, body: bytes) -> RequestBuilder:
        """Raises PeerUnreachable for a URL or headers of which the library can make no request."""
        try:
            builder = self._client.request(method, url).headers(dict(headers))
            return builder.body_bytes(body) if body else builder
        except (PyreqwestError, ValueError) as error:
            raise PeerUnreachable("reach", url, f"no request can be made to it ({error})") from error

    def _build(self, identity: Identity) -> Client:
        builder = ClientBuilder().no_proxy().follow_redirects(False).user_agent("littoral")
        builder = builder.gzip(False).brotli(False).zstd(False).deflate(False)
        builder = builder.connect_timeout(timedelta(seconds=CONNECT_TIMEOUT_S))
        builder = builder.pool_max_idle_per_host(IDLE_CONNECTIONS)
        builder = builder.pool_idle_timeout(timedelta(seconds=IDLE_CONNECTION_S))
        try:
            if self._pinned is not None:
                builder = builder.resolve(*self._pinned)
            if self._trust_anyone:
                builder = builder.danger_accept_invalid_certs(True)
            if identity.ca:
                builder = builder.add_root_certificate_pem(identity.ca)
            if identity.certificate:
                builder = builder.identity_pem(identity.key + b"\n" + identity.certificate)
            return builder.build()
        except (PyreqwestError, ValueError) as error:
            raise StartupError(
                "use certificates of", "this node", str(error), "Check the PEM files under identity/"
            ) from error


async def _opened(built: StreamRequest) -> ResponseHead:
    """The head of the answer; whoever gets it has to close `built`."""
    cancels = _cancels()
    answer = await built.__aenter__()
    if _cancels() > cancels:
        await built.__aexit__(None, None, None)
        raise asyncio.CancelledError
    return answer


async def _heeding_cancellation(work: Awaitable[T]) -> T:
    """`await work`, and then be cancelled if that was asked for meanwhile.

    pyreqwest drops a cancellation that meets a result which is just ready. Whoever cancelled would wait for ever for a
    task that goes on.
    """
    cancels = _cancels()
    result = await work
    if _cancels() > cancels:
        raise asyncio.CancelledError
    return result


def _cancels() -> int:
    """How often the running task was asked to end, and has not yet answered."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


async def _chunks(base_url: str, reader: ResponseBodyReader, idle_timeout_s: float) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(idle_timeout_s):
                chunk = await _heeding_cancellation(reader.read_chunk())
        except (PyreqwestError, TimeoutError) as error:
            raise _unreachable(base_url, error, idle_timeout_s) from error
        if chunk is None:
            return
        yield chunk.to_bytes()


def _unreachable(base_url: str, error: Exception, timeout_s: float) -> PeerUnreachable:
    said = _messages(error)
    for part, cause, remedy in _CAUSES:
        if part in said:
            return PeerUnreachable("reach", base_url, cause, remedy)
    if isinstance(error, (RequestTimeoutError, TimeoutError)):
        return PeerUnreachable("reach", base_url, f"timed out (no answer within {timeout_s:g} s)")
    return PeerUnreachable("reach", base_url, said)


def _messages(error: Exception) -> str:
    if not isinstance(error, PyreqwestError):
        return str(error)
    details = getattr(error, "details", None) or {}
    return ": ".join([str(error.message), *(cause["message"] for cause in details.get("causes") or ())])
