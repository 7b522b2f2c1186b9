import pytest

from littoral.core.errors import StorageFull
from littoral.core.resources import Origin, Route
from littoral.core.resources.part import Metadata, RouteMatch
from littoral.core.resources.web import OriginSpec, RouteSpec, Static, Target
from littoral.fleet.desired import Wanted
from littoral.functions.calls.client import FunctionTarget
from littoral.node.gateway_config import GatewayConfig, app_routes
from littoral.node.placed_routes import PlacedRoutes

SERVERS = OriginSpec(targets=[Target(url="http://127.0.0.1:80")])
APPS = GatewayConfig(
    app_routes("hello", [RouteMatch(path="/hello")]), [FunctionTarget("hello", ["/s"], 5)], {"streams": 1}
)


def route(name: str, path: str, **leads: object) -> tuple[str, Wanted]:
    spec = RouteSpec(match=[RouteMatch(path=path)], **leads)  # type: ignore[arg-type]
    return name, Wanted(Route(api_version="littoral/v1", metadata=Metadata(name=name), spec=spec), "1", None)


def placed(*routes: tuple[str, Wanted]) -> PlacedRoutes:
    found = PlacedRoutes(lambda: APPS, ["/srv/www"], "eu")
    servers = Origin(api_version="littoral/v1", metadata=Metadata(name="servers"), spec=SERVERS)
    found.apply(dict(routes), {"servers": Wanted(servers, "1", None)})
    return found


def test_gateways_are_told_of_apps_and_of_the_routes_that_can_be_served():
    routes = placed(
        route("shop", "/shop*", origin="servers"),
        route("files", "/files*", static=Static(directory="/srv/www/a")),
        route("greeting", "/greeting", app="hello"),
    )
    config = routes.config()
    assert [each.to for each in config.routes] == ["app/hello", "route/files", "route/greeting", "route/shop"]
    assert (config.functions, config.limits, config.origins, config.region) == (
        APPS.functions, APPS.limits, {"servers": SERVERS}, "eu",
    )  # fmt: skip
    assert set(config.web) == {"shop", "files", "greeting"}
    assert {name: (each.leads_to, each.problem) for name, each in routes.statuses().items()} == {
        "shop": ("origin servers", ""),
        "files": ("files of /srv/www/a", ""),
        "greeting": ("app hello", ""),
    }


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (route("shop", "/a", origin="gone"), "there is no Origin gone placed on this node"),
        (route("shop", "/a", app="gone"), "there is no App gone that runs on this node"),
        (route("shop", "/a", static=Static(directory="/etc")), "does not allow /etc to be served"),
        (route("shop", "/a", static=Static(directory="/srv/www2")), "does not allow /srv/www2 to be served"),
        (route("shop", "/hello", origin="servers"), "app/hello and route/shop both claim it"),
    ],
)
def test_a_route_that_cannot_be_served_says_why_and_the_others_are(wrong: tuple[str, Wanted], problem: str):
    routes = placed(wrong, route("fine", "/fine", origin="servers"))
    assert set(routes.config().web) == {"fine"}
    assert problem in routes.statuses()["shop"].problem
    assert routes.statuses()["fine"].problem == ""


def test_of_two_that_claim_the_same_the_first_by_name_is_served():
    routes = placed(route("b", "/x", origin="servers"), route("a", "/x", origin="servers"))
    assert set(routes.config().web) == {"a"}
    assert "both claim it" in routes.statuses()["b"].problem


def test_what_keeps_gateways_from_being_told_is_each_routes_problem():
    routes = placed()

    def full() -> None:
        raise StorageFull("write", "run/gateway.msgpack", "no space left")

    routes.publish = full
    routes.apply(dict([route("a", "/x", origin="servers")]), {})
    assert "no space left" in routes.statuses()["a"].problem
