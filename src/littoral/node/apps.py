"""The apps placed on a node: their code on disk, their workers, and the gateways' routes to them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import structs

from littoral.core.errors import Forbidden, LittoralError
from littoral.core.limits import Limits
from littoral.core.resources import App
from littoral.core.resources.part import RouteMatch
from littoral.drivers.disk import LocalDisk
from littoral.fleet.desired import Wanted
from littoral.functions.apps import PlacedApp, deployed_revision, with_secrets
from littoral.functions.calls.client import FunctionTarget
from littoral.functions.hub.inference_desk import check_inference
from littoral.functions.hub.runtime import FunctionRuntime
from littoral.functions.messages import InlineState
from littoral.gateway.routes import Route, RouteTable
from littoral.node.app_code import AppCode, folder_of
from littoral.node.gateway_config import GatewayConfig, app_routes
from littoral.node.status import AppStatus


class SecretSource(Protocol):
    """Has apps' secrets (littoral.fleet.secret_keys)."""

    def of(self, app: str) -> tuple[str, Mapping[str, str]]:
        """Revision and secrets of an app; both are empty where it has none. Raises LittoralError where they cannot be had
        yet."""
        ...

    def only(self, apps: Collection[str]) -> None:
        """No other apps are placed here."""
        ...


class PlacedApps:
    """Implements `littoral.node.desired_state.Apps`."""

    def __init__(
        self,
        disk: LocalDisk,
        limits: Limits,
        runtime: FunctionRuntime,
        failed: Callable[[BaseException], None],
        inline: Collection[str] = (),
    ) -> None:
        """failed: receives errors that are faults of ours. inline: the apps that may run in gateways' processes, by the node's own
        document: what comes from the root does not decide about it."""
        self._inline = frozenset(inline)
        self._states: dict[int, Mapping[str, InlineState]] = {}
        """What gateways say of the apps that they run, by the gateways' numbers."""
        self.publish: Callable[[], None] = lambda: None
        """Tells the gateways that `config` has changed."""
        self.placed: Callable[[Iterable[PlacedApp], Collection[str]], None] = lambda apps, wanted: None
        """Told which apps run here, and the names of those that belong here."""
        self.secrets: SecretSource | None = None
        """What apps get besides their documents. None before the hub is there."""
        self.code = AppCode(disk, limits, self._apply, failed)
        self._limits = limits
        self._runtime = runtime
        self._apps: dict[str, tuple[App, PlacedApp]] = {}
        self._problems: dict[str, tuple[str, str]] = {}
        self._wanted: Mapping[str, Wanted] = {}
        self._served: Mapping[str, Sequence[RouteMatch]] = {}
        """The routes of the apps that ran when `apply` was called last."""

    def apply(self, wanted: Mapping[str, Wanted]) -> None:
        """Run exactly these. An app that cannot run is reported in its status; if it ran before, it goes on so, also
        while the code of its next revision is unpacked."""
        self._wanted = wanted
        # Not by what runs at each look: which of two new apps is unpacked first must not decide.
        self._served = {name: app.spec.routes for name, (app, _) in self._apps.items()}
        self.code.try_again()
        self._apply()

    def refresh(self) -> None:
        """What apps get besides their documents has changed, or has come."""
        self._apply()

    async def stop(self) -> None:
        """Unpack nothing more."""
        await self.code.stop()

    def _apply(self) -> None:
        wanted = self._wanted
        apps: dict[str, tuple[App, PlacedApp]] = {}
        self._problems.clear()
        if self.secrets is not None:
            self.secrets.only(wanted.keys())
        for name, each in sorted(wanted.items(), key=self._comes):
            assert isinstance(each.resource, App)
            try:
                apps[name] = (each.resource, self._place(name, each.resource, each))
                self._check_routes([resource for resource, _ in apps.values()])
            except LittoralError as error:
                self._problems[name] = (each.revision, str(error))
                apps.pop(name, None)
                self._keep(name, apps)
        self._apps = apps
        self._runtime.apply(placed for _, placed in apps.values())
        self.placed([placed for _, placed in apps.values()], wanted.keys())
        try:
            self.publish()
        except LittoralError as error:
            # The gateways go on with what they know; apps of which they know nothing say why.
            for name, each in wanted.items():
                self._problems.setdefault(name, (each.revision, str(error)))
        self._prune()

    def _comes(self, item: tuple[str, Wanted]) -> bool:
        """The order in which apps take their routes: first those that have them already and want the same ones. Of two that claim one
        route, who is served goes on being served, whatever the names are."""
        name, each = item
        assert isinstance(each.resource, App)
        return self._served.get(name) != each.resource.spec.routes

    def _prune(self) -> None:
        """Delete the code of old revisions; not of one that runs because newer ones do not start, or that the app may be taken back
        to at once."""
        if self._runtime.knows_workers:
            pools = (*self._runtime.pools.items(), *self._runtime.parting.items())
            running = {folder_of(name, deployed_revision(each)) for name, pool in pools for each in pool.revisions}
            held = {folder_of(name, deployed_revision(revision)) for name, revision in self._runtime.held_revisions}
            self.code.prune(self._wanted, running | held)

    def _keep(self, name: str, apps: "dict[str, tuple[App, PlacedApp]]") -> None:
        """Go on with the revision that runs, unless another app has taken its routes."""
        running = self._apps.get(name)
        if running is None:
            return
        try:
            self._check_routes([running[0], *(resource for resource, _ in apps.values())])
        except LittoralError:
            return
        apps[name] = running

    def config(self) -> GatewayConfig:
        """What the gateways need to know."""
        functions = [
            FunctionTarget(
                placed.name,
                self._runtime.sockets(placed),
                placed.wall_ms,
                placed.served_assets,
                placed.revision if placed.inline else "",
            )
            for _, placed in self._apps.values()
        ]
        routes = list(_routes(resource for resource, _ in self._apps.values()))
        return GatewayConfig(routes, functions, self._limits.overrides)

    def statuses(self) -> dict[str, AppStatus]:
        """Each app placed here."""
        statuses = {}
        for name, (_, placed) in self._apps.items():
            pool = self._runtime.pools.get(name)
            if pool is not None:
                counters = pool.counters
                rests = pool.settled and not counters.last_failure
                statuses[name] = AppStatus(
                    placed.deployed,
                    pool.ready,
                    counters.starts,
                    counters.restarts,
                    counters.last_failure,
                    running=placed.deployed if rests else deployed_revision(pool.revision),
                    isolation=self._runtime.isolation_of(placed),
                    cold_starts=counters.cold,
                )
                if placed.inline:
                    statuses[name] = self._with_gateways(statuses[name], name)
        for name, (revision, problem) in self._problems.items():
            progress = self.code.progress(folder_of(name, revision))
            running = deployed_revision(self._runtime.pools[name].revision) if name in self._runtime.pools else ""
            statuses[name] = AppStatus(revision, 0, 0, 0, problem, progress, running)
        return statuses

    def take_inline(self, gateway: int, states: Mapping[str, InlineState]) -> None:
        """A gateway tells of the apps that run in its process."""
        self._states[gateway] = states

    def _with_gateways(self, status: AppStatus, name: str) -> AppStatus:
        """Of an app whose requests gateways answer themselves: what they say of it. Its workers have the rest."""
        states = [each[name] for each in self._states.values() if name in each]
        behind = next((each.revision for each in states if each.revision != status.revision), status.revision)
        failure = next((each.failure for each in states if each.failure), "")
        return structs.replace(status, running=behind if states else "", problem=failure or status.problem)

    def _place(self, name: str, resource: App, wanted: Wanted) -> PlacedApp:
        if resource.spec.isolation == "inline" and name not in self._inline:
            cause = (
                "isolation `inline` has it run in this node's own processes, which the node's document does not allow"
            )
            raise Forbidden(
                "run app",
                name,
                cause,
                f"Add {name} to spec.inlineApps of the node's document, or choose another isolation",
            )
        where = self.code.folder(name, wanted)
        if resource.spec.ai is not None:
            check_inference(name)
        placed = PlacedApp.from_spec(name, wanted.revision, where, resource.spec, self._limits)
        # Sockets' paths that are too long, by the node's directory, are said in the app's status, and do not end the hub.
        self._runtime.sockets(placed)
        return placed if self.secrets is None else with_secrets(placed, *self.secrets.of(name))

    @staticmethod
    def _check_routes(apps: Iterable[App]) -> None:
        RouteTable(_routes(apps))


def _routes(apps: Iterable[App]) -> Iterable[Route]:
    for app in apps:
        yield from app_routes(app.metadata.name, app.spec.routes)
