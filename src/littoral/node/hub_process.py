"""The hub's process: real seams, and the hub's handlers on sockets that the supervisor bound.

python -m littoral.node.hub_process --data-dir PATH --fd api=5 --fd mqtt=6 ...
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from littoral.core.backoff import Backoff
from littoral.core.errors import (
    Conflict,
    Forbidden,
    IncompatibleStore,
    InvalidInput,
    LittoralError,
    NotFound,
    PeerUnreachable,
    StartupError,
    Unauthenticated,
)
from littoral.core.garbage import keep_for_life
from littoral.core.http import Handler
from littoral.core.limits import API_BODY_BYTES, JOIN_ANSWER_BYTES, JOIN_BODY_BYTES, RETRY_DELAY_MS, Limits
from littoral.core.resources import Node
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk, storage_error
from littoral.drivers.http_server import HttpServer
from littoral.drivers.problem import unexpected_response
from littoral.drivers.process import (
    ask_supervisor_for_inference,
    ask_supervisor_to_reload,
    leave,
    proportional_bytes,
    resident_bytes,
)
from littoral.drivers.random import SystemRandom
from littoral.drivers.tls_files import TlsFiles
from littoral.drivers.transport import HttpTransport
from littoral.drivers.transport import Identity as TransportIdentity
from littoral.drivers.webhooks import HttpWebhooks
from littoral.functions.hub.bindings import BindingHandler, BindingServer, Credentials
from littoral.functions.hub.cache_bindings import CacheBindings
from littoral.functions.hub.kv_bindings import KvBindings
from littoral.functions.hub.runtime import FunctionRuntime
from littoral.functions.places import BINDINGS
from littoral.functions.worker.exceptions import KIND as EXCEPTION
from littoral.node.app_figures import FiguresDesk
from littoral.node.app_purges import AppPurges
from littoral.node.apps import PlacedApps
from littoral.node.code_place import code_place, remove_plain_code
from littoral.node.control_messages import GatewayReport
from littoral.node.control_server import ControlServer
from littoral.node.document_parts import DocumentParts
from littoral.node.egress_meters import egress_metrics
from littoral.node.event_parts import EventParts
from littoral.node.gateway_config import GatewayConfig
from littoral.node.gateway_metrics import GatewayMetrics
from littoral.node.gateway_watches import DIRECTORY, log_name
from littoral.node.handover import OPTION
from littoral.node.hub import Hub, open_hub
from littoral.node.inference_meters import inference_metrics
from littoral.node.layout import (
    EXIT_STARTUP,
    JOIN_TOKEN_VARIABLE,
    RUN,
    SHOW_ERRORS_VARIABLE,
    read_addresses,
    read_node_file,
)
from littoral.node.placed_routes import PlacedRoutes
from littoral.node.relay_desk import RelayDesk
from littoral.node.remote_bindings import remote_bindings
from littoral.node.request_lines import RequestLines
from littoral.node.route_api import RouteApi
from littoral.node.route_desk import RouteDesk
from littoral.node.seams import Seams
from littoral.node.status import AppStatus, GatewayStatus, RouteStatus
from littoral.node.store_key import read_key, take_variable
from littoral.node.trace_desk import TraceDesk
from littoral.security.identity import CA_PATH, CERTIFICATE_PATH, KEY_PATH, Identity
from littoral.security.store_key import StoreKey
from littoral.store.writer import ThreadWriter

_log = logging.getLogger("littoral.hub")
BINDINGS_KEY = "identity/bindings.key"
"""Workers outlive the hub, and the next one must know them again."""
AFFINITY_KEY = "identity/affinity.key"
"""Clients keep the marks that were made with it, and come back with them after a restart."""
KEY_BYTES = 32
_HOPELESS = (StartupError, IncompatibleStore, InvalidInput)
"""What starting again cannot mend."""
_REFUSALS = (Unauthenticated, Forbidden, Conflict, NotFound)
"""What a parent says to a node that wants to join. To one that has joined it may say so today (clocks that differ, a
restored store) and let it in tomorrow."""


class HubProcess:
    """Wires one hub to the machine it runs on."""

    def __init__(
        self,
        data_dir: Path,
        descriptors: Mapping[str, int],
        document: Path | None = None,
        seen: str = "",
        handover: int | None = None,
    ) -> None:
        """document: what the node was started with, which is looked at again; None if it was no file. seen: see ChangedFile.
        handover: see DocumentParts."""
        self._handover = handover
        self._parts: DocumentParts | None = None
        self._document_seen = seen
        self._config: Node = read_node_file(data_dir)
        self._store_key = self._read_store_key()
        self._addresses = read_addresses(data_dir)
        self._document = document
        self._disk = LocalDisk(data_dir)
        self._run_dir = data_dir / RUN
        self._descriptors = descriptors
        self._limits = Limits(self._config.spec.limits)
        self._transport: HttpTransport | None = None
        self._servers: dict[str, HttpServer] = {}
        self._apps: PlacedApps | None = None
        self._routes: PlacedRoutes | None = None
        self._gateway_metrics = GatewayMetrics()
        self._tasks = Tasks(_log_fault)

    # ProcessFacts

    def memory_bytes(self) -> int:
        """See ProcessFacts."""
        return resident_bytes()

    def apps(self) -> Mapping[str, AppStatus]:
        """See ProcessFacts."""
        return self._apps.statuses() if self._apps else {}

    def routes(self) -> Mapping[str, RouteStatus]:
        """See ProcessFacts."""
        return self._routes.statuses() if self._routes else {}

    def gateway(self) -> GatewayStatus | None:
        """See ProcessFacts."""
        return self._gateway_metrics.status()

    def addresses(self) -> Mapping[str, str]:
        """See ProcessFacts."""
        return self._addresses if self._parts is None else self._parts.addresses(self._addresses)

    # Life

    async def run(self) -> int:
        """Serve until SIGTERM; the process's exit status."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        # Ctrl-C reaches the whole group; the supervisor decides in which order processes end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        async with contextlib.AsyncExitStack() as stack:
            functions = self._make_functions() if "gateway" in self._addresses else None
            hub = await self._start_hub(stopped)
            if hub is None:
                return 0
            stack.push_async_callback(hub.stop)
            if functions is not None:
                await self._start_functions(hub, functions, stack)
            hub.start(self._apps, self._routes)
            self._parts = DocumentParts(hub, self._disk, self._tasks, self._descriptors, self._handover)
            stack.push_async_callback(self._parts.stop)
            self._parts.follow(self._document, self._document_seen)
            await self._listen(hub, stack)
            await self._parts.listen()
            keep_for_life()
            _log.info("%s is up: %s", hub.name, ", ".join(f"{name} {at}" for name, at in self._addresses.items()))
            await _first(stopped, hub.failed)
            return 1 if hub.failures else 0

    async def _start_hub(self, stopped: asyncio.Event) -> Hub | None:
        """The hub, as soon as the parent lets it enrol where it has to; None if the process is to end before."""
        token = os.environ.pop(JOIN_TOKEN_VARIABLE, None)
        backoff = Backoff(SystemRandom(), self._limits[RETRY_DELAY_MS])
        while not stopped.is_set():
            try:
                return await open_hub(self._config, self._seams(), self, token)
            except PeerUnreachable as error:
                _log.warning("%s: %s", self._config.metadata.name, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_delay_s()):
                    await stopped.wait()
        return None

    def _read_store_key(self) -> StoreKey | None:
        """Raises StartupError."""
        encryption = self._config.spec.encryption
        key = read_key(encryption, os.environ)
        take_variable(encryption, os.environ)
        return key

    def _seams(self) -> Seams:
        spill = self._config.spec.storage.spill
        return Seams(
            clock=SystemClock(),
            random=SystemRandom(),
            disk=self._disk,
            writer=ThreadWriter,
            joining=lambda ca: HttpTransport(
                TransportIdentity(ca=ca or b""),
                trust_anyone=ca is None,
                limits=self._limits,
                answer_limit=JOIN_ANSWER_BYTES,
            ),
            peers=self._peer_transport,
            webhooks=HttpWebhooks(self._limits),
            reload=ask_supervisor_to_reload,
            offload=asyncio.to_thread,
            fault=unexpected_response,
            store_key=self._store_key,
            spill=None if spill is None else LocalDisk(spill.directory, create=False),
            renewed=self._renewed,
        )

    def _peer_transport(self, identity: Identity) -> HttpTransport:
        shown = TransportIdentity(identity.ca_pem, identity.certificate_pem, identity.key.pem)
        if self._transport is None:
            self._transport = HttpTransport(shown, limits=self._limits)
        else:
            self._transport.reload(shown)
        return self._transport

    def _renewed(self, identity: Identity) -> None:
        if self._transport is not None:
            self._peer_transport(identity)
        for name in ("peer", "join"):
            if name in self._servers:
                self._tasks.start(self._servers[name].reload(self._tls(mutual=name == "peer")), f"reload {name}")

    # Parts

    def _kept_key(self, path: str) -> bytes:
        """Made once, and kept on disk."""
        key = self._disk.read(path)
        if key is None:
            key = SystemRandom().token_bytes(KEY_BYTES)
            self._disk.write(path, key, secret=True)
        return key

    def _make_functions(self) -> "_Functions":
        credentials = Credentials(self._kept_key(BINDINGS_KEY))
        runtime = FunctionRuntime(self._run_dir, self._limits, credentials, _log_fault)
        runtime.node = self._config.metadata.name
        encrypted = self._store_key is not None
        code = LocalDisk(code_place(self._disk.root, os.environ, encrypted=encrypted))
        if encrypted:
            remove_plain_code(self._disk.root)
        self._apps = PlacedApps(code, self._limits, runtime, _log_fault, self._config.spec.inline_apps)
        runtime.left = self._apps.refresh
        self._routes = PlacedRoutes(
            self._apps.config, self._config.spec.static_roots, self._config.metadata.labels.get("region", "")
        )
        return _Functions(credentials, runtime, self._apps)

    async def _start_functions(self, hub: Hub, functions: "_Functions", stack: contextlib.AsyncExitStack) -> None:
        runtime, apps = functions.runtime, functions.apps
        apps.code.source = hub.code
        runtime.log = hub.app_logs.note
        requests = RequestLines(self._access_logs(), hub.app_logs.note_request)
        hub.app_logs.asked = requests.ask
        self._tasks.start(requests.run(), "request lines")
        runtime.shows_errors = bool(os.environ.get(SHOW_ERRORS_VARIABLE))
        apps.secrets = hub.secrets.apps
        hub.secrets.apps.arrived = apps.refresh
        metrics = self._gateway_metrics
        hub.metrics.add(metrics.families)
        egress = egress_metrics()
        hub.metrics.add(egress.families)
        inference = inference_metrics()
        hub.metrics.add(inference.families)
        runtime.inference.start = ask_supervisor_for_inference
        events = EventParts(hub.store, hub.seams.clock, hub.seams.random, self._limits, runtime, _log_fault)
        apps.placed = events.apply
        hub.operator_api.events = events.api
        hub.operator_api.bindings.add(events.performers)
        hub.metrics.add(events.metrics)
        hub.app_api.caller = events.calls
        if hub.authenticator is not None:
            hub.authenticator.call = events.calls.ask
            events.always = frozenset((hub.authenticator.app,))
        figures = self._figures_desk(hub, runtime, events)
        hub.app_api.figures = figures
        hub.metrics.add(figures.families)

        def take_report(report: GatewayReport) -> None:
            metrics.take(report)
            figures.take(report)
            apps.take_inline(report.index, report.inline)

        clock = hub.seams.clock
        handlers: Mapping[str, BindingHandler] = {
            "kv": KvBindings(hub.keyvalue, runtime.namespaces, clock, self._limits),
            EXCEPTION: hub.app_api.exceptions,
            "cache": CacheBindings(clock, self._limits, AppPurges(hub.purges, clock, self._limits)),
            "ai": runtime.inference,
            **events.bindings,
        }
        if (remote := remote_bindings(self._run_dir, runtime.remote, events.services, self._limits)) is not None:
            stack.callback(remote.close)
            handlers = remote.over(handlers)
        bindings = BindingServer(self._run_dir / BINDINGS, handlers, functions.credentials, self._limits, _log_fault)
        relays = self._relay_desk(hub)
        config = partial(self._gateway_config, self._kept_key(AFFINITY_KEY), relays)
        control = ControlServer(self._run_dir, runtime.kill, take_report, config, hub.purges.since, runtime)
        runtime.listeners.append(control.tell_workers)
        control.on_egress = egress.take
        control.on_inference = inference.take
        hub.purges.attach(control)
        assert self._routes is not None
        routes = RouteDesk(partial(self._shown_config, relays), self._routes.statuses)
        hub.operator_api.routes = RouteApi(routes, TraceDesk(control, routes))
        with _sockets_in(self._run_dir):
            await bindings.start()
        stack.push_async_callback(bindings.stop)
        runtime.start()
        stack.push_async_callback(runtime.stop)
        stack.push_async_callback(apps.stop)
        stack.push_async_callback(events.stop)
        with _sockets_in(self._run_dir):
            await control.start()
        stack.push_async_callback(control.stop)
        apps.publish = self._routes.publish = control.publish
        hub.subtree.relay_changed = hub.registry.children_changed = partial(_tell_of_neighbours, control, hub)

    def _figures_desk(self, hub: Hub, runtime: FunctionRuntime, events: EventParts) -> FiguresDesk:
        by_hub, seams = events.calls.meters, hub.seams
        return FiguresDesk(lambda: runtime.pools, by_hub, seams.clock, seams.offload, proportional_bytes, self._tasks)

    def _access_logs(self) -> list[Path]:
        """The files that the gateways write."""
        log = self._config.spec.access_log
        directory = (
            Path(log.directory) if log is not None and log.directory is not None else self._disk.root / DIRECTORY
        )
        return [directory / log_name(index) for index in range(self._config.spec.gateways)]

    def _relay_desk(self, hub: Hub) -> RelayDesk:
        children = hub.registry.admitted if "relay" in self._addresses else list
        parent, place = hub.identity.facts.parent, self._config.spec.parent
        return RelayDesk(hub.name, self._disk.root, parent, place, lambda: hub.subtree.relay_port, children)

    def _gateway_config(self, affinity_key: bytes, relays: RelayDesk) -> GatewayConfig:
        """What gateways are told, and nobody else: the key is in nothing that is shown."""
        spec = self._config.spec
        return msgspec.structs.replace(
            self._shown_config(relays),
            affinity_key=affinity_key,
            access_log=spec.access_log,
            country_header=spec.country_header.lower(),
            geo_databases=spec.geo_databases,
        )

    def _shown_config(self, relays: RelayDesk) -> GatewayConfig:
        """What operators may see of that."""
        assert self._routes is not None
        return relays.complete(self._routes.config())

    async def _listen(self, hub: Hub, stack: contextlib.AsyncExitStack) -> None:
        handlers: dict[str, tuple[Handler, TlsFiles | None]] = {"api": (hub.operator_api.handle, None)}
        if "peer" in self._descriptors:
            handlers["peer"] = (hub.answer_peer, self._tls(mutual=True))
        if "join" in self._descriptors:
            handlers["join"] = (hub.answer_join, self._tls(mutual=False))
        if "streams" in self._descriptors:
            handlers["streams"] = (hub.public_streams.handle, None)
        for name, (handler, tls) in handlers.items():
            most = JOIN_BODY_BYTES if name == "join" else API_BODY_BYTES
            server = HttpServer(handler, self._descriptors[name], self._limits, tls, body_limit=most)
            self._servers[name] = server
            await server.start()
            stack.push_async_callback(server.stop)

    def _tls(self, *, mutual: bool) -> TlsFiles:
        root = self._disk.root
        return TlsFiles(root / CERTIFICATE_PATH, root / KEY_PATH, root / CA_PATH if mutual else None)


