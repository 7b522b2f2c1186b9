"""The apps placed on a node: their code on disk, their workers, and the gateways' routes to them."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from littoral.core.errors import LittoralError, Unavailable
from littoral.core.limits import Limits
from littoral.core.resources import App
from littoral.core.tasks import Tasks
from littoral.drivers.disk import LocalDisk, storage_error
from littoral.fleet.bundles import unpack_bundle
from littoral.fleet.desired import Wanted
from littoral.functions.apps import PlacedApp
from littoral.functions.client import FunctionTarget
from littoral.functions.runtime import FunctionRuntime
from littoral.gateway.routes import Route, RouteTable
from littoral.node.gateway_config import GatewayConfig, app_routes
from littoral.node.layout import APPS
from littoral.node.status import AppStatus

COMPLETE = ".complete"
"""Written last into a revision's folder: without it the folder is what a crash left."""


class PlacedApps:
    """Implements `littoral.node.desired_state.Apps`."""

    def __init__(
        self, disk: LocalDisk, limits: Limits, runtime: FunctionRuntime, failed: Callable[[BaseException], None]
    ) -> None:
        """failed: receives errors that are faults of ours."""
        self.publish: Callable[[], None] = lambda: None
        """Tells the gateways that `config` has changed."""
        self._disk = disk
        self._limits = limits
        self._runtime = runtime
        self._apps: dict[str, tuple[App, PlacedApp]] = {}
        self._problems: dict[str, tuple[str, str]] = {}
        self._wanted: Mapping[str, Wanted] = {}
        self._tasks = Tasks(failed)
        self._unpacking: set[str] = set()
        """Folders that a thread is writing."""
        self._refused: dict[str, LittoralError] = {}
        """Folders that could not be written, until the next try."""

    def apply(self, wanted: Mapping[str, Wanted]) -> None:
        """Run exactly these. An app that cannot run is reported in its status; if it ran before, it goes on so, also
        while the code of its next revision is unpacked."""
        self._wanted = wanted
        self._refused.clear()
        self._apply()

    async def stop(self) -> None:
        """Unpack nothing more."""
        await self._tasks.stop()

    def _apply(self) -> None:
        wanted = self._wanted
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
        routes = list(_routes(resource for resource, _ in self._apps.values()))
        return GatewayConfig(routes, functions, self._limits.overrides)

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
        if (refused := self._refused.get(directory)) is not None:
            raise refused
        if directory in self._unpacking or self._disk.read(f"{directory}/{COMPLETE}") is None:
            if directory not in self._unpacking:
                self._unpacking.add(directory)
                self._tasks.start(self._unpack(name, directory, wanted.bundle or b""), f"unpack {directory}")
            raise Unavailable("run app", name, "its code is being unpacked")
        where = str(self._disk.root / directory)
        placed = PlacedApp.from_spec(name, wanted.revision, where, resource.spec, self._limits)
        # A name that makes its sockets' paths too long is this app's problem, and not the runtime's for all apps.
        self._runtime.sockets(placed)
        return placed

    async def _unpack(self, name: str, directory: str, bundle: bytes) -> None:
        try:
            # In a thread: decompressing and syncing many files would hold up the hub.
            await asyncio.to_thread(unpack, self._disk, name, directory, bundle)
        except LittoralError as error:
            self._refused[directory] = error
        finally:
            self._unpacking.discard(directory)
        self._apply()

    @staticmethod
    def _check_routes(apps: Iterable[App]) -> None:
        RouteTable(_routes(apps))


def folder_of(app: str, revision: str) -> str:
    """Where a revision's files are, below the data directory."""
    return f"{APPS}/{app}-{revision}"


def unpack(disk: LocalDisk, app: str, directory: str, bundle: bytes) -> None:
    """Write a bundle's files below `directory`; the mark that they are complete follows one sync of all of them.

    Raises: InvalidInput for a bundle that is damaged, StorageError.
    """
    folder = disk.root / directory
    try:
        for path, content in unpack_bundle(app, bundle).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        os.sync()
    except OSError as error:
        raise storage_error("unpack app into", str(folder), error) from error
    disk.write(f"{directory}/{COMPLETE}", b"")


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
