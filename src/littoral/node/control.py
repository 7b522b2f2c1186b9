"""Gateways and hub talking over run/hub.sock.

gateway -> hub   GatewayReport (each second), KillWorker
hub -> gateway   ConfigChanged: read run/gateway.msgpack again
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.core.tasks import Tasks
from littoral.functions.connection import FrameConnection, check_socket_path
from littoral.gateway.meters import Meters
from littoral.gateway.routes import RouteTable
from littoral.node.gateway_config import GatewayConfig, write_config

SOCKET = "hub.sock"
REPORT_S = 1.0
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 1.0


class GatewayReport(msgspec.Struct, array_like=True, frozen=True, tag="report"):
    """What a gateway counted since it started."""

    index: int
    pid: int
    meters: Meters


class KillWorker(msgspec.Struct, array_like=True, frozen=True, tag="kill"):
    """A worker does not let go of a request that is past its deadline."""

    app: str
    pid: int


class ConfigChanged(msgspec.Struct, array_like=True, frozen=True, tag="config"):
    """There is another configuration."""


FromGateway = GatewayReport | KillWorker

_encode = msgspec.msgpack.Encoder().encode
_decode_from_gateway = msgspec.msgpack.Decoder(FromGateway).decode
_decode_from_hub = msgspec.msgpack.Decoder(ConfigChanged).decode


class ControlServer:
    """The hub's end."""

    def __init__(
        self,
        run_dir: Path,
        on_kill_worker: Callable[[str, int], None],
        on_metrics: Callable[[GatewayReport], None],
        current_config: Callable[[], GatewayConfig],
    ) -> None:
        """on_kill_worker: app and process id. on_metrics: totals of one gateway process; they begin at zero when `pid`
        changes."""
        self._run_dir = run_dir
        self._on_kill_worker = on_kill_worker
        self._on_metrics = on_metrics
        self._current_config = current_config
        self._gateways: set[_GatewayConnection] = set()
        self._server: asyncio.AbstractServer | None = None

    @property
    def gateways(self) -> int:
        """Gateways that are connected."""
        return len(self._gateways)

    async def start(self) -> None:
        """Write the configuration, and listen. Raises StartupError where the socket's path is too long."""
        path = check_socket_path(self._run_dir / SOCKET)
        self.publish()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _GatewayConnection(self), path)
        os.chmod(path, 0o600)

    def publish(self) -> None:
        """Write the current configuration, and tell every gateway. Raises Conflict where two apps claim one route;
        gateways then go on with what they have."""
        config = self._current_config()
        RouteTable(config.routes)
        write_config(self._run_dir, config)
        for gateway in self._gateways:
            gateway.send(_encode(ConfigChanged()))

    async def stop(self) -> None:
        """Close; gateways go on with what they know, and connect again."""
        if self._server is not None:
            self._server.close()
        for gateway in list(self._gateways):
            gateway.close()

    def opened(self, gateway: "_GatewayConnection") -> None:
        """A gateway connected. It may have read the file before it was written last."""
        self._gateways.add(gateway)
        gateway.send(_encode(ConfigChanged()))

    def lost(self, gateway: "_GatewayConnection") -> None:
        """A gateway is gone."""
        self._gateways.discard(gateway)

    def received(self, message: FromGateway) -> None:
        """A gateway says something."""
        if isinstance(message, KillWorker):
            self._on_kill_worker(message.app, message.pid)
        else:
            self._on_metrics(message)


class _GatewayConnection(FrameConnection):
    def __init__(self, server: ControlServer) -> None:
        super().__init__(CONTROL_FRAME_BYTES.default)
        self._server = server

    def opened(self) -> None:
        self._server.opened(self)

    def received(self, body: bytes) -> None:
        self._server.received(_decode_from_gateway(body))

    def lost(self) -> None:
        self._server.lost(self)


class ControlClient:
    """A gateway's end: reports each second, and connects again whenever the hub is back."""

    def __init__(
        self, run_dir: Path, report: Callable[[], GatewayReport], on_config: Callable[[], None], tasks: Tasks
    ) -> None:
        self._path = check_socket_path(run_dir / SOCKET)
        self._report = report
        self._on_config = on_config
        self._tasks = tasks
        self._connection: _HubConnection | None = None

    def start(self) -> None:
        """Connect, and begin to report."""
        self._tasks.start(self._keep_reporting(), "report to hub")

    def kill_worker(self, app: str, pid: int) -> None:
        """Ask for a worker to be killed. While the hub is away nobody can; the next request past its deadline asks
        again."""
        if self._connection is not None:
            self._connection.send(_encode(KillWorker(app, pid)))

    def config_changed(self) -> None:
        """The hub says so."""
        self._on_config()

    def lost(self) -> None:
        """The hub is gone."""
        self._connection = None

    async def _keep_reporting(self) -> None:
        delay_s = FIRST_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            if self._connection is not None:
                self._connection.send(_encode(self._report()))
                await asyncio.sleep(REPORT_S)
                continue
            try:
                _, self._connection = await loop.create_unix_connection(lambda: _HubConnection(self), self._path)
                delay_s = FIRST_RETRY_S
            except OSError:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)


class _HubConnection(FrameConnection):
    def __init__(self, client: ControlClient) -> None:
        super().__init__(CONTROL_FRAME_BYTES.default)
        self._client = client

    def received(self, body: bytes) -> None:
        _decode_from_hub(body)
        self._client.config_changed()

    def lost(self) -> None:
        self._client.lost()
