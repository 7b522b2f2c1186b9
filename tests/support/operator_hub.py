"""A real hub on a real disk, whose operator API is served on the loopback from a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import uvloop

from littoral.core.limits import Limits
from littoral.core.resources import Node
from littoral.core.resources.model import Listen, NodeSpec
from littoral.core.resources.part import Metadata
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.http_server import HttpServer
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.problem import unexpected_response
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.hub import open_hub
from littoral.node.layout import API_FILE, write_json
from littoral.node.seams import Seams
from littoral.node.status import AppStatus, GatewayStatus, RouteStatus
from littoral.store.writer import ThreadWriter

START_S = 20.0


class Facts:
    """What the process would know of itself."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    def memory_bytes(self) -> int:
        return 0

    def apps(self) -> Mapping[str, AppStatus]:
        return {}

    def routes(self) -> Mapping[str, RouteStatus]:
        return {}

    def gateway(self) -> GatewayStatus | None:
        return None

    def addresses(self) -> Mapping[str, str]:
        return self._addresses


@contextlib.contextmanager
def serving_root(data_dir: Path, name: str = "cloud", address: str = "127.0.0.1:0", **limits: int) -> Iterator[str]:
    """Run the root `name`; gives the URL of its operator API. `data_dir` is then what --data-dir takes. limits: those that
    are not the defaults."""
    with listen_tcp(address) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        (data_dir / "run").mkdir(parents=True, exist_ok=True)
        write_json(data_dir / API_FILE, {"api": address, "join": "127.0.0.1:1"})
        ready, stop = threading.Event(), threading.Event()
        failures: list[BaseException] = []

        def serve() -> None:
            try:
                uvloop.run(_serve(name, data_dir, listener.fileno(), address, limits, ready, stop))
            except BaseException as error:  # noqa: BLE001 -- raised again in the thread of the test
                failures.append(error)
                ready.set()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            assert ready.wait(START_S)
            assert not failures, failures
            yield f"http://{address}"
        finally:
            stop.set()
            thread.join(START_S)
        assert not failures, failures


async def _serve(
    name: str,
    data_dir: Path,
    fd: int,
    address: str,
    limits: Mapping[str, int],
    ready: threading.Event,
    stop: threading.Event,
) -> None:
    bounds = {key.replace("_", "-"): value for key, value in limits.items()}
    spec = NodeSpec(tier="cloud", listen=Listen(join="127.0.0.1:1"), status_interval="1s", limits=bounds)
    config = Node(api_version="littoral/v1", metadata=Metadata(name=name), spec=spec)
    seams = Seams(
        clock=SystemClock(),
        random=SystemRandom(),
        disk=LocalDisk(data_dir),
        writer=ThreadWriter,
        joining=lambda ca: HttpTransport(),
        peers=lambda identity: HttpTransport(),
        offload=asyncio.to_thread,
        fault=unexpected_response,
    )
    hub = await open_hub(config, seams, Facts({"api": address, "join": "127.0.0.1:1"}))
    hub.start(None)
    server = HttpServer(hub.operator_api.handle, fd, Limits())
    await server.start()
    ready.set()
    await asyncio.to_thread(stop.wait)
    await server.stop(grace_s=1.0)
    await hub.stop()
    assert not hub.failures, hub.failures
