"""What operators may know of the routes of a node.

GET  /v1/routes                          all routes that the gateways serve, or are to serve
GET  /v1/routes/test?url=URL&method=GET  who would answer a request, and from what; nothing is sent
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.http import Request, Response
from littoral.core.resources.web import Cache
from littoral.gateway.cache.key import key_maker
from littoral.gateway.field_block import Fields
from littoral.gateway.origin_calls import CACHED, stripped
from littoral.gateway.routes import NoRoute, RouteTable
from littoral.gateway.target import RequestTarget, read_target
from littoral.node.gateway_config import GatewayConfig
from littoral.node.gateway_routes import is_shielded
from littoral.node.placed_routes import leads_to
from littoral.node.status import RouteStatus
from littoral.wire.answers import json_answer, method_not_allowed

PATH = "/v1/routes"
TEST_PATH = f"{PATH}/test"


class RouteLine(msgspec.Struct, frozen=True):
    """One way to a route."""

    name: str
    """"app/NAME" or "route/NAME"."""
    host: str
    """Empty for any."""
    path: str
    methods: list[str]
    """Empty for all."""
    leads_to: str
    problem: str = ""
    """Why it is not served."""


class RouteAnswer(msgspec.Struct, frozen=True):
    """What would become of a request."""

    method: str
    host: str
    target: str
    """Path and query as the gateway reads them."""
    route: str = ""
    """Empty where there is none."""
    leads_to: str = ""
    status: int = 0
    """What is answered where there is no route: 404 or 405."""
    allow: list[str] = []
    """With 405: what methods there are."""
    cache_key: str = ""
    """What the answer is looked for under in the cache; empty where it is not."""
    sent: str = ""
    """The path and query that the origin or app would be sent."""
    targets: list[str] = []
    """Of the origin."""
    asks_first: str = ""
    """The parent node, whose gateways are asked before the origin; empty for none."""


class _Asked(msgspec.Struct, frozen=True):
    """As much of a request as a cache key is made of."""

    scheme: str
    host: str
    fields: Fields = ()


class RouteDesk:
    """Answers at the operator API."""

    def __init__(self, config: Callable[[], GatewayConfig], statuses: Callable[[], Mapping[str, RouteStatus]]) -> None:
        """config: what the gateways are told. statuses: of the routes that have documents."""
        self._config = config
        self._statuses = statuses

    def handle(self, request: Request) -> Response:
        """Answer one request. Raises InvalidInput, MethodNotAllowed."""
        if request.method != "GET":
            raise method_not_allowed(request)
        if request.path == PATH:
            return json_answer(self.lines())
        return json_answer(self.test(request.query.get("method", "GET"), request.query.get("url", "")))

    def lines(self) -> list[RouteLine]:
        """All ways to routes, and those routes to which there is none."""
        config = self._config()
        statuses = self._statuses()
        lines = [
            RouteLine(route.to, route.host or "", route.path, list(route.methods), _leads_to(route.to, config))
            for route in config.routes
        ]
        unserved = [(name, status) for name, status in statuses.items() if status.problem]
        lines += [RouteLine(f"route/{name}", "", "", [], status.leads_to, status.problem) for name, status in unserved]
        return sorted(lines, key=lambda line: (line.name, line.host, line.path))

    def test(self, method: str, url: str, fields: Fields = ()) -> RouteAnswer:
        """Who would answer. fields: of the request's head. Raises InvalidInput."""
        scheme, host, target = read_url(url)
        config = self._config()
        found = RouteTable(config.routes).find(method, host, target.path)
        if isinstance(found, NoRoute):
            return RouteAnswer(method, host, str(target), status=405 if found.allow else 404, allow=list(found.allow))
        spec = config.web.get(found.removeprefix("route/"))
        if spec is None or spec.static is not None or not found.startswith("route/"):
            return RouteAnswer(method, host, str(target), found, _leads_to(found, config))
        cache = spec.cache or Cache(enabled=spec.origin is not None)
        is_cached = cache.enabled and method in CACHED
        origin = config.origins[spec.origin] if spec.origin is not None else None
        is_asked = is_cached and origin is not None and is_shielded(cache, origin)
        return RouteAnswer(
            method,
            host,
            str(target),
            found,
            leads_to(spec),
            cache_key=key_maker(cache.key, spec.app or "")(_Asked(scheme, host, fields), target) if is_cached else "",
            sent=stripped(str(target), spec.strip_prefix or ""),
            targets=[each.url for each in origin.targets] if origin is not None else [],
            asks_first=config.parent.node if is_asked and config.parent is not None else "",
        )


def read_url(url: str) -> tuple[str, str, RequestTarget]:
    """The scheme, the host, and the rest of a URL, as a gateway sees them. Raises InvalidInput."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        raise InvalidInput("find route of", url[:120], str(error), _REMEDY) from error
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidInput("find route of", url[:120], "it is no URL of the web", _REMEDY)
    return parts.scheme, host, read_target(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/")


_REMEDY = "Give a whole one: https://shop.example/path"


def _leads_to(to: str, config: GatewayConfig) -> str:
    kind, _, name = to.partition("/")
    return leads_to(config.web[name]) if kind == "route" else f"app {name}"
