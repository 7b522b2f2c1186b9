import pytest

from littoral.core.errors import Conflict
from littoral.gateway.routes import NoRoute, Route, RouteTable, normal_host

TABLE = RouteTable(
    [
        Route("any"),
        Route("api", "/api/*"),
        Route("exact", "/api/health"),
        Route("deep", "/api/v2/*", methods=["GET", "POST"]),
        Route("writer", "/api/v2/*", methods=["PUT"]),
        Route("shop", "/*", host="Shop.test"),
        Route("images", "/img*", host="shop.test"),
    ]
)


@pytest.mark.parametrize(
    ("host", "path", "app"),
    [
        ("x", "/", "any"),
        ("x", "/api", "any"),
        ("x", "/api/", "api"),
        ("x", "/api/health", "exact"),
        ("x", "/api/healthy", "api"),
        ("x", "/api/v2/a/b", "deep"),
        ("shop.test", "/api/health", "shop"),
        ("SHOP.test.:8080", "/imgs/1", "images"),
    ],
)
def test_the_host_then_the_longest_path_wins(host: str, path: str, app: str) -> None:
    assert TABLE.find("GET", host, path) == app


def test_methods_choose_among_the_routes_of_one_path_only() -> None:
    assert TABLE.find("PUT", "x", "/api/v2/a") == "writer"
    assert TABLE.find("HEAD", "x", "/api/v2/a") == "deep"
    assert TABLE.find("DELETE", "x", "/api/v2/a") == NoRoute(("GET", "HEAD", "POST", "PUT"))


def test_no_path_is_no_route() -> None:
    assert RouteTable([Route("a", "/only")]).find("GET", "x", "/other") == NoRoute()
    assert RouteTable().find("GET", "x", "/") == NoRoute()


def test_two_cannot_claim_the_same() -> None:
    with pytest.raises(Conflict, match=r"add route GET /a: one and two both claim it"):
        RouteTable([Route("one", "/a", methods=["GET"]), Route("two", "/a", methods=["POST", "GET"])])
    RouteTable([Route("one", "/a", methods=["GET"]), Route("two", "/a", methods=["POST"]), Route("one", "/a*")])


@pytest.mark.parametrize(("written", "normal"), [("A.b:80", "a.b"), ("[::1]:80", "[::1]"), ("a.", "a"), ("", "")])
def test_hosts_are_compared_without_case_and_port(written: str, normal: str) -> None:
    assert normal_host(written) == normal
