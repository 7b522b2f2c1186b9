"""littoral dev."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from littoral.cli.build import Environment, Folder
from littoral.cli.dev.lines import Lines, request_line
from littoral.cli.dev.node import DevNode, DoesNotStart
from littoral.cli.dev.remote import RemoteDesk, RemoteNode
from littoral.cli.local import runtime
from littoral.cli.output import console
from littoral.cli.targets import Elsewhere, with_node
from littoral.cli.targets import Target as ApiTarget
from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, LittoralError, PeerUnreachable, StartupError
from littoral.core.resources import App, Resource, Route
from littoral.core.resources.part import Placement, RouteMatch
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.tail import Tail
from littoral.drivers.transport import HttpTransport
from littoral.drivers.watching import saved
from littoral.node.gateway_watches import DIRECTORY, log_name
from littoral.projects.build import Built, build
from littoral.projects.dev_vars import dev_files, read_dev_vars
from littoral.projects.finding import Finding, refuse
from littoral.projects.ignored import IGNORE_FILE, Ignored
from littoral.projects.project import Project
from littoral.projects.remembered import RememberedPackages
from littoral.projects.remote import missing, remote_bindings, unheeded, with_remote, without_remote
from littoral.projects.target import Target, target_of

PORT = 8787
LOOK_S = 0.1
"""How often the log of requests is read."""
_UNPACKED = frozenset({IGNORE_FILE})


@with_node
def dev(
    elsewhere: Elsewhere,
    folder: Folder = Path(),
    environment: Environment = None,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65_535, help="Where the project answers.")] = PORT,
    remote: Annotated[
        bool,
        typer.Option(
            "--remote",
            help="Use another node's namespaces, queues, apps and datasets: those that the project marks as remote, or all.",
        ),
    ] = False,
    remote_only: Annotated[
        str | None,
        typer.Option(
            "--remote-only", metavar="NAME[,NAME]", help="Likewise, these bindings only, by their names in env."
        ),
    ] = None,
) -> None:
    """Run a project on this machine, and again whenever a file of it is saved, until Ctrl-C.

    It runs in a node of its own, as it would elsewhere, with its data in DIR/.littoral. What is saved and cannot run is told, and
    the last revision that could goes on. Variables come from .dev.vars or .env as well. All requests to the port are
    the app's, whatever routes it has elsewhere.

    With --remote, bindings are those of a node that runs: what the app writes there is real. Its code runs here all the same.
    """
    if not folder.is_dir():
        raise InvalidInput("develop", str(folder), "there is no such folder", "`littoral init` makes a project")
    names = _names(remote_only) if remote_only is not None else frozenset() if remote else None
    if names is None and elsewhere.option is not None:
        raise typer.BadParameter(f"{elsewhere.option} names the node whose bindings are used; give --remote with it")
    target = elsewhere.target() if names is not None else None
    check_port(port)
    runtime.run(_develop(Session(folder.resolve(), environment, port, SystemClock(), names), target))


class Session:
    """One project, from the first build to Ctrl-C."""

    def __init__(
        self,
        folder: Path,
        environment: str | None,
        port: int,
        clock: Clock,
        remote: Collection[str] | None = None,
    ) -> None:
        """remote: names of the bindings that are another node's; empty for those that the project says; None for none."""
        self.folder = folder
        self.port = port
        self._environment = environment
        self._clock = clock
        self._target: Target = target_of(None, None)
        self._packages = RememberedPackages()
        self._out = console()
        self._lines = Lines("", folder)
        self._running: Built | None = None
        self._asked = remote
        self.remote: RemoteDesk | None = None
        """Answers for the bindings that are another node's."""

    def say(self, text: str) -> None:
        """One line for whoever develops."""
        self._out.print(text, soft_wrap=True)

    def relay(self, line: str) -> None:
        """A line that the node wrote."""
        if (text := self._lines.shown(line)) is not None:
            self.say(text)

    async def take(self, node: DevNode, changed: list[str]) -> None:
        """Build what is there now, and run it. changed: which files were saved; none at the start."""
        began_s = self._clock.monotonic_s()
        try:
            built, project = await asyncio.to_thread(self._build)
            if self._running is not None and built.app.revision == self._running.app.revision:
                return
            self._lines.app = built.app.name
            if self.remote is not None:
                await self._admit(self.remote, project)
            await node.run(built)
        except LittoralError as error:
            if isinstance(error, DoesNotStart):
                # Or else it would be tried again and again.
                await (node.want(self._running) if self._running is not None else node.withdraw(built.app))
            stays = "nothing was reloaded; the last revision that could goes on"
            if self._running is None:
                stays = "nothing runs yet; it is tried again when something is saved"
            what = f"cannot {error.operation} {error.subject}: {error.cause}".rstrip()
            self.say(f"{what}\n{error.remedy}".rstrip() + f"\n({stays})")
            return
        took_ms = (self._clock.monotonic_s() - began_s) * 1000
        for warning in built.warnings if self._running is None or self._running.warnings != built.warnings else ():
            self.say(f"warning: {warning}")
        if self._running is None:
            self.say(f"{built.app.name} at http://127.0.0.1:{self.port} (Ctrl-C ends it)")
        else:
            # Editors write aside first; what they called that is of no interest.
            there = [each for each in changed if (self.folder / each).exists()] or changed
            self.say(f"reloaded in {took_ms:.0f} ms: {', '.join(there)}")
        self._running = built

    async def _admit(self, desk: RemoteDesk, project: Project) -> None:
        """Let the project use what it has as remote now. Raises InvalidResource where the other node has no such thing."""
        findings: list[Finding] = []
        fresh = [each for each in remote_bindings(project.app.spec) if (each.kind, each.name) not in desk.allowed]
        for each in fresh:
            try:
                await desk.node.find(project.app.metadata.name, each)
            except PeerUnreachable as error:
                # It is not known, then; a call will say so.
                self.say(f"warning: {error}")
            except LittoralError as error:
                findings.append(missing(project, each, f"{desk.node} says: {error.cause}"))
        if findings:
            raise refuse(str(project.folder), findings)
        for each in fresh:
            desk.allowed.add((each.kind, each.name))
            self.say(f"{each} is that of {desk.node}: what the app does there is real")

    def _build(self) -> tuple[Built, Project]:
        changed: list[Project] = []
        variables = read_dev_vars(self.folder, self._environment)
        today = datetime.fromtimestamp(self._clock.wall_ms() / 1000, tz=UTC).date()

        def change(project: Project) -> Project:
            changed.append(developed(project, variables, self._asked))
            return changed[0]

        built = build(self.folder, self._environment, self._target, today, packages=self._packages, change=change)
        return built, changed[0]

    def counts(self, path: str) -> bool:
        """Whether a file that was saved may be one of the project's."""
        if path in {*dev_files(self._environment), *_UNPACKED} or path.endswith(".lock"):
            return not path.endswith(".lock")
        ignored = Ignored()
        *folders, name = path.split("/")
        places = ("/".join(folders[: length + 1]) for length in range(len(folders)))
        has_environment = (self.folder / folders[0] / "pyvenv.cfg").exists() if folders else False
        return not any(ignored.folder(each, has_environment=has_environment) for each in places) and not ignored.file(
            name
        )


