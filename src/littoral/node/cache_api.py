"""The operator API's part for the HTTP cache.

POST /v1/cache/purge     {url | tag | prefix | all, soft}    forget, or do not give without the origin's word
GET  /v1/cache/inspect?url=                                  what the gateways of this node hold of a URL
GET  /v1/cache/top?count=                                    what they have given most often
"""

from typing import Literal

import msgspec

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.core.undecodable import UNDECODABLE
from littoral.gateway.cache.purge import Purge, read_place
from littoral.node.cache_top import TOP_MOST, TopObject, merged
from littoral.node.purge_desk import PurgeDesk
from littoral.node.purge_messages import CachedObject
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.query import whole_number

PATH = "/v1/cache"
PURGE_PATH = f"{PATH}/purge"
INSPECT_PATH = f"{PATH}/inspect"
TOP_PATH = f"{PATH}/top"
TOP_COUNT = 20


class PurgeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of POST /v1/cache/purge: exactly one of the first four."""

    url: str | None = None
    tag: str | None = None
    prefix: str | None = None
    all: bool = False
    soft: bool = False


class Inspected(msgspec.Struct, frozen=True):
    """Answer of GET /v1/cache/inspect."""

    gateways: list[list[CachedObject]]
    """What each of those holds that answered."""


class TopObjects(msgspec.Struct, frozen=True):
    """Answer of GET /v1/cache/top."""

    gateways: int
    """That have answered."""
    objects: list[TopObject]
    """The one that was given most often first."""


class CacheApi:
    """Answers for requests whose path begins with PATH, once the operator is known."""

    def __init__(self, desk: PurgeDesk) -> None:
        self._desk = desk

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        match (request.method, request.path):
            case ("POST", "/v1/cache/purge"):
                return json_answer(await self._desk.purge(_purge_of(request.body)))
            case ("GET", "/v1/cache/inspect"):
                url = request.query.get("url", "")
                read_place(url)
                return json_answer(Inspected(await self._desk.inspect(url)))
            case ("GET", "/v1/cache/top"):
                return json_answer(await self._top(whole_number(request.query, "count", "call", TOP_PATH, TOP_COUNT)))
            case (_, "/v1/cache/purge" | "/v1/cache/inspect" | "/v1/cache/top"):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")

    async def _top(self, count: int) -> TopObjects:
        if not 1 <= count <= TOP_MOST:
            raise InvalidInput("call", TOP_PATH, f"count is {count}", f"Ask for 1 to {TOP_MOST}")
        told = await self._desk.top(count)
        return TopObjects(len(told), merged(told, count))


def _purge_of(body: bytes) -> Purge:
    try:
        order = msgspec.json.decode(body, type=PurgeOrder)
    except UNDECODABLE as error:
        raise InvalidInput("purge", "", str(error), 'Send {"url": "http://HOST/PATH"}') from error
    kinds: list[Literal["url", "tag", "prefix"]] = ["url", "tag", "prefix"]
    given = [kind for kind in kinds if getattr(order, kind) is not None]
    if len(given) + order.all != 1:
        raise InvalidInput("purge", "", "exactly one of url, tag, prefix and all says what", "Send one of them")
    if order.all:
        return Purge("all", soft=order.soft)
    return Purge(given[0], getattr(order, given[0]), soft=order.soft)
