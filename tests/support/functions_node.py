"""A node reduced to its functions: real zygote, workers and gateways; the test plays hub and supervisor."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from littoral.core.kv import KvDetails, KvEntry, KvPage, KvValue
from littoral.core.limits import Limits
from littoral.core.resources.access_log import AccessLog
from littoral.core.resources.web import GatewayTls, OriginSpec, RouteSpec
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.functions.apps import PlacedApp
from littoral.functions.calls.client import FunctionTarget
from littoral.functions.hub.bindings import BindingServer, Credentials
from littoral.functions.hub.cache_bindings import CacheBindings
from littoral.functions.hub.kv_bindings import KvBindings
from littoral.functions.hub.runtime import FunctionRuntime
from littoral.functions.places import BINDINGS
from littoral.gateway.routes import Route
from littoral.node.app_purges import AppPurges
from littoral.node.control_messages import GatewayReport
from littoral.node.control_server import ControlServer
from littoral.node.egress_meters import EgressReport
from littoral.node.event_parts import EventParts
from littoral.node.gateway_config import GatewayConfig, route_matches
from littoral.node.purge_desk import PurgeDesk
from tests.support.stores import local_store

DEADLINE_S = 60.0


class MemoryKeyValue:
    """KeyValue in a dict."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], bytes] = {}
        self.details: dict[tuple[str, str], tuple[int, str]] = {}

    async def get(self, namespace: str, key: str) -> bytes | None:
        return self.values.get((namespace, key))

    async def read(self, namespace: str, key: str, cache_ttl_s: int | None = None) -> KvValue | None:
        value = await self.get(namespace, key)
        return None if value is None else KvValue(value, *self.details.get((namespace, key), (0, "")))

    async def put(self, namespace: str, key: str, value: bytes, *, expires_s: int = 0, metadata: str = "") -> KvEntry:
        self.values[namespace, key] = value
        self.details[namespace, key] = expires_s, metadata
        return KvEntry(key, value, 1, "test", expires_s, metadata)

    async def delete(self, namespace: str, key: str) -> KvEntry:
        self.values.pop((namespace, key), None)
        return KvEntry(key, None, 1, "test")

    async def list(self, namespace: str, prefix: str = "", cursor: str | None = None, limit: int = 1000) -> KvPage:
        keys = sorted(k for n, k in self.values if n == namespace and k.startswith(prefix) and k > (cursor or ""))
        found = {key: KvDetails(*self.details.get((namespace, key), (0, ""))) for key in keys[:limit]}
        details = {key: each for key, each in found.items() if each != KvDetails()}
        return KvPage(keys[:limit], keys[limit - 1] if len(keys) > limit else None, details)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    port: int, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """One request on a connection of its own."""
    fields = {"host": "edge.test", "connection": "close", **(headers or {})}
    if body is not None:
        fields.setdefault("content-length", str(len(body)))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + b"\r\n" + (body or b""))
        async with asyncio.timeout(DEADLINE_S):
            raw = await reader.readuntil(b"\r\n\r\n")
            lines = raw.decode().split("\r\n")
            answered = dict(_field(line) for line in lines[1:] if line)
            rest = b"" if method == "HEAD" else await reader.read()
            if answered.get("transfer-encoding") == "chunked":
                rest = _joined(rest)
        return Reply(int(lines[0].split()[1]), answered, rest)
    finally:
        writer.close()


def _joined(chunks: bytes) -> bytes:
    """The body that came in chunks. Raises ValueError where it breaks off."""
    pieces: list[bytes] = []
    while True:
        size, _, chunks = chunks.partition(b"\r\n")
        if not (length := int(size, 16)):
            return b"".join(pieces)
        pieces.append(chunks[:length])
        chunks = chunks[length + 2 :]


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value


class MovedClock(SystemClock):
    """The wall clock, as far ahead as a test wants it."""

    ahead_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms


