"""Steering the WAN links of a local tree: a small HTTP API on loopback, out of band, so that a cut node need hear nothing.

GET  /v1/links            all links
POST /v1/links/NAME       {"action": "cut" | "restore" | "delay", "delay_ms": 75, "mode": "refuse" | "blackhole"}
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from littoral.core.errors import InvalidInput, NotFound, Unauthenticated
from littoral.core.http import AnyResponse, Request
from littoral.core.undecodable import UNDECODABLE
from littoral.drivers.link import WanLink
from littoral.security.operator import is_operator
from littoral.wire.answers import json_answer

LINKS = "/v1/links"
DELAY_MOST_MS = 60_000


class LinkOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with a link."""

    action: Literal["cut", "restore", "delay"]
    delay_ms: float = 0.0
    """One way."""
    mode: Literal["refuse", "blackhole"] = "blackhole"
    """How a cut link behaves: connections are refused, or go silent as when a cable is pulled."""


class LinkEntry(msgspec.Struct, frozen=True):
    """A link as listed."""

    name: str
    """The child whose WAN it is."""
    state: Literal["up", "cut"]
    delay_ms: float
    bytes_up: int
    bytes_down: int


class LinkControl:
    """Handler of the API."""

    def __init__(self, links: Mapping[str, WanLink], token: str) -> None:
        self._links = links
        self._token = token

    async def handle(self, request: Request) -> AnyResponse:
        """Answer one request. Raises LittoralError."""
        if not is_operator(request.headers.get("authorization"), self._token):
            raise Unauthenticated("steer links", "", "the token of the local tree was not shown")
        if request.method == "GET" and request.path == LINKS:
            return json_answer([self._entry(name) for name in sorted(self._links)])
        name = request.path.removeprefix(f"{LINKS}/")
        link = self._links.get(name)
        if request.method != "POST" or link is None:
            raise NotFound(
                "find link", name[:80], "there is no such link", f"There are: {', '.join(sorted(self._links))}"
            )
        try:
            order = msgspec.json.decode(request.body, type=LinkOrder)
        except UNDECODABLE as error:
            raise InvalidInput("steer link", name, str(error)) from error
        if not 0 <= order.delay_ms <= DELAY_MOST_MS:
            raise InvalidInput("delay link", name, f"{order.delay_ms:g} ms; 0 to {DELAY_MOST_MS} are allowed")
        if order.action == "cut":
            await link.cut(order.mode)
        elif order.action == "restore":
            await link.restore()
        else:
            link.delay(order.delay_ms)
        return json_answer(self._entry(name))

    def _entry(self, name: str) -> LinkEntry:
        statistics = self._links[name].statistics()
        state: Literal["up", "cut"] = "up" if statistics.state == "up" else "cut"
        return LinkEntry(name, state, statistics.delay_ms, statistics.bytes_up, statistics.bytes_down)
