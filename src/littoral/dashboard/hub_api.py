"""The hub as the dashboard sees it: the operator API, over HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from littoral.core.errors import Unauthenticated, Unavailable
from littoral.core.http import Request, Response
from littoral.core.names import StreamName, parse_stream_name
from littoral.core.transport import Transport
from littoral.core.undecodable import UNDECODABLE
from littoral.node.status import NodeStatus
from littoral.node.stream_messages import LIST, VIEW, StreamPage, StreamRow, StreamView
from littoral.wire.durable_streams import JSON, STREAM_NEXT_OFFSET, format_offset, parse_offset
from littoral.wire.problem import error_of

CALL_S = 5.0
"""How long the hub may take to answer: it is on this machine."""
LONG_POLL_CALL_S = 40.0
"""Above `long-poll-seconds`, after which the hub answers that there is nothing new."""
FAR_DEADLINE_S = 15
"""Of a question to a node below: a person waits for its answer."""
FAR_CALL_S = FAR_DEADLINE_S + CALL_S
FAR_HEADERS = {"littoral-deadline": f"{FAR_DEADLINE_S}s"}

TokenSource = Callable[[], str | None]
"""Reads the operator's token; None while there is none yet."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one read of a JSON stream returned."""

    records: list[msgspec.Raw]
    next: int
    """Where to read on."""


T = TypeVar("T")

_statuses = msgspec.json.Decoder(list[NodeStatus])
_page = msgspec.json.Decoder(StreamPage)
_view = msgspec.json.Decoder(StreamView)
_array = msgspec.json.Decoder(list[msgspec.Raw])


class HubApi:
    """Reads from one hub. Raises everywhere: PeerUnreachable, Unavailable, and what the hub answers."""

    def __init__(self, transport: Transport, base_url: str, token: TokenSource) -> None:
        """base_url: "http://host:port" of the operator API."""
        self._transport = transport
        self._base_url = base_url
        self._token = token

    async def nodes(self) -> list[NodeStatus]:
        """The node now, and the last report of each node below it."""
        response = await self._get("/v1/nodes", {}, CALL_S)
        return _decoded(_statuses, response.body, "/v1/nodes")

    async def streams(self, **query: str) -> StreamPage:
        """A page of the streams; query: see littoral.node.stream_desk."""
        response = await self._get(LIST, {name: value for name, value in query.items() if value}, CALL_S)
        return _decoded(_page, response.body, LIST)

    async def view(self, stream: str, **query: int) -> StreamView:
        """The end of a stream; query: see littoral.node.stream_desk. Raises InvalidInput for what is no stream's name."""
        path = f"{VIEW}{parse_stream_name(stream)}"
        response = await self._get(path, {name: str(value) for name, value in query.items()}, CALL_S)
        return _decoded(_view, response.body, path)

    async def read(self, stream: StreamName, offset: int, *, waits: bool = True) -> Piece:
        """Records from `offset` on; waits for some, up to the hub's limit. Empty if none came. JSON streams only."""
        path = f"/v1/streams/{stream}"
        query = {"offset": format_offset(offset)}
        if waits:
            query["live"] = "long-poll"
        response = await self._get(path, query, LONG_POLL_CALL_S)
        headers = {name.lower(): value for name, value in response.headers}
        following = parse_offset(headers.get(STREAM_NEXT_OFFSET.lower(), ""))
        if following is None:
            raise Unavailable("read stream", str(stream), "the answer says not where it goes on")
        records = _decoded(_array, response.body, path) if response.status == 200 else []
        return Piece(records, following)

    async def ask(
        self, kind: type[T], method: str, path: str, query: dict[str, str], at: str = "", body: bytes = b""
    ) -> T:
        """Ask the operator API of the node `at`, by way of this hub, or of this node itself. Raises what that node
        answers as well."""
        if not at:
            response = await self._call(method, path, query, CALL_S, body=body)
        else:
            far = f"/v1/nodes/{at}/api{path}"
            response = await self._call(method, far, query, FAR_CALL_S, FAR_HEADERS, body)
        return _decoded(msgspec.json.Decoder(kind), response.body, path)

    async def _get(self, path: str, query: dict[str, str], timeout_s: float) -> Response:
        return await self._call("GET", path, query, timeout_s)

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        timeout_s: float,
        headers: Mapping[str, str] = {},
        body: bytes = b"",
    ) -> Response:
        token = self._token()
        if token is None:
            raise Unauthenticated("ask the hub for", path, "it has not made the operator's token yet")
        fields = {"authorization": f"Bearer {token}", **headers}
        if body:
            fields["content-type"] = JSON
        request = Request(method, path, query, fields, body)
        response = await self._transport.request(self._base_url, request, timeout_s)
        if response.status not in (200, 204):
            raise error_of(response.status, response.body, "ask the hub for", path)
        return response


def row_name(row: StreamRow) -> StreamName:
    """The name in its parts. Raises InvalidInput."""
    return parse_stream_name(row.name)


def _decoded(decoder: "msgspec.json.Decoder[T]", body: bytes, path: str) -> T:
    try:
        return decoder.decode(body)
    except UNDECODABLE as error:
        raise Unavailable(
            "read the answer to", path, str(error), "Are the hub and the dashboard of the same version?"
        ) from error
