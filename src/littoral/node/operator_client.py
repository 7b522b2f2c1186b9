"""Calling another process's operator API, asynchronously."""

from typing import TypeVar

import msgspec

from littoral.core.http import Request, Response
from littoral.core.transport import Transport
from littoral.fleet.desired import DesiredRecord
from littoral.node.status import NodeStatus
from littoral.wire.problem import error_of

TIMEOUT_S = 15.0
T = TypeVar("T")


class OperatorClient:
    """One node's operator API."""

    def __init__(self, transport: Transport, url: str, token: str) -> None:
        self._transport = transport
        self.url = url
        self._token = token

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Response:
        """One request. Raises PeerUnreachable, or the error the node answered."""
        headers = {"authorization": f"Bearer {self._token}"}
        request = Request(method, path, query or {}, headers, body)
        response = await self._transport.request(self.url, request, timeout_s)
        if response.status >= 400:
            raise error_of(response.status, response.body, "call", f"{self.url}{path}")
        return response

    async def status(self) -> NodeStatus:
        """The node now."""
        return msgspec.json.decode((await self.call("GET", "/v1/status")).body, type=NodeStatus)

    async def nodes(self) -> list[NodeStatus]:
        """The node, and the last report of every node below it."""
        return msgspec.json.decode((await self.call("GET", "/v1/nodes")).body, type=list[NodeStatus])

    async def create_token(self, node: str) -> str:
        """A join token."""
        response = await self.call("POST", "/v1/tokens", msgspec.json.encode({"node": node}))
        return msgspec.json.decode(response.body, type=dict[str, str])["token"]

    async def apply(self, records: list[DesiredRecord]) -> int:
        """Change the desired state; returns how many resources changed."""
        response = await self.call("POST", "/v1/resources", msgspec.msgpack.encode(records))
        return msgspec.json.decode(response.body, type=dict[str, int])["changed"]
