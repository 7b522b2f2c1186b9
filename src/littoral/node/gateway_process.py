"""One gateway process.

    python -m littoral.node.gateway_process --fd N --run-dir PATH --index I [--relay-fd N] [--cache-dir PATH] [--ready-fd N]

It serves HTTP on a listening socket that the supervisor bound and passed on, and goes on serving while the hub is
away: routes come from run/gateway.msgpack, functions are reached at their own sockets.
"""

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from littoral.core.garbage import keep_for_life
from littoral.core.gateway_limits import GATEWAY_CACHE_BYTES, GATEWAY_DRAIN_S
from littoral.core.limits import Limits
from littoral.core.resources.web import GatewayTls
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.geo_databases import GeoDatabases
from littoral.drivers.origin_transport import HttpOriginTransport
from littoral.drivers.random import SystemRandom
from littoral.drivers.web_listener import WebListener
from littoral.functions.calls.client import FunctionRequest
from littoral.functions.inline.inline import InlineClients
from littoral.gateway.app_asking import AppAsked, AppAsking, AppStream, Registrar
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.exchange import Answering, Exchange, Later
from littoral.gateway.gateway import Gateway
from littoral.gateway.routes import RouteTable
from littoral.gateway.tracing import TraceAsk, Tracer, TraceReport
from littoral.node.cache_orders import CacheOrders
from littoral.node.control_client import ControlClient
from littoral.node.control_messages import GatewayReport
from littoral.node.gateway_certificates import GatewayCertificates
from littoral.node.gateway_config import read_config
from littoral.node.gateway_disk import GatewayDisk
from littoral.node.gateway_handlers import GatewayHandlers
from littoral.node.gateway_routes import cache_name
from littoral.node.gateway_watches import DIRECTORY, GatewayWatches
from littoral.node.process_log import log, log_fault
from littoral.node.relay_gateway import GatewayNeighbours, stop_both
from littoral.node.rollover import READY_OPTION
from littoral.wire.client_facts import located
from littoral.wire.told_fields import ToldFields

STOP_GRACE_S = 10.0
"""How long open requests may take when the process is told to end."""
LEAVE_IDLE_S = 5.0
"""For so long a process that is replaced leaves connections open on which nothing is asked."""
LOOK_S = 5.0
"""Between two looks whether a geo database is another file than before."""


