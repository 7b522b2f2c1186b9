import pytest

from littoral.core.errors import InvalidInput, MethodNotAllowed
from littoral.core.http import Request
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import Cache, CacheKey, OriginSpec, QueryKey, RouteSpec, Target
from littoral.node.gateway_config import GatewayConfig, app_routes, route_matches
from littoral.node.route_desk import PATH, RouteDesk, RouteLine
from littoral.node.status import RouteStatus

SHOP = RouteSpec(
    match=[RouteMatch(path="/shop/*", host="shop.test", methods=["GET", "POST"])],
    origin="servers",
    strip_prefix="/shop",
    cache=Cache(key=CacheKey(query=QueryKey(deny=["utm_*"]))),
)
LIVE = RouteSpec(match=[RouteMatch(path="/live")], origin="servers", cache=Cache(enabled=False))


def desk() -> RouteDesk:
    routes = [
        *app_routes("hello", [RouteMatch(path="/hello")]),
        *route_matches("shop", SHOP.match),
        *route_matches("live", LIVE.match),
    ]
    origins = {"servers": OriginSpec(targets=[Target(url="http://a:80"), Target(url="http://b:80")])}
    config = GatewayConfig(routes, web={"shop": SHOP, "live": LIVE}, origins=origins)
    statuses = {
        "shop": RouteStatus("1", "origin servers"),
        "lost": RouteStatus("2", "origin gone", "there is no Origin"),
    }
    return RouteDesk(lambda: config, lambda: statuses)


def test_routes_are_listed_with_what_keeps_them_from_being_served():
    assert desk().lines() == [
        RouteLine("app/hello", "", "/hello", [], "app hello"),
        RouteLine("route/live", "", "/live", [], "origin servers"),
        RouteLine("route/lost", "", "", [], "origin gone", "there is no Origin"),
        RouteLine("route/shop", "shop.test", "/shop/*", ["GET", "POST"], "origin servers"),
    ]


def test_a_request_is_followed_without_being_sent():
    found = desk().test("GET", "https://Shop.test:443/shop/./a%2fb?utm_source=x&c=d")
    assert (found.route, found.leads_to) == ("route/shop", "origin servers")
    assert found.target == "/shop/a%2Fb?utm_source=x&c=d"
    assert found.cache_key == "https://shop.test/shop/a%2Fb?c=d"
    assert found.sent == "/a%2Fb?utm_source=x&c=d"
    assert found.targets == ["http://a:80", "http://b:80"]
    assert desk().test("POST", "http://shop.test/shop/a").cache_key == ""
    assert desk().test("GET", "http://any.test/live").cache_key == ""
    assert desk().test("GET", "http://any.test/hello").leads_to == "app hello"


def test_what_has_no_route_says_so():
    nothing = desk().test("GET", "http://any.test/nothing")
    assert (nothing.route, nothing.status) == ("", 404)
    refused = desk().test("DELETE", "http://shop.test/shop/a")
    assert (refused.status, refused.allow) == (405, ["GET", "HEAD", "POST"])


@pytest.mark.parametrize("url", ["", "/a", "ftp://a/b", "http://", "http://[::1/a", "http://a/%zz", "http://a/b c"])
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(InvalidInput):
        desk().test("GET", url)


def test_only_get_is_answered():
    assert desk().handle(Request("GET", PATH)).status == 200
    with pytest.raises(MethodNotAllowed):
        desk().handle(Request("POST", PATH))