class _Functions:
    """What runs functions, made before the hub and started after it."""

    def __init__(self, credentials: Credentials, runtime: FunctionRuntime, apps: PlacedApps) -> None:
        self.credentials = credentials
        self.runtime = runtime
        self.apps = apps


def _tell_of_neighbours(control: ControlServer, hub: Hub) -> None:
    """The gateways are to ask another parent, or to let other children in."""
    try:
        control.publish()
    except LittoralError as error:
        hub.warn(f"{error}. The gateways go on with the nodes above and below that they know")


@contextlib.contextmanager
def _sockets_in(directory: Path) -> Iterator[None]:
    """Say in words what keeps sockets from being made there: a disk that is full or takes no writes, most of the time.
    Raises StorageError."""
    try:
        yield
    except OSError as error:
        raise storage_error("make sockets in", str(directory), error) from error


async def _first(*events: asyncio.Event) -> None:
    """Return when one of them is set."""
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _log_fault(error: BaseException) -> None:
    _log.error("a fault of Littoral's", exc_info=error)


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="littoral.node.hub_process")
    parser.add_argument("--data-dir", required=True, type=Path)
    parser.add_argument("--fd", action="append", default=[], metavar="NAME=N", help="inherited listening sockets")
    parser.add_argument("--document", type=Path, help="the file that the node was started with")
    parser.add_argument("--document-seen", default="", help="what was known of it then")
    parser.add_argument(OPTION, dest="handover", type=int, help="by which the supervisor is given sockets")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    descriptors = {name: int(number) for name, _, number in (each.partition("=") for each in arguments.fd)}
    try:
        document = arguments.document, arguments.document_seen, arguments.handover
        process = HubProcess(arguments.data_dir.absolute(), descriptors, *document)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(process.run())
    except LittoralError as error:
        sys.stderr.write(f"error: {error}\n")
        joined = (arguments.data_dir / CERTIFICATE_PATH).exists()
        hopeless = isinstance(error, _HOPELESS) or (isinstance(error, _REFUSALS) and not joined)
        return EXIT_STARTUP if hopeless else 1


if __name__ == "__main__":
    leave(main())
