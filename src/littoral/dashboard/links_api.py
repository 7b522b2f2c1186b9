"""The WAN links of a local tree, steered out of band through the API of whoever owns them."""

from pathlib import Path
from typing import Literal

import msgspec

from littoral.core.errors import Unavailable
from littoral.core.http import Request, Response
from littoral.core.transport import Transport
from littoral.core.undecodable import UNDECODABLE
from littoral.wire.problem import error_of

CALL_S = 5.0
LINKS = "/v1/links"
Action = Literal["cut", "restore"]


class LinkAccess(msgspec.Struct, frozen=True):
    """The file that says where the API is. Written anew whenever the tree starts."""

    url: str
    token: str


class Link(msgspec.Struct, frozen=True):
    """One WAN link."""

    name: str
    """The node whose WAN it is."""
    state: Literal["up", "cut"]
    delay_ms: float
    bytes_up: int
    bytes_down: int


class LinksApi:
    """Lists and steers links. Raises everywhere: PeerUnreachable, Unavailable, and what the API answers."""

    def __init__(self, transport: Transport, access: Path) -> None:
        """access: path of a `LinkAccess` as JSON."""
        self._transport = transport
        self._access = access

    async def links(self) -> list[Link]:
        """All links, as they are now."""
        response = await self._call("GET", LINKS, b"")
        try:
            return msgspec.json.decode(response.body, type=list[Link])
        except UNDECODABLE as error:
            raise Unavailable("read the list of", "WAN links", str(error)) from error

    async def steer(self, name: str, action: Action) -> None:
        """Cut or restore the link of this name."""
        await self._call("POST", f"{LINKS}/{name}", msgspec.json.encode({"action": action}))

    async def _call(self, method: str, path: str, body: bytes) -> Response:
        try:
            access = msgspec.json.decode(self._access.read_bytes(), type=LinkAccess)
        except (OSError, *UNDECODABLE) as error:
            raise Unavailable(
                "steer", "WAN links", f"{self._access} cannot be read ({error})", "Is `littoral up` running?"
            ) from error
        headers = {"authorization": f"Bearer {access.token}", "content-type": "application/json"}
        response = await self._transport.request(access.url, Request(method, path, {}, headers, body), CALL_S)
        if not 200 <= response.status < 300:
            raise error_of(response.status, response.body, "steer", "WAN links")
        return response
