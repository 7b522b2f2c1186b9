"""Two that claim the same requests: refused before it becomes desired."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from littoral.core.errors import Conflict
from littoral.core.resources import App, Route
from littoral.fleet.desired import DesiredRecord, Wanted, record_of, withdrawal
from littoral.node.claimed_routes import check_claims

ANYWHERE: Mapping[str, Any] = {}


def app(name: str, *routes: Mapping[str, Any], placement: Mapping[str, Any] = ANYWHERE) -> App:
    spec = {"main": "main.py", "routes": routes, "placement": placement}
    return msgspec.convert({"kind": "App", "apiVersion": "littoral/v1", "metadata": {"name": name}, "spec": spec}, App)


def route(name: str, path: str, placement: Mapping[str, Any] = ANYWHERE) -> Route:
    spec = {"match": [{"path": path}], "origin": "servers", "placement": placement}
    return msgspec.convert(
        {"kind": "Route", "apiVersion": "littoral/v1", "metadata": {"name": name}, "spec": spec}, Route
    )


def check(there: Sequence[App | Route], new: Sequence[App | Route], gone: Sequence[DesiredRecord] = ()) -> None:
    wanted = {record_of(each, None).key: Wanted(each, "1", None) for each in there}
    check_claims([*gone, *(record_of(each, None) for each in new)], lambda: wanted)


ALL = {"path": "/*"}


def test_two_projects_without_routes_of_their_own_are_told_of_each_other_and_what_to_do():
    with pytest.raises(Conflict) as refused:
        check([app("shop", ALL)], [app("blog", ALL)])
    assert str(refused.value).startswith("cannot apply App/blog: App/shop answers /* on the same nodes")
    assert "`routes` in wrangler.jsonc" in str(refused.value)
    assert "`littoral resource delete App/shop`" in str(refused.value)


@pytest.mark.parametrize(
    ("there", "new"),
    [
        (app("shop", {"path": "/a", "host": "Shop.test"}), app("blog", {"path": "/a", "host": "shop.test:80"})),
        (app("shop", {"path": "/a", "methods": ["GET", "PUT"]}), app("blog", {"path": "/a", "methods": ["PUT"]})),
        (app("shop", ALL), route("site", "/*")),
        (route("site", "/*"), app("shop", ALL)),
        (route("site", "/*"), route("other", "/*")),
        (app("shop", ALL), app("blog", ALL, placement={"tiers": ["site"]})),
        (app("shop", ALL, placement={"nodes": ["a"]}), app("blog", ALL, placement={"nodes": ["a", "b"]})),
        (
            app("shop", ALL, placement={"labels": {"x": "1", "y": "2"}}),
            app("blog", ALL, placement={"labels": {"x": "1"}}),
        ),
    ],
    ids=["host", "method", "app-route", "route-app", "routes", "everywhere", "nodes", "labels"],
)
def test_who_claims_what_another_claims_on_the_same_nodes_is_refused(there: App | Route, new: App | Route):
    with pytest.raises(Conflict, match="on the same nodes"):
        check([there], [new])
    with pytest.raises(Conflict, match="on the same nodes"):
        check([], [there, new])


@pytest.mark.parametrize(
    ("there", "new"),
    [
        (app("shop", ALL), app("shop", ALL, {"path": "/a"})),
        (app("shop", ALL), app("blog", {"path": "/*", "host": "blog.test"})),
        (app("shop", ALL), app("blog", {"path": "/blog/*"})),
        (app("shop", {"path": "/a", "methods": ["GET"]}), app("blog", {"path": "/a", "methods": ["PUT"]})),
        (app("shop", ALL, placement={"nodes": ["a"]}), app("blog", ALL, placement={"nodes": ["b"]})),
        (app("shop", ALL, placement={"nodes": ["a"]}), app("blog", ALL, placement={"tiers": ["site"]})),
        (app("shop", ALL), app("blog")),
    ],
    ids=["itself", "host", "path", "method", "nodes", "not known", "no routes"],
)
def test_others_are_not(there: App | Route, new: App | Route):
    check([there], [new])


def test_what_is_there_already_keeps_nobody_else_from_being_applied():
    check([app("shop", ALL), app("blog", ALL)], [app("news", {"path": "/news"})])


def test_a_route_goes_over_to_another_in_one_step():
    check([app("shop", ALL)], [app("blog", ALL)], [withdrawal("App", "shop")])
    check([app("shop", ALL)], [app("blog", ALL), app("shop", {"path": "/shop"})])