async def _develop(session: Session, target: ApiTarget | None) -> None:
    """target: the node whose bindings the project uses; None for none."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tasks = Tasks(lambda error: failed.set_exception(error) if not failed.done() else None)
    async with contextlib.AsyncExitStack() as stack:
        transport = HttpTransport()
        stack.push_async_callback(transport.aclose)
        if target is not None:
            other = RemoteNode(transport, target)
            await other.open()
            session.remote = RemoteDesk(other, tasks.failed)
        dev_node = DevNode(session.folder, session.port, transport, session.relay, session.remote)
        node = await stack.enter_async_context(dev_node)
        stack.push_async_callback(tasks.stop)
        await session.take(node, [])
        tasks.start(_follow_saves(session, node), "watch the project")
        tasks.start(_follow_requests(session, node), "show requests")
        await failed


async def _follow_saves(session: Session, node: DevNode) -> None:
    async for changed in saved(session.folder, session.counts):
        await session.take(node, changed)


async def _follow_requests(session: Session, node: DevNode) -> None:
    log = Tail(node.data_dir / DIRECTORY / log_name(0))
    while True:
        for text in filter(None, map(request_line, log.new_lines())):
            session.say(text)
        await asyncio.sleep(LOOK_S)


def developed(project: Project, variables: Mapping[str, str], remote: Collection[str] | None) -> Project:
    """The project as it runs on the developer's machine. remote: names of the bindings that are another node's; empty for those that
    it says; None for none. Raises InvalidResource."""
    others = [each for each in project.others if not _claims_all(each)]
    project = replace(project, app=at_home(project.app, variables), others=others)
    if remote is not None:
        return with_remote(project, remote)
    return without_remote(replace(project, warnings=project.warnings + unheeded(project)))


def at_home(app: App, variables: Mapping[str, str]) -> App:
    """The app as it runs on the developer's machine."""
    spec = replace(
        app.spec,
        # Only a node's own document trusts an app with the node's processes; and what is being written may hang, or end its process.
        isolation="process" if app.spec.isolation == "inline" else app.spec.isolation,
        routes=[RouteMatch(path="/*")],
        placement=Placement(),
        vars={**app.spec.vars, **variables},
    )
    return replace(app, spec=spec)


def _claims_all(resource: Resource) -> bool:
    """Whether it is a route for what the app itself answers here."""
    return isinstance(resource, Route) and any(each.path == "/*" and not each.host for each in resource.spec.match)


def _names(text: str) -> frozenset[str]:
    names = frozenset(filter(None, (each.strip() for each in text.split(","))))
    if not names:
        raise typer.BadParameter("--remote-only names no binding; say --remote for all")
    return names


def check_port(port: int) -> None:
    """Raises StartupError that says who has it: another one in silence would be a surprise each time."""
    try:
        listen_tcp(f"127.0.0.1:{port}").close()
    except StartupError as error:
        remedy = f"Stop it, or choose another one: --port {port + 1}"
        raise StartupError(error.operation, error.subject, error.cause, remedy) from None
