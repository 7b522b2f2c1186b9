"""The hub as the dashboard sees it: the operator API, over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from littoral.core.errors import LittoralError, Unauthenticated, Unavailable
from littoral.core.http import Request, Response
from littoral.core.lanes import Lane
from littoral.core.names import StreamName, parse_stream_name
from littoral.core.transport import Transport
from littoral.node.status import NodeStatus
from littoral.wire.durable_streams import STREAM_NEXT_OFFSET, format_offset, is_json, parse_offset
from littoral.wire.problem import error_of

CALL_S = 5.0
"""How long the hub may take to answer: it is on this machine."""
LONG_POLL_CALL_S = 40.0
"""Above `long-poll-seconds`, after which the hub answers that there is nothing new."""

TokenSource = Callable[[], str | None]
"""Reads the operator's token; None while there is none yet."""


class StreamEntry(msgspec.Struct, frozen=True):
    """What the dashboard needs of one line of GET /v1/streams."""

    name: str
    lane: Lane
    content_type: str
    first: int
    next: int
    closed: bool = False

    @property
    def stream(self) -> StreamName:
        """The name in its parts. Raises InvalidInput."""
        return parse_stream_name(self.name)

    @property
    def is_json(self) -> bool:
        """Whether its records are JSON values."""
        return is_json(self.content_type)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one read of a JSON stream returned."""

    records: list[msgspec.Raw]
    next: int
    """Where to read on."""


T = TypeVar("T")

_statuses = msgspec.json.Decoder(list[NodeStatus])
_entries = msgspec.json.Decoder(list[StreamEntry])
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

    async def streams(self) -> list[StreamEntry]:
        """All streams of the node."""
        response = await self._get("/v1/streams", {}, CALL_S)
        return _decoded(_entries, response.body, "/v1/streams")

    async def read(self, stream: StreamName, offset: int) -> Piece:
        """Records from `offset` on; waits for some, up to the hub's limit. Empty if none came. JSON streams only."""
        path = f"/v1/streams/{stream}"
        query = {"offset": format_offset(offset), "live": "long-poll"}
        response = await self._get(path, query, LONG_POLL_CALL_S)
        headers = {name.lower(): value for name, value in response.headers}
        following = parse_offset(headers.get(STREAM_NEXT_OFFSET.lower(), ""))
        if following is None:
            raise Unavailable("read stream", str(stream), "the answer says not where it goes on")
        records = _decoded(_array, response.body, path) if response.status == 200 else []
        return Piece(records, following)

    async def _get(self, path: str, query: dict[str, str], timeout_s: float) -> Response:
        token = self._token()
        if token is None:
            raise Unauthenticated("ask the hub for", path, "it has not made the operator's token yet")
        request = Request("GET", path, query, {"authorization": f"Bearer {token}"})
        response = await self._transport.request(self._base_url, request, timeout_s)
        if response.status not in (200, 204):
            raise _refused(response, path)
        return response


def _refused(response: Response, path: str) -> LittoralError:
    return error_of(response.status, response.body, "ask the hub for", path)


def _decoded(decoder: "msgspec.json.Decoder[T]", body: bytes, path: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Unavailable(
            "read the answer to", path, str(error), "Are the hub and the dashboard of the same version?"
        ) from error
