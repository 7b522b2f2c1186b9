"""What routes and origins must satisfy beyond the types of their fields."""

import re
from collections.abc import Iterator

from littoral.core.resources.access_log import check_access_log
from littoral.core.resources.check import HOST, Mistake, duration, is_host, repeated
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.problem import Path
from littoral.core.resources.web import Affinity, Cache, HashBy, HealthCheck, OriginSpec, RouteSpec, Static

_TARGET = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?")
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")
_CACHE_DURATIONS = ("ttl", "default_ttl", "maximum_ttl", "stale_while_revalidate", "stale_if_error")


def check_route(spec: RouteSpec) -> Iterator[Mistake]:
    """Of a Route."""
    for index, match in enumerate(spec.match):
        yield from check_match(("spec", "match", index), match)
    chosen = [name for name in ("origin", "app", "static") if getattr(spec, name) is not None]
    if len(chosen) != 1:
        yield ("spec",), f"found {' and '.join(chosen) or 'none'}; a route leads to exactly one of origin, app, static"
    if spec.cache is not None:
        yield from _cache(spec.cache)
        if spec.static is not None:
            yield ("spec", "cache"), "files are not cached: they are read where they are"
    if spec.static is not None:
        yield from _static(spec.static)
    yield from check_access_log(spec.access_log)
    if spec.strip_prefix is not None:
        yield from _strip_prefix(spec.strip_prefix, spec.match)


def check_match(path: Path, match: RouteMatch) -> Iterator[Mistake]:
    """Of the requests that a route or an app answers."""
    if "*" in match.path[:-1]:
        yield (*path, "path"), f'found "{match.path[:80]}"; a "*" is allowed at its end only'
    if "?" in match.path or "#" in match.path:
        yield (*path, "path"), f'found "{match.path[:80]}"; a path has no query and no fragment'
    if match.host is not None and not HOST.fullmatch(match.host):
        yield (*path, "host"), f'found "{match.host[:80]}"; expected a host name, without scheme, port or path'


def _strip_prefix(prefix: str, matches: list[RouteMatch]) -> Iterator[Mistake]:
    for index, match in enumerate(matches):
        if not match.path.startswith(prefix.rstrip("/")):
            yield ("spec", "stripPrefix"), f'found "{prefix[:80]}"; the paths of match[{index}] do not begin with it'


def _static(static: Static) -> Iterator[Mistake]:
    path = ("spec", "static")
    for field, name in (("index", static.index), ("notFound", static.not_found)):
        if name is not None and not all(name.split("/")):
            yield (*path, field), f'found "{name[:80]}"; expected a path inside `directory`'
    for field, text in (("directory", static.directory), ("index", static.index), ("notFound", static.not_found or "")):
        if ".." in text.split("/"):
            yield (*path, field), f'found "{text[:80]}"; ".." is not followed'
    if not (static.cache_control.isascii() and static.cache_control.isprintable()):
        yield (*path, "cacheControl"), "it holds a character that no header field may hold"


def _cache(cache: Cache) -> Iterator[Mistake]:
    path = ("spec", "cache")
    for name in _CACHE_DURATIONS:
        text = getattr(cache, name)
        if text is not None:
            first, *rest = name.split("_")
            yield from duration((*path, first + "".join(map(str.capitalize, rest))), text, least_ms=0)
    for status, text in cache.status_ttl.items():
        yield from duration((*path, "statusTtl", status), text, least_ms=0)


def check_origin(spec: OriginSpec) -> Iterator[Mistake]:
    """Of an Origin."""
    yield from repeated(("spec", "targets"), (target.url for target in spec.targets), "url")
    for index, target in enumerate(spec.targets):
        match = _TARGET.fullmatch(target.url)
        host = match[1].strip("[]") if match is not None else ""
        if match is None or not is_host(host) or not 1 <= int(match[2] or 1) <= 65_535:
            cause = f'found "{target.url[:80]}"; expected http://HOST[:PORT] or https://HOST[:PORT]'
            yield ("spec", "targets", index, "url"), cause
        yield from _authority(("spec", "targets", index, "host"), target.host)
    yield from _authority(("spec", "host"), spec.host)
    if spec.hash_by is not None:
        yield from _hash_by(spec.hash_by, spec.balance)
    if spec.affinity is not None:
        yield from _affinity(spec.affinity)
    if spec.health is not None:
        yield from _health(spec.health)
    yield from duration(("spec", "ejection", "base"), spec.ejection.base, least_ms=100)
    yield from duration(("spec", "ejection", "maximum"), spec.ejection.maximum, least_ms=100)
    for name in ("connect", "head", "idle"):
        yield from duration(("spec", "timeouts", name), getattr(spec.timeouts, name), least_ms=10)


def _authority(path: Path, text: str | None) -> Iterator[Mistake]:
    if text is not None and not _AUTHORITY.fullmatch(text):
        yield path, f'found "{text[:80]}"; expected HOST or HOST:PORT'


def _hash_by(spec: HashBy, balance: str) -> Iterator[Mistake]:
    path = ("spec", "hashBy")
    chosen = [name for name in ("header", "cookie", "client") if getattr(spec, name)]
    if len(chosen) != 1:
        yield path, f"found {' and '.join(chosen) or 'none'}; it is exactly one of header, cookie, client: true"
    if balance != "consistent-hash":
        yield path, f'nothing is hashed with balance "{balance}"; write "balance: consistent-hash", or remove it'


def _affinity(spec: Affinity) -> Iterator[Mistake]:
    path = ("spec", "affinity", "cookie")
    cookie = spec.cookie
    if cookie.max_age is not None:
        yield from duration((*path, "maxAge"), cookie.max_age, least_ms=1000)
    if cookie.same_site == "none" and cookie.secure is False:
        cause = 'browsers drop a cookie with sameSite "none" that is not secure; remove this, or write sameSite "lax"'
        yield (*path, "secure"), cause


def _health(spec: HealthCheck) -> Iterator[Mistake]:
    path = ("spec", "health")
    for index, text in enumerate(spec.statuses):
        low, _, high = text.partition("-")
        if high and high < low:
            yield (*path, "statuses", index), f'found "{text}", which no status is in; write "{high}-{low}"'
    yield from duration((*path, "interval"), spec.interval, least_ms=100)
    yield from duration((*path, "timeout"), spec.timeout, least_ms=10)
