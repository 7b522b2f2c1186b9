from littoral.core.limits import Limits
from littoral.core.resources.web import Cache, Ejection, HealthCheck, OriginSpec, OriginTls, Retry, Target
from littoral.gateway.origins.transport import Endpoint
from littoral.node.gateway_routes import cache_settings, origin_pool
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


def test_an_origins_targets_and_how_they_are_used():
    spec = OriginSpec(
        targets=[
            Target(url="https://a.test"),
            Target(url="http://[::1]:8080", weight=3, region="eu"),
            Target(url="http://10.0.0.1"),
        ],
        balance="consistent-hash",
        tls=OriginTls(ca_file="/ca.pem", server_name="shop.test"),
        health=HealthCheck(path="/healthz", interval="1s"),
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
    assert (pool.balance.policy, pool.active.path, pool.active.interval_s) == ("consistent-hash", "/healthz", 1.0)
    assert (pool.passive.failures_in_a_row, pool.passive.ejected_s, pool.passive.ejected_most_share) == (7, 3.0, 0.1)
    assert (pool.retrying.tries, pool.retrying.statuses, pool.retrying.budget_share) == (4, frozenset({503}), 0.5)
    assert (pool.crowding.target_requests, pool.crowding.waiting) == (9, 8)
    assert not origin_pool("shop", OriginSpec(targets=spec.targets)).active.path
