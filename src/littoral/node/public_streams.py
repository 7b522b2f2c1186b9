"""The streams listener: durable streams for clients that are not operators, browsers included.

Which streams a client may read, append to or manage is in the node's document (`spec.streams`). A browser is told by
CORS which sites may call (Fetch standard, section 3.2); a site that is not listed gets no such answer. A fork shows what
its source holds, so whoever makes one has to be allowed to read that. Rights to subscriptions: see
`littoral.streams.subscriptions.rights`.
"""

from littoral.core.errors import LittoralError
from littoral.core.http import AnyResponse, Headers, Request, Response, StreamingResponse
from littoral.core.resources.model import Streams
from littoral.security.stream_clients import StreamClients
from littoral.streams.access import AccessList
from littoral.streams.answers import problem
from littoral.streams.server import StreamServer
from littoral.streams.subscriptions.api import SubscriptionApi, is_control
from littoral.streams.subscriptions.record import Owner
from littoral.streams.subscriptions.rights import Caller
from littoral.wire.answers import NO_STORE
from littoral.wire.durable_streams import EXPOSED_HEADERS, STREAM_FORKED_FROM

PREFLIGHT_S = 600
"""How long a browser may remember what it may send."""


class PublicStreams:
    """Handler of the listener."""

    def __init__(self, server: StreamServer, spec: Streams, subscriptions: SubscriptionApi) -> None:
        self._server = server
        self._subscriptions = subscriptions
        self._clients = StreamClients(spec.clients)
        self._access = AccessList(spec.access)
        self._origins = frozenset(spec.origins)

    async def handle(self, request: Request) -> AnyResponse:
        """Answer one request. Refusals are answers too."""
        if request.path == "/healthz":
            return Response(200, [("content-type", "text/plain"), NO_STORE], b"ok\n")
        response = await self._answer(request)
        shared = self._shared_with(request)
        if not shared:
            return response
        if isinstance(response, StreamingResponse):
            return StreamingResponse(response.status, (*response.headers, *shared), response.chunks)
        return Response(response.status, (*response.headers, *shared), response.body)

    async def _answer(self, request: Request) -> AnyResponse:
        if is_control(request.path):
            return await self._subscriptions.handle(request, lambda: self._caller(request))
        try:
            name = self._server.stream_at(request.path)
            if request.method != "OPTIONS":  # A browser asks without a token whether it may send one.
                client = self._clients.client_of(request.headers.get("authorization"))
                self._access.check(client, request.method, name)
                source = request.headers.get(STREAM_FORKED_FROM.lower())
                if request.method == "PUT" and source is not None:
                    self._access.check(client, "GET", self._server.stream_at(source))
        except LittoralError as error:
            challenge: Headers = (("WWW-Authenticate", "Bearer"),) if error.status == 401 else ()
            return problem(error, challenge)
        return await self._server.handle(request)

    def _caller(self, request: Request) -> Caller:
        client = self._clients.client_of(request.headers.get("authorization"))
        return Caller(Owner(operator=False, client=client), self._access)

    def _shared_with(self, request: Request) -> Headers:
        if not self._origins:
            return ()
        # Also where no site asks: a browser would take an answer that it kept for one to a site that asks later.
        vary = (("Vary", "Origin"),)
        origin = request.headers.get("origin")
        if origin is None or not ({origin, "*"} & self._origins):
            return vary
        preflight = (("Access-Control-Max-Age", str(PREFLIGHT_S)),) if request.method == "OPTIONS" else ()
        return (
            *vary,
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", ", ".join(EXPOSED_HEADERS)),
            *preflight,
        )
