"""Requests that operators have a gateway make, as the node's API takes them."""

import asyncio

import msgspec
import pytest

from littoral.core.errors import InvalidInput, MethodNotAllowed, Unavailable
from littoral.core.http import Request
from littoral.gateway.tracing import TraceAsk, TraceReport
from littoral.node.replies import Replies
from littoral.node.route_api import PATHS, RouteApi
from littoral.node.route_desk import PATH as ROUTES
from littoral.node.route_desk import RouteLine
from littoral.node.trace_desk import PATH, Trace, TraceCall, TraceDesk
from tests.unit.node.test_route_desk import desk

AGENT = ("user-agent", "littoral-trace")


class Gateways:
    """Implements `littoral.node.trace_desk.Gateways`: one that says at once what it was asked."""

    def __init__(self, *, are_there: bool = True) -> None:
        self.asked: list[TraceAsk] = []
        self.are_there = are_there

    def trace(self, ask: TraceAsk) -> Replies[TraceReport]:
        self.asked.append(ask)
        replies: Replies[TraceReport] = Replies([self] if self.are_there else [])
        if self.are_there:
            replies.say(self, TraceReport(0, "g-1", "route/shop", 200, 5, 1.5, 1.0, "hit", "", "", 0, "", []))
        return replies


def trace(gateways: Gateways, **call: object) -> Trace:
    body = msgspec.json.encode({"url": "https://Shop.test/shop/./a%2fb?utm_source=x&c=d", **call})
    answer = asyncio.run(TraceDesk(gateways, desk()).handle(Request("POST", PATH, {}, {}, body)))
    return msgspec.json.decode(answer.body, type=Trace)


def test_a_gateway_makes_the_request_and_what_the_routes_say_of_it_is_shown_with_it() -> None:
    gateways = Gateways()
    found = trace(gateways, fields=[("X-Shop", "yes")])
    assert gateways.asked == [
        TraceAsk("GET", "https", "Shop.test", "/shop/a%2Fb?utm_source=x&c=d", [("x-shop", "yes"), AGENT])
    ]
    assert (found.report.status, found.asked.route) == (200, "route/shop")
    assert found.asked.cache_key == "https://shop.test/shop/a%2Fb?c=d"


def test_to_refresh_is_to_demand_it_as_an_operator_may() -> None:
    gateways = Gateways()
    trace(gateways, refresh=True, method="HEAD", fields=[("Cache-Control", "max-age=1"), ("user-agent", "me")])
    assert gateways.asked[0].fields == [("user-agent", "me"), ("cache-control", "no-cache")]
    assert (gateways.asked[0].refresh, gateways.asked[0].method) == (True, "HEAD")


@pytest.mark.parametrize(
    "call",
    [
        {"url": "shop.test/a"},
        {"method": "get"},
        {"method": "GET / HTTP/1.1"},
        {"fields": [("a b", "c")]},
        {"fields": [("a", "b\r\nc: d")]},
        {"fields": [("Host", "other.test")]},
        {"fields": [("content-length", "5")]},
        {"fields": [("Transfer-Encoding", "chunked")]},
        {"fields": [("upgrade", "websocket")]},
        {"fields": [("littoral-relay", "shop 0 log")]},
        {"fields": [("a", "b")] * 65},
        {"what": "this"},
    ],
)
def test_what_no_gateway_should_send_is_refused(call: dict[str, object]) -> None:
    gateways = Gateways()
    with pytest.raises(InvalidInput):
        trace(gateways, **call)
    assert gateways.asked == []


def test_where_no_gateway_answers_that_is_said() -> None:
    with pytest.raises(Unavailable, match="no gateway of the node has answered"):
        trace(Gateways(are_there=False))


def test_all_that_is_known_of_routes_is_at_one_place() -> None:
    api = RouteApi(desk(), TraceDesk(Gateways(), desk()))
    assert {PATH, ROUTES} < PATHS
    listed = asyncio.run(api.handle(Request("GET", ROUTES)))
    assert msgspec.json.decode(listed.body, type=list[RouteLine]) == desk().lines()
    traced = asyncio.run(
        api.handle(Request("POST", PATH, {}, {}, msgspec.json.encode(TraceCall("http://shop.test/shop/"))))
    )
    assert traced.status == 200
    with pytest.raises(MethodNotAllowed):
        asyncio.run(api.handle(Request("GET", PATH)))
