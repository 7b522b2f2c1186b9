"""One gateway process.

    python -m littoral.node.gateway_process --fd N --run-dir PATH --index I [--ready-fd N]

It serves HTTP on a listening socket that the supervisor bound and passed on, and goes on serving while the hub is
away: routes come from run/gateway.msgpack, functions are reached at their own sockets.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path

import msgspec
import uvloop

from littoral.core.garbage import keep_for_life
from littoral.core.limits import GATEWAY_CACHE_BYTES, GATEWAY_DRAIN_S, Limits
from littoral.core.resources.web import GatewayTls
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.origin_transport import HttpOriginTransport
from littoral.drivers.random import SystemRandom
from littoral.drivers.web_listener import WebListener
from littoral.functions.client import FunctionClients, FunctionRequest
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.gateway import Gateway
from littoral.gateway.routes import RouteTable
from littoral.node.cache_orders import CacheOrders
from littoral.node.control import ControlClient, GatewayReport
from littoral.node.gateway_certificates import GatewayCertificates
from littoral.node.gateway_config import read_config
from littoral.node.gateway_handlers import GatewayHandlers
from littoral.node.rollover import READY_OPTION

STOP_GRACE_S = 10.0
"""How long open requests may take when the process is told to end."""
LEAVE_IDLE_S = 5.0
"""For so long a process that is replaced leaves connections open on which nothing is asked."""


def log(text: str) -> None:
    """To standard error, which the supervisor collects."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


def log_fault(error: BaseException) -> None:
    """A fault of ours: the process goes on, and the log says what happened."""
    log("".join(traceback.format_exception(error)))


class GatewayProcess:
    """Wires the parts of one gateway."""

    def __init__(self, run_dir: Path, index: int, tls: GatewayTls | None) -> None:
        self._run_dir = run_dir
        self._index = index
        self._limits = Limits()
        self._tasks = Tasks(log_fault)
        clock, random = SystemClock(), SystemRandom()
        orders = CacheOrders(MemoryTier(GATEWAY_CACHE_BYTES.default), clock)
        self._control = ControlClient(run_dir, self._report, self._load, orders, self._tasks)
        self._functions = FunctionClients(self._control.kill_worker, self._tasks)
        self._gateway = Gateway(clock, random.token_bytes(5).hex(), log)
        self._transport = HttpOriginTransport(self._limits)
        meters = self._gateway.meters
        self._handlers = GatewayHandlers(self._transport, self._call, clock, random, self._tasks, meters, orders)
        self._listener: WebListener | None = None
        self._certificates = GatewayCertificates(tls) if tls is not None else None

    async def serve(self, descriptor: int, ready: int | None) -> None:
        """Serve until SIGTERM; or until SIGHUP, which says that another process has taken over, so that there is time. ready:
        a descriptor by which it is said that requests are served."""
        told = asyncio.Queue[int]()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(each, told.put_nowait, each)
        # Ctrl-C reaches the whole group; the supervisor decides in which order processes end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._load()
        await self._control.start()
        shown = None
        if self._certificates is not None:
            shown = self._certificates.shown
            self._tasks.start(self._certificates.keep(log), "certificates")
        self._listener = WebListener(descriptor, self._gateway.serve, self._limits, shown)
        await self._listener.start()
        keep_for_life()
        if ready is not None:
            os.write(ready, b"1")
            os.close(ready)
        if await told.get() == signal.SIGHUP:
            await self._leave(self._listener)
        await self._listener.stop(STOP_GRACE_S)
        self._functions.stop()
        await self._tasks.stop()
        await self._transport.aclose()

    async def _leave(self, listener: WebListener) -> None:
        """Finish what was begun: there is time, until SIGTERM."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as until:
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, until.reschedule, 0.0)
                await listener.stop(self._limits[GATEWAY_DRAIN_S], LEAVE_IDLE_S)

    def _load(self) -> None:
        config = read_config(self._run_dir)
        if config is None:
            return
        reached = self._limits.reached
        self._limits = Limits(config.limits)
        self._limits.reached.update(reached)
        self._functions.configure(config.functions, self._limits)
        self._transport.limits = self._limits
        if self._listener is not None:
            self._listener.configure(self._limits)
        handlers = self._handlers.configure(config, self._limits)
        self._gateway.configure(RouteTable(config.routes), handlers)

    def _report(self) -> GatewayReport:
        meters = self._gateway.meters
        meters.limits_reached = self._limits.reached
        self._handlers.look()
        tier = self._handlers.tier
        meters.cache_bytes, meters.cache_objects, meters.cache_evicted = tier.bytes, tier.count, tier.evicted
        meters.cache_purged = tier.purged
        return GatewayReport(self._index, os.getpid(), meters)

    async def _call(
        self, app: str, method: str, url: str, headers: list[tuple[str, str]], body: bytes, request_id: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        return await self._functions.call(app, FunctionRequest(method, url, headers, body, request_id))


def _tls(text: str) -> GatewayTls:
    return msgspec.json.decode(text, type=GatewayTls)


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="littoral.node.gateway_process")
    parser.add_argument("--fd", required=True, type=int, help="inherited listening socket")
    parser.add_argument("--run-dir", required=True, type=Path, help="the node's directory of sockets")
    parser.add_argument("--index", required=True, type=int, help="which of the node's gateways this is")
    parser.add_argument("--tls", type=_tls, help="what it shows to clients, as the node's document has it, in JSON")
    parser.add_argument(READY_OPTION, type=int, help="inherited pipe by which it says that it serves")
    arguments = parser.parse_args()
    process = GatewayProcess(arguments.run_dir.absolute(), arguments.index, arguments.tls)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.serve(arguments.fd, arguments.ready_fd))


if __name__ == "__main__":
    main()
