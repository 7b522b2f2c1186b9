"""From the documents of routes and origins to what serves them in a gateway process."""

from littoral.core.limits import GATEWAY_CACHE_OBJECT_BYTES, Limits
from littoral.core.resources.units import parse_duration_ms
from littoral.core.resources.web import Cache, OriginSpec
from littoral.core.resources.web import Target as TargetSpec
from littoral.gateway.cache.cache import CacheSettings
from littoral.gateway.cache.key import key_maker
from littoral.gateway.forwarding import PSEUDONYM
from littoral.gateway.origins.settings import (
    ActiveHealth,
    Balance,
    Crowding,
    OriginPool,
    PassiveHealth,
    Retrying,
    Target,
)
from littoral.gateway.origins.transport import Endpoint, OriginTimeouts
from littoral.wire.caching.policy import CachePolicy

PORTS = {"http": 80, "https": 443}


def cache_settings(spec: Cache, limits: Limits) -> CacheSettings:
    """A route's cache, as its document has it."""
    policy = CachePolicy(
        heuristic_fraction=0.1 if spec.heuristic else 0.0,
        ttl_by_status_s={int(status): _seconds(text) for status, text in spec.status_ttl.items()},
        default_ttl_s=_seconds(spec.default_ttl),
        maximum_ttl_s=_seconds(spec.maximum_ttl),
        override_ttl_s=_seconds(spec.ttl) if spec.ttl is not None else None,
        stale_while_revalidate_s=_seconds(spec.stale_while_revalidate),
        stale_if_error_s=_seconds(spec.stale_if_error),
        store_set_cookie=spec.set_cookie,
        targeted_fields=tuple(name.lower() for name in spec.targeted),
        honour_request_directives=spec.obey_clients,
        name=PSEUDONYM,
    )
    return CacheSettings(policy, key_maker(spec.key), limits[GATEWAY_CACHE_OBJECT_BYTES], spec.collapse)


def origin_pool(name: str, spec: OriginSpec) -> OriginPool:
    """An origin's targets, and how they are used, as its document has it."""
    health, ejection, retry = spec.health, spec.ejection, spec.retry
    return OriginPool(
        name,
        tuple(_target(target, spec) for target in spec.targets),
        balance=Balance(spec.balance),
        passive=PassiveHealth(
            failures_in_a_row=ejection.failures,
            ejected_s=_seconds(ejection.base),
            ejected_most_s=_seconds(ejection.maximum),
            ejected_most_share=ejection.most_percent / 100,
        ),
        active=ActiveHealth()
        if health is None
        else ActiveHealth(
            path=health.path,
            interval_s=_seconds(health.interval),
            timeout_s=_seconds(health.timeout),
            healthy_after=health.healthy,
            unhealthy_after=health.unhealthy,
        ),
        crowding=Crowding(target_requests=spec.connections, waiting=spec.waiting),
        retrying=Retrying(
            tries=retry.tries,
            statuses=frozenset(map(int, retry.statuses)),
            budget_share=retry.budget_percent / 100,
        ),
        timeouts=OriginTimeouts(
            _seconds(spec.timeouts.connect), _seconds(spec.timeouts.head), _seconds(spec.timeouts.idle)
        ),
    )


def _target(target: TargetSpec, spec: OriginSpec) -> Target:
    scheme, _, authority = target.url.partition("://")
    host, port = authority, ""
    if not authority.endswith("]") and ":" in authority:
        host, _, port = authority.rpartition(":")
    endpoint = Endpoint(
        "https" if scheme == "https" else "http",
        host.strip("[]"),
        int(port) if port else PORTS[scheme],
        spec.tls.server_name or "",
        spec.tls.ca_file or "",
    )
    return Target(endpoint, target.weight, target.region)


def _seconds(text: str) -> float:
    return parse_duration_ms(text) / 1000
