import pytest

from littoral.core.limits import Limits
from littoral.core.resources.web import (
    Affinity,
    AffinityCookie,
    Cache,
    Ejection,
    HashBy,
    HealthCheck,
    OriginSpec,
    OriginTls,
    Retry,
    Target,
)
from littoral.gateway.origins.steers import HashSource, MarkCookie, Steers
from littoral.gateway.origins.transport import Endpoint
from littoral.node.gateway_routes import cache_settings, is_shielded, origin_pool, origin_steers
from littoral.wire.caching.policy import CachePolicy


def test_a_cache_without_settings_is_as_the_rfc_has_it():
    policy = cache_settings(Cache(), Limits()).policy
    assert policy == CachePolicy(name="littoral", maximum_ttl_s=365 * 86_400.0)


def test_what_a_route_says_of_its_cache_is_what_is_decided_by():
    spec = Cache(
        ttl="1m",
        default_ttl="5s",
        status_ttl={"404": "10s"},
        heuristic=False,
        stale_while_revalidate="30s",
        stale_if_error="0s",
        targeted=["Littoral-Cache-Control"],
        set_cookie=True,
        obey_clients=True,
        collapse=False,
    )
    settings = cache_settings(spec, Limits({"gateway-cache-object-bytes": 77}))
    policy = settings.policy
    assert (policy.override_ttl_s, policy.default_ttl_s, policy.ttl_by_status_s) == (60.0, 5.0, {404: 10.0})
    assert (policy.heuristic_fraction, policy.stale_while_revalidate_s, policy.stale_if_error_s) == (0.0, 30.0, 0.0)
    assert policy.targeted_fields == ("littoral-cache-control",)
    assert policy.store_set_cookie
    assert policy.honour_request_directives
    assert (settings.body_bytes, settings.collapse) == (77, False)


def test_a_cache_is_named_after_its_node():
    assert cache_settings(Cache(), Limits(), "plant-a").policy.name == "littoral-plant-a"


@pytest.mark.parametrize(
    ("cache", "affinity", "asks"),
    [
        (Cache(), None, True),
        (Cache(shield=False), None, False),
        (Cache(enabled=False), None, False),
        (Cache(), Affinity(), False),
    ],
    ids=["by default", "without", "nothing is cached", "clients have targets of their own"],
)
def test_when_the_parent_is_asked_before_the_origin(cache, affinity, asks):
    origin = OriginSpec(targets=[Target(url="http://a")], affinity=affinity)
    assert is_shielded(cache, origin) is asks


def test_an_origins_targets_and_how_they_are_used():
    spec = OriginSpec(
        targets=[
            Target(url="https://a.test"),
            Target(url="http://[::1]:8080", weight=3, region="eu", host="eu.shop.test"),
            Target(url="http://10.0.0.1"),
        ],
        balance="consistent-hash",
        host="shop.test",
        tls=OriginTls(ca_file="/ca.pem", server_name="shop.test"),
        health=HealthCheck(path="/healthz", interval="1s", statuses=["200-203", "401"]),
        ejection=Ejection(failures=7, base="3s", most_percent=10),
        retry=Retry(tries=4, statuses=["503"], budget_percent=50),
        connections=9,
        waiting=8,
    )
    pool = origin_pool("shop", spec)
    assert [each.endpoint for each in pool.targets] == [
        Endpoint("https", "a.test", 443, "shop.test", "/ca.pem"),
        Endpoint("http", "::1", 8080, "shop.test", "/ca.pem"),
        Endpoint("http", "10.0.0.1", 80, "shop.test", "/ca.pem"),
    ]
    assert [(each.weight, each.region) for each in pool.targets] == [(1, ""), (3, "eu"), (1, "")]
    assert [each.host for each in pool.targets] == ["", "eu.shop.test", ""]
    assert (pool.active.host, sorted(pool.active.statuses)) == ("shop.test", [200, 201, 202, 203, 401])
    assert (pool.balance.policy, pool.active.path, pool.active.interval_s) == ("consistent-hash", "/healthz", 1.0)
    assert (pool.passive.failures_in_a_row, pool.passive.ejected_s, pool.passive.ejected_most_share) == (7, 3.0, 0.1)
    assert (pool.retrying.tries, pool.retrying.statuses, pool.retrying.budget_share) == (4, frozenset({503}), 0.5)
    assert (pool.crowding.target_requests, pool.crowding.waiting) == (9, 8)
    assert not origin_pool("shop", OriginSpec(targets=spec.targets)).active.path


@pytest.mark.parametrize(
    ("says", "steers"),
    [
        ({}, None),
        ({"affinity": Affinity()}, Steers(MarkCookie("littoral-affinity-shop"))),
        (
            {"affinity": Affinity(cookie=AffinityCookie(name="m", max_age="90s", same_site="none", secure=True))},
            Steers(MarkCookie("m", 90, "none", secure=True)),
        ),
        ({"hash_by": HashBy(header="X-User")}, Steers(None, HashSource("header", "x-user"))),
        ({"hash_by": HashBy(cookie="Session")}, Steers(None, HashSource("cookie", "Session"))),
        ({"hash_by": HashBy(client=True)}, Steers(None, HashSource("client"))),
    ],
)
def test_what_says_which_target_a_request_is_for(says, steers):
    assert origin_steers("shop", OriginSpec(targets=[Target(url="http://a.test")], **says)) == steers
