"""From the documents of routes and origins to what serves them in a gateway process."""

from littoral.core.gateway_limits import GATEWAY_CACHE_OBJECT_BYTES
from littoral.core.limits import Limits
from littoral.core.resources.units import parse_duration_ms
from littoral.core.resources.web import Affinity, Cache, HashBy, OriginSpec
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
from littoral.gateway.origins.steers import HashSource, MarkCookie, Steers
from littoral.gateway.origins.transport import Endpoint, OriginTimeouts
from littoral.wire.caching.policy import CachePolicy

PORTS = {"http": 80, "https": 443}


def cache_name(node: str) -> str:
    """What the caches of a node's gateways call themselves."""
    return f"{PSEUDONYM}-{node}" if node else PSEUDONYM


def is_shielded(spec: Cache, origin: OriginSpec) -> bool:
    """Whether what is not stored is asked of the parent node before the origin. Where clients come back to their targets, the
    answers are theirs, and a parent would send each to a target of its own choice."""
    return spec.enabled and spec.shield and origin.affinity is None


def cache_settings(spec: Cache, limits: Limits, node: str = "", app: str = "") -> CacheSettings:
    """A route's cache, as its document has it. node: the name of the one that it is at. app: what the route leads to, if that is one."""
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
        name=cache_name(node),
    )
    return CacheSettings(policy, key_maker(spec.key, app), limits[GATEWAY_CACHE_OBJECT_BYTES], spec.collapse)


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
            host=spec.host or "",
            interval_s=_seconds(health.interval),
            timeout_s=_seconds(health.timeout),
            healthy_after=health.healthy,
            unhealthy_after=health.unhealthy,
            statuses=frozenset(status for text in health.statuses for status in _statuses(text)),
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
    return Target(endpoint, target.weight, target.region, target.host or "")


def origin_steers(name: str, spec: OriginSpec) -> Steers | None:
    """What of requests says which target they are for, as the origin's document has it; None where nothing does."""
    if spec.affinity is None and spec.hash_by is None:
        return None
    return Steers(
        _mark_cookie(name, spec.affinity) if spec.affinity is not None else None,
        _hash_source(spec.hash_by) if spec.hash_by is not None else None,
    )


def _mark_cookie(origin: str, spec: Affinity) -> MarkCookie:
    cookie = spec.cookie
    max_age_s = parse_duration_ms(cookie.max_age) // 1000 if cookie.max_age is not None else None
    return MarkCookie(cookie.name or f"littoral-affinity-{origin}", max_age_s, cookie.same_site, cookie.secure)


def _hash_source(spec: HashBy) -> HashSource:
    if spec.header is not None:
        return HashSource("header", spec.header.lower())
    return HashSource("cookie", spec.cookie) if spec.cookie is not None else HashSource("client")


def _statuses(text: str) -> range:
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


def _seconds(text: str) -> float:
    return parse_duration_ms(text) / 1000