class GatewayProcess:
    """Wires the parts of one gateway."""

    def __init__(
        self, run_dir: Path, index: int, tls: GatewayTls | None, relay: int | None = None, cache: Path | None = None
    ) -> None:
        """relay: a listening socket for the gateways of child nodes. cache: where HTTP answers are kept on disk; None: nowhere."""
        self._run_dir = run_dir
        self._index = index
        self._limits = Limits()
        self._tasks = Tasks(log_fault)
        clock, random = SystemClock(), SystemRandom()
        memory = MemoryTier(GATEWAY_CACHE_BYTES.default)
        self._disk = None
        if cache is not None:
            self._disk = GatewayDisk(cache, memory.purges, clock, random, self._tasks, log)
        self._orders = orders = CacheOrders(memory, clock, self._disk.tier if self._disk is not None else None)
        self._gateway = Gateway(clock, random.token_bytes(5).hex(), log)
        self._transport = HttpOriginTransport(self._limits)
        self._neighbours = GatewayNeighbours(self._gateway, self._transport, orders, clock, self._tasks, relay, log)
        self._control = ControlClient(
            run_dir, self._report, self._load, orders, self._tasks, self._neighbours, trace=self._trace
        )
        self._functions = InlineClients(
            self._control.kill_worker,
            self._tasks,
            self._control.want_worker,
            partial(self._control.want_inline, index),
            partial(self._control.say_lines, index),
            log,
            asyncio.to_thread,
        )
        self._control.functions = self._functions
        self._geo = GeoDatabases(log)
        self._databases: list[str] = []
        self._tracer = Tracer(self._gateway.serve, clock, index)
        self._watches = GatewayWatches(run_dir.parent / DIRECTORY, index, clock, log)
        meters = self._gateway.meters
        self._handlers = GatewayHandlers(
            self._transport, self._call, self._ask, clock, random, self._tasks, meters, orders, self._neighbours.shield
        )
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
        if self._disk is not None:
            self._orders.known = await self._disk.tier.open()
        await self._control.start()
        shown = None
        if self._certificates is not None:
            shown = self._certificates.shown
            self._tasks.start(self._certificates.keep(log), "certificates")
        self._listener = WebListener(descriptor, self._serve, self._limits, shown)
        self._tasks.start(self._keep_databases(), "geo databases")
        await self._listener.start()
        keep_for_life()
        if ready is not None:
            os.write(ready, b"1")
            os.close(ready)
        if await told.get() == signal.SIGHUP:
            await self._leave(self._listener)
        await stop_both(self._listener, self._neighbours, STOP_GRACE_S)
        self._functions.stop()
        await self._functions.ended()
        if self._disk is not None:
            await self._disk.tier.close()
        await self._tasks.stop()
        await self._transport.aclose()
        self._geo.close()
        await asyncio.to_thread(self._watches.close)

    async def _leave(self, listener: WebListener) -> None:
        """Finish what was begun: there is time, until SIGTERM."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as until:
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, until.reschedule, 0.0)
                await stop_both(listener, self._neighbours, self._limits[GATEWAY_DRAIN_S], LEAVE_IDLE_S)

    def _load(self) -> None:
        config = read_config(self._run_dir)
        if config is None:
            return
        # Whoever goes by former limits until the requests of now are answered counts on in the same place.
        self._limits = Limits(config.limits, self._limits.reached)
        self._functions.configure(config.functions, self._limits)
        self._transport.limits = self._limits
        if self._listener is not None:
            self._listener.configure(self._limits)
        if self._disk is not None:
            self._disk.configure(self._limits)
        handlers = self._handlers.configure(config, self._limits)
        self._gateway.configure(RouteTable(config.routes), handlers, self._watches.configure(config, self._limits))
        self._gateway.name = cache_name(config.node)
        self._databases = config.geo_databases
        self._geo.use(self._databases)
        self._neighbours.configure(config, self._limits)

    def _serve(self, exchange: Exchange) -> Answering | Later | None:
        """What clients ask; not what gateways of child nodes do, which know better where theirs are."""
        if self._databases:
            exchange.fields = located(exchange.fields, self._geo.fields_of(exchange.client))
        return self._gateway.serve(exchange)

    async def _keep_databases(self) -> None:
        """Take those that have been put in the place of others."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._geo.use(self._databases)

    def _report(self) -> GatewayReport:
        meters = self._gateway.meters
        meters.limits_reached = self._limits.reached
        self._handlers.look()
        tier = self._handlers.tier
        meters.cache_bytes, meters.cache_objects, meters.cache_evicted = tier.bytes, tier.count, tier.evicted
        meters.cache_purged = tier.purged
        if self._disk is not None:
            meters.disk = self._disk.look()
        meters.log_lines, meters.log_dropped = self._watches.written, self._watches.dropped
        if self._listener is not None:
            meters.refused = self._listener.refusals
        return GatewayReport(self._index, os.getpid(), meters, self._functions.news(), self._functions.states())

    async def _trace(self, ask: TraceAsk) -> TraceReport:
        return await self._tracer.trace(ask)

    async def _call(
        self,
        app: str,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
        request_id: str,
        when_gone: Registrar | None = None,
    ) -> tuple[int, list[tuple[str, str]], bytes | AppStream]:
        request = FunctionRequest(method, url, headers, body, request_id, when_gone=when_gone)
        return await self._functions.call(app, request)

    def _ask(
        self,
        app: str,
        method: str,
        url: str,
        headers: list[tuple[str, str]] | ToldFields,
        request_id: str,
        who: AppAsking,
    ) -> AppAsked:
        return self._functions.ask(app, FunctionRequest(method, url, headers, b"", request_id), who)


def _tls(text: str) -> GatewayTls:
    return msgspec.json.decode(text, type=GatewayTls)


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="littoral.node.gateway_process")
    parser.add_argument("--fd", required=True, type=int, help="inherited listening socket")
    parser.add_argument("--run-dir", required=True, type=Path, help="the node's directory of sockets")
    parser.add_argument("--index", required=True, type=int, help="which of the node's gateways this is")
    parser.add_argument("--tls", type=_tls, help="what it shows to clients, as the node's document has it, in JSON")
    parser.add_argument("--relay-fd", type=int, help="inherited listening socket for the gateways of child nodes")
    parser.add_argument("--cache-dir", type=Path, help="where HTTP answers are kept on disk; without it nowhere")
    parser.add_argument(READY_OPTION, type=int, help="inherited pipe by which it says that it serves")
    arguments = parser.parse_args()
    process = GatewayProcess(
        arguments.run_dir.absolute(), arguments.index, arguments.tls, arguments.relay_fd, arguments.cache_dir
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.serve(arguments.fd, arguments.ready_fd))


if __name__ == "__main__":
    main()
