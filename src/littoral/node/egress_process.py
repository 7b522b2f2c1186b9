"""The process that makes the requests of functions.

    python -m littoral.node.egress_process --run-dir PATH

It goes on while the hub is away: whom each app may ask it reads from run/egress.msgpack, and workers prove who they are by what the
hub gave them.
"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

import uvloop

from littoral.core.garbage import keep_for_life
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.name_lookups import NameLookups
from littoral.functions.connection import check_socket_path
from littoral.node.control_messages import encode
from littoral.node.egress_meters import EgressReport
from littoral.node.egress_server import EgressServer
from littoral.node.hub_line import HubLine
from littoral.node.process_log import log, log_fault

HUB = "hub.sock"
REPORT_S = 1.0


class EgressProcess:
    """Wires the parts."""

    def __init__(self, run_dir: Path) -> None:
        self._tasks = Tasks(log_fault)
        self._hub = check_socket_path(run_dir / HUB)
        self._server = EgressServer(run_dir, NameLookups().addresses, SystemClock(), self._tasks, log)

    async def serve(self) -> None:
        """Until SIGTERM."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        # Ctrl-C reaches the whole group; the supervisor decides in which order processes end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        await self._server.start()
        self._tasks.start(self._keep_reporting(), "report to hub")
        keep_for_life()
        await stopped.wait()
        await self._server.stop()
        await self._tasks.stop()

    async def _keep_reporting(self) -> None:
        """A hub that is away is not waited for: the next report says all."""
        connection: HubLine | None = None
        while True:
            if connection is None or connection.gone:
                try:
                    _, connection = await asyncio.get_running_loop().create_unix_connection(HubLine, self._hub)
                except OSError:
                    connection = None
            if connection is not None:
                connection.send(encode(self._report()))
            await asyncio.sleep(REPORT_S)

    def _report(self) -> EgressReport:
        server = self._server
        reached = {name: count for name, count in server.limits.reached.items() if count}
        return EgressReport(os.getpid(), server.meters, server.under_way, server.connections, reached)


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="littoral.node.egress_process")
    parser.add_argument("--run-dir", required=True, type=Path, help="the node's directory of sockets")
    arguments = parser.parse_args()
    process = EgressProcess(arguments.run_dir.absolute())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.serve())


if __name__ == "__main__":
    main()
