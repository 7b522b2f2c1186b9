"""The routes placed on a node, and the origins they lead to, as the gateways are told of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from littoral.core.errors import LittoralError
from littoral.core.resources import Origin, Route
from littoral.core.resources.web import OriginSpec, RouteSpec
from littoral.fleet.desired import Wanted
from littoral.gateway.routes import RouteTable
from littoral.node.gateway_config import GatewayConfig, route_matches
from littoral.node.status import RouteStatus


class PlacedRoutes:
    """Implements `littoral.node.desired_state.Routes`."""

    def __init__(self, apps: Callable[[], GatewayConfig], static_roots: Sequence[str] = (), region: str = "") -> None:
        """static_roots, region: by the node's document. apps: what the gateways are told of the apps placed here, whose routes go before these."""
        self.publish: Callable[[], None] = lambda: None
        """Tells the gateways that `config` has changed."""
        self._apps = apps
        self._region = region
        self._static_roots = [PurePosixPath(root) for root in static_roots]
        self._routes: Mapping[str, Wanted] = {}
        self._origins: dict[str, OriginSpec] = {}
        self._statuses: dict[str, RouteStatus] = {}

    def apply(self, routes: Mapping[str, Wanted], origins: Mapping[str, Wanted]) -> None:
        """Serve exactly these. A route that cannot be served is reported in its status."""
        self._routes = routes
        self._origins = {
            name: each.resource.spec for name, each in origins.items() if isinstance(each.resource, Origin)
        }
        try:
            self.publish()
        except LittoralError as error:
            # The gateways go on with what they know.
            for name, each in routes.items():
                self._statuses[name] = RouteStatus(each.revision, "", str(error))

    def config(self) -> GatewayConfig:
        """What the gateways need to know: of the apps, and of those routes that can be served."""
        apps = self._apps()
        taken = list(apps.routes)
        served: dict[str, RouteSpec] = {}
        self._statuses.clear()
        for name, each in sorted(self._routes.items()):
            assert isinstance(each.resource, Route)
            spec = each.resource.spec
            problem, mine = self._problem(spec, apps), route_matches(name, spec.match)
            if not problem:
                try:
                    RouteTable([*taken, *mine])
                except LittoralError as error:
                    problem = str(error)
                else:
                    taken += mine
                    served[name] = spec
            self._statuses[name] = RouteStatus(each.revision, leads_to(spec), problem)
        origins = {name: self._origins[name] for name in {spec.origin for spec in served.values()} if name is not None}
        return GatewayConfig(taken, apps.functions, apps.limits, served, origins, self._region)

    def statuses(self) -> dict[str, RouteStatus]:
        """Each route placed here."""
        return dict(self._statuses)

    def _problem(self, spec: RouteSpec, apps: GatewayConfig) -> str:
        if spec.origin is not None and spec.origin not in self._origins:
            return f"there is no Origin {spec.origin} placed on this node. Apply one, or change its placement"
        if spec.app is not None and all(function.app != spec.app for function in apps.functions):
            return f"there is no App {spec.app} that runs on this node. Apply one, or change its placement"
        if spec.static is not None:
            directory = PurePosixPath(spec.static.directory)
            if not any(directory.is_relative_to(root) for root in self._static_roots):
                return f"this node's document does not allow {directory} to be served. Add it to spec.staticRoots there"
        return ""


def leads_to(spec: RouteSpec) -> str:
    """Where a route leads, in words."""
    if spec.static is not None:
        return f"files of {spec.static.directory}"
    return f"origin {spec.origin}" if spec.origin is not None else f"app {spec.app}"
