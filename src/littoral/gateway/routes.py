"""Who answers a request. Pure: a table built once, and looked up without a search.

The rules, in this order:

    1. a route for the request's host beats one for any host;
    2. an exact path beats a prefix, and a longer prefix a shorter one;
    3. the methods decide last, and only among the routes of the path found: a method that none of them takes is
       answered with 405, not by a shorter path. A route that takes GET takes HEAD.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from littoral.core.errors import Conflict

ANY_METHOD = "*"


class Route(Struct, frozen=True):
    """Requests, and who answers them."""

    to: str
    """"app/NAME" or "route/NAME"."""
    path: str = "/*"
    """A path; a "*" at its end matches any rest."""
    host: str | None = None
    methods: list[str] = []
    """Empty for all."""


class Claim(NamedTuple):
    """What only one may answer."""

    host: str
    """As `normal_host` gives it; empty for any."""
    path: str
    method: str
    """A method, or ANY_METHOD."""

    @property
    def text(self) -> str:
        """For people: "GET shop.test/items"."""
        return f"{'' if self.method == ANY_METHOD else self.method + ' '}{self.host}{self.path}"


def claims(route: Route) -> Iterator[Claim]:
    """What a route claims: two routes of different owners that have one of these in common cannot both be in a table."""
    host = normal_host(route.host) if route.host else ""
    for method in route.methods or [ANY_METHOD]:
        yield Claim(host, route.path, method)


class NoRoute(Struct, frozen=True):
    """Nobody answers. `allow`: the methods that the path takes, empty if there is no such path."""

    allow: tuple[str, ...] = ()


class _Paths:
    """The routes of one host."""

    def __init__(self) -> None:
        self.exact: dict[str, dict[str, str]] = {}
        self.prefixes: dict[str, dict[str, str]] = {}
        self.lengths: list[int] = []

    def add(self, route: Route) -> None:
        is_prefix = route.path.endswith("*")
        table = self.prefixes if is_prefix else self.exact
        methods = table.setdefault(route.path[:-1] if is_prefix else route.path, {})
        for method in route.methods or [ANY_METHOD]:
            if (other := methods.get(method)) is not None and other != route.to:
                raise _conflict(route, method, other)
            methods[method] = route.to
        self.lengths = sorted({len(prefix) for prefix in self.prefixes}, reverse=True)

    def find(self, path: str) -> dict[str, str] | None:
        """Who answers the path, by method."""
        if (methods := self.exact.get(path)) is not None:
            return methods
        for length in self.lengths:
            if (methods := self.prefixes.get(path[:length])) is not None and length <= len(path):
                return methods
        return None


class RouteTable:
    """All that is placed on a node."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        """Raises Conflict where two claim the same host, path and method."""
        self._any_host = _Paths()
        self._hosts: dict[str, _Paths] = {}
        for route in routes:
            paths = self._hosts.setdefault(normal_host(route.host), _Paths()) if route.host else self._any_host
            paths.add(route)

    def find(self, method: str, host: str, path: str) -> str | NoRoute:
        """Who answers."""
        methods = None
        if self._hosts and (paths := self._hosts.get(normal_host(host))) is not None:
            methods = paths.find(path)
        if methods is None:
            methods = self._any_host.find(path)
        if methods is None:
            return NoRoute()
        to = methods.get(method) or methods.get(ANY_METHOD)
        if to is None and method == "HEAD":
            to = methods.get("GET")
        return to if to is not None else NoRoute(_allowed(methods))


def normal_host(host: str) -> str:
    """A host as written in a URL or a Host field: in lower case, without port and root dot."""
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].removesuffix(".")


@lru_cache(maxsize=1024)
def authority(scheme: str, host: str) -> str:
    """A host in lower case, with its port unless that is the scheme's (RFC 9110, section 4.2.3): what cache keys have and origins are
    sent, so that what an origin makes of it is the same for all who are given it."""
    port = host[host.rfind("]") + 1 :].partition(":")[2]
    name = normal_host(host)
    return f"{name}:{port}" if port and port != ("443" if scheme == "https" else "80") else name


def _allowed(methods: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted(methods.keys() | ({"HEAD"} if "GET" in methods else set())))


def _conflict(route: Route, method: str, other: str) -> Conflict:
    what = f"{'' if method == ANY_METHOD else method + ' '}{route.host or ''}{route.path}"
    return Conflict("add route", what, f"{other} and {route.to} both claim it", "Change one of them")