@dataclass
class FunctionNode:
    """Start with `async with`; everything is killed at the end."""

    overrides: dict[str, int] = field(default_factory=dict)
    gateways: int = 1
    kv: MemoryKeyValue = field(default_factory=MemoryKeyValue)
    tls: GatewayTls | None = None
    access_log: AccessLog | None = None
    country_header: str = ""
    geo_databases: list[str] = field(default_factory=list)
    functions_as_root: bool = True
    """False: where the tests run as root, the zygote does not. It is put into a user namespace in which it is nobody."""

    def __post_init__(self) -> None:
        # Short: the kernel bounds the path of a Unix socket at 107 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="lit"))
        self.run = self.home / "run"
        self.run.mkdir(mode=0o700)
        self.log_path = self.home / "log"
        self.apps: dict[str, PlacedApp] = {}
        self.routes: list[Route] = []
        self.web: dict[str, RouteSpec] = {}
        self.origins: dict[str, OriginSpec] = {}
        self.reports: dict[int, GatewayReport] = {}
        self.faults: list[BaseException] = []
        self.egress: EgressReport | None = None
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.tasks = Tasks(self.faults.append)
        self.limits = Limits(self.overrides)
        self.stack = contextlib.AsyncExitStack()
        self.key = b"k" * 32
        self.clock = MovedClock()

    async def __aenter__(self) -> Self:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.store = await self.stack.enter_async_context(local_store(self.home / "store", "edge"))
        await self.start_hub()
        self.start_zygote()
        for index in range(self.gateways):
            self.start_gateway(index)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_hub()
        await self.stack.aclose()
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.listener.close()
        log = self.log()
        shutil.rmtree(self.home)
        assert not self.faults, self.faults
        assert "fault in the gateway" not in log, log

    # --- what the hub does

    async def start_hub(self) -> None:
        self.runtime = FunctionRuntime(self.run, self.limits, Credentials(self.key), self.faults.append)
        self.runtime.node = "edge"
        self.events = EventParts(self.store, self.clock, SystemRandom(), self.limits, self.runtime, self.faults.append)
        self.purges = PurgeDesk(self.store, SystemClock())
        self.bindings = BindingServer(
            self.run / BINDINGS,
            {
                "kv": KvBindings(self.kv, self.runtime.namespaces, SystemClock(), self.limits),
                "cache": CacheBindings(self.clock, self.limits, AppPurges(self.purges, self.clock, self.limits)),
                **self.events.bindings,
            },
            Credentials(self.key),
            self.limits,
            self.faults.append,
        )
        self.control = ControlServer(
            self.run, self.runtime.kill, self._report, self._config, self.purges.since, self.runtime
        )
        self.runtime.listeners.append(self.control.tell_workers)
        self.control.on_egress = self._take_egress
        self.purges.attach(self.control)
        await self.bindings.start()
        await self.control.start()
        self.apply()
        self.runtime.start()

    def apply(self) -> None:
        """Run `apps`."""
        self.runtime.apply(self.apps.values())
        self.events.apply(self.apps.values(), self.apps.keys())

    async def stop_hub(self) -> None:
        await self.events.stop()
        await self.runtime.stop()
        await self.bindings.stop()
        await self.control.stop()

    def _report(self, report: GatewayReport) -> None:
        self.reports[report.index] = report

    def _config(self) -> GatewayConfig:
        targets = [
            FunctionTarget(
                app.name,
                self.runtime.sockets(app),
                app.wall_ms,
                app.served_assets,
                app.revision if app.inline else "",
            )
            for app in self.apps.values()
        ]
        return GatewayConfig(
            self.routes,
            targets,
            self.overrides,
            self.web,
            self.origins,
            access_log=self.access_log,
            country_header=self.country_header,
            geo_databases=self.geo_databases,
        )

    def route(self, name: str, spec: RouteSpec, origin: OriginSpec | None = None) -> None:
        """Have the gateways serve a route that has a document of its own."""
        self.web[name] = spec
        if origin is not None:
            assert spec.origin is not None
            self.origins[spec.origin] = origin
        self.routes = [route for route in self.routes if route.to != f"route/{name}"]
        self.routes += route_matches(name, spec.match)
        self.control.publish()

    async def deploy(
        self, name: str, code: str, *, routes: Iterable[Route] = (), revision: str = "1", **settings: Any
    ) -> None:
        """Place an app and wait until its workers run this revision."""
        await self.place(name, code, routes=routes, revision=revision, **settings)
        least = max(1, self.apps[name].min_workers)
        await self.until(lambda: self.pool(name).ready >= least and self.pool(name).settled)

    async def place(
        self, name: str, code: str, *, routes: Iterable[Route] = (), revision: str = "1", **settings: Any
    ) -> None:
        self.prepare(name, code, routes=routes, revision=revision, **settings)
        self.publish()

    def prepare(
        self, name: str, code: str, *, routes: Iterable[Route] = (), revision: str = "1", **settings: Any
    ) -> None:
        """Have an app that `publish` places."""
        directory = self.home / "apps" / f"{name}-{revision}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "main.py").write_text(textwrap.dedent(code))
        self.apps[name] = replace_app(PlacedApp(name, revision, str(directory), "main.py"), settings)
        self.routes = [route for route in self.routes if route.to != f"app/{name}"]
        self.routes += list(routes) or [Route(f"app/{name}", f"/{name}*")]

    def publish(self) -> None:
        """Place all apps there are."""
        self.apply()
        self.control.publish()

    def pool(self, name: str) -> Any:
        return self.runtime.pools[name]

    # --- what the supervisor does

    def _spawn(
        self,
        name: str,
        module: str,
        *arguments: str,
        fds: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        variables = {**os.environ, **(environment or {})}
        with self.log_path.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*before, sys.executable, "-m", module, *arguments], stderr=log, stdout=log, pass_fds=fds, env=variables
            )

    def start_zygote(self) -> None:
        before = () if self.functions_as_root else ("unshare", "--user", "--")
        self._spawn(
            "zygote", "littoral.functions.zygote.zygote", "--socket", str(self.run / "zygote.sock"), before=before
        )

    async def start_egress(self, **environment: str) -> None:
        """What makes requests for functions. environment: variables of it."""
        self._spawn("egress", "littoral.node.egress_process", "--run-dir", str(self.run), environment=environment)
        await self.until(lambda: self.egress is not None and self.egress.pid == self.processes["egress"].pid)

    def start_gateway(self, index: int = 0) -> None:
        fd = self.listener.fileno()
        arguments = ["--fd", str(fd), "--run-dir", str(self.run), "--index", str(index)]
        arguments += ["--cache-dir", str(self.home / "cache")]
        if self.tls is not None:
            arguments += ["--tls", msgspec.json.encode(self.tls).decode()]
        self._spawn(f"gateway-{index}", "littoral.node.gateway_process", *arguments, fds=(fd,))

    def egress_report(self) -> EgressReport:
        """What it counted last."""
        assert self.egress is not None
        return self.egress

    def _take_egress(self, report: EgressReport) -> None:
        self.egress = report

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    # --- what the test looks at

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    async def until(self, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        """Wait until the condition holds; fail with the log if it does not in time."""
        try:
            async with asyncio.timeout(deadline_s):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"did not come true within {deadline_s} s; log:\n{self.log()}") from None

    async def get(self, path: str, **options: Any) -> Reply:
        return await request(self.port, path, **options)


def replace_app(app: PlacedApp, settings: Mapping[str, Any]) -> PlacedApp:
    return msgspec.structs.replace(app, **settings)


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill9(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
