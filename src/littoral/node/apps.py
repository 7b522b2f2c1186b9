"""The apps placed on a node: their code on disk, their workers, and the gateways' routes to them."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from littoral.core.errors import LittoralError
from littoral.core.limits import Limits
from littoral.core.resources import App
from littoral.drivers.disk import LocalDisk
from littoral.fleet.bundles import unpack_bundle
from littoral.fleet.desired import Wanted
from littoral.functions.apps import PlacedApp
from littoral.functions.client import FunctionTarget
from littoral.functions.runtime import FunctionRuntime
from littoral.gateway.routes import Route, RouteTable
from littoral.node.gateway_config import GatewayConfig, app_routes
from littoral.node.status import AppStatus

APPS = "apps"
COMPLETE = ".complete"
"""Written last into a revision's folder: without it the folder is what a crash left."""


class PlacedApps:
    """Implements `littoral.node.desired_state.Apps`."""

    def __init__(self, disk: LocalDisk, limits: Limits, runtime: FunctionRuntime) -> None:
        self.publish: Callable[[], None] = lambda: None
        """Tells the gateways that `config` has changed."""
        self._disk = disk
        self._limits = limits
        self._runtime = runtime
        self._apps: dict[str, tuple[App, PlacedApp]] = {}
        self._problems: dict[str, tuple[str, str]] = {}

    def apply(self, wanted: Mapping[str, Wanted]) -> None:
        """Run exactly these. An app that cannot run is reported in its status; if it ran before, it goes on so."""
        apps: dict[str, tuple[App, PlacedApp]] = {}
        self._problems.clear()
        for name, each in wanted.items():
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
        try:
            self.publish()
        except LittoralError as error:
            # The gateways go on with what they know; apps of which they know nothing say why.
            for name, each in wanted.items():
                self._problems.setdefault(name, (each.revision, str(error)))

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
            FunctionTarget(placed.name, self._runtime.sockets(placed), placed.wall_ms)
            for _, placed in self._apps.values()
        ]
        return GatewayConfig(list(_routes(resource for resource, _ in self._apps.values())), functions)

    def statuses(self) -> dict[str, AppStatus]:
        """Each app placed here."""
        statuses = {}
        for name, (_, placed) in self._apps.items():
            pool = self._runtime.pools.get(name)
            if pool is not None:
                counters = pool.counters
                statuses[name] = AppStatus(
                    placed.revision, pool.ready, counters.starts, counters.restarts, counters.last_failure
                )
        for name, (revision, problem) in self._problems.items():
            statuses[name] = AppStatus(revision, 0, 0, 0, problem)
        return statuses

    def _place(self, name: str, resource: App, wanted: Wanted) -> PlacedApp:
        directory = folder_of(name, wanted.revision)
        if self._disk.read(f"{directory}/{COMPLETE}") is None:
            for path, content in unpack_bundle(name, wanted.bundle or b"").items():
                self._disk.write(f"{directory}/{path}", content)
            self._disk.write(f"{directory}/{COMPLETE}", b"")
        where = str(self._disk.root / directory)
        return PlacedApp.from_spec(name, wanted.revision, where, resource.spec, self._limits)

    @staticmethod
    def _check_routes(apps: Iterable[App]) -> None:
        RouteTable(_routes(apps))


def folder_of(app: str, revision: str) -> str:
    """Where a revision's files are, below the data directory."""
    return f"{APPS}/{app}-{revision}"


def _routes(apps: Iterable[App]) -> Iterable[Route]:
    for app in apps:
        yield from app_routes(app.metadata.name, app.spec.routes)


def prune_revisions(root: Path, wanted: Mapping[str, Wanted]) -> None:
    """Delete the folders of revisions that are not wanted any more. When the hub starts: what may still run in them is
    loaded, and is about to be replaced."""
    keep = {folder_of(each.resource.metadata.name, each.revision) for each in wanted.values()}
    folder = root / APPS
    if folder.is_dir():
        for each in folder.iterdir():
            if f"{APPS}/{each.name}" not in keep:
                shutil.rmtree(each, ignore_errors=True)
