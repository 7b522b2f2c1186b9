import pytest

from littoral.core.errors import InvalidInput, MethodNotAllowed
from littoral.core.http import Request
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import Cache, CacheKey, OriginSpec, QueryKey, RouteSpec, Target
from littoral.node.gateway_config import GatewayConfig, ParentRelay, app_routes, route_matches
from littoral.node.route_desk import PATH, RouteDesk, RouteLine
from littoral.node.status import RouteStatus

SHOP = RouteSpec(
    match=[RouteMatch(path="/shop/*", host="shop.test", methods=["GET", "POST"])],
    origin="servers",
    strip_prefix="/shop",
    cache=Cache(key=CacheKey(query=QueryKey(deny=["utm_*"]))),
)
PAGES = RouteSpec(match=[RouteMatch(path="/pages/*")], app="hello", strip_prefix="/pages", cache=Cache())
FORMS = RouteSpec(match=[RouteMatch(path="/forms/*")], app="hello")
LIVE = RouteSpec(match=[RouteMatch(path="/live")], origin="servers", cache=Cache(enabled=False))


def desk(parent: ParentRelay | None = None) -> RouteDesk:
    routes = [
        *app_routes("hello", [RouteMatch(path="/hello")]),
        *route_matches("shop", SHOP.match),
        *route_matches("live", LIVE.match),
        *route_matches("pages", PAGES.match),
        *route_matches("forms", FORMS.match),
    ]
    origins = {"servers": OriginSpec(targets=[Target(url="http://a:80"), Target(url="http://b:80")])}
    config = GatewayConfig(
        routes, web={"shop": SHOP, "live": LIVE, "pages": PAGES, "forms": FORMS}, origins=origins, parent=parent
    )
    statuses = {
        "shop": RouteStatus("1", "origin servers"),
        "lost": RouteStatus("2", "origin gone", "there is no Origin"),
    }
    return RouteDesk(lambda: config, lambda: statuses)


def test_routes_are_listed_with_what_keeps_them_from_being_served():
    assert desk().lines() == [
        RouteLine("app/hello", "", "/hello", [], "app hello"),
        RouteLine("route/forms", "", "/forms/*", [], "app hello"),
        RouteLine("route/live", "", "/live", [], "origin servers"),
        RouteLine("route/lost", "", "", [], "origin gone", "there is no Origin"),
        RouteLine("route/pages", "", "/pages/*", [], "app hello"),
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
    cached = desk().test("GET", "http://any.test/pages/a")
    assert (cached.cache_key, cached.sent, cached.targets) == ("http://any.test/pages/a\napp hello", "/a", [])
    uncached = desk().test("GET", "http://any.test/forms/a")
    assert (uncached.cache_key, uncached.sent) == ("", "/forms/a")


def test_it_is_said_that_the_parent_is_asked_first():
    node = desk(ParentRelay("region", "region.test", 443))
    assert node.test("GET", "http://shop.test/shop/a").asks_first == "region"
    assert node.test("POST", "http://shop.test/shop/a").asks_first == ""
    assert node.test("GET", "http://any.test/live").asks_first == ""
    assert node.test("GET", "http://any.test/pages/a").asks_first == "", "an app is here"
    assert desk().test("GET", "http://shop.test/shop/a").asks_first == ""


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
