"""The process that runs the models of apps.

    python -m littoral.node.inference_process --run-dir PATH

The supervisor starts it when the hub says that a function wants it, and it ends when none has for a while. Of the node's files it
reads the models of apps, and what the hub has written for it: models come from apps, and what reads them is large.
"""

import argparse
import asyncio
import os
import resource
import signal
import tempfile
from pathlib import Path

import uvloop

from littoral.core.inference_limits import INFERENCE_IDLE_S, INFERENCE_MEMORY_BYTES
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.functions.confinement import kernel, landlock
from littoral.functions.confinement.confine import data_bytes, readable_paths
from littoral.functions.connection import check_socket_path
from littoral.functions.hub.inference_desk import DIRECTORY
from littoral.functions.places import PLATFORM, make_platform_directory
from littoral.node.control_messages import encode
from littoral.node.hub_line import HubLine
from littoral.node.inference_meters import InferenceReport
from littoral.node.inference_server import InferenceServer
from littoral.node.process_log import log, log_fault

HUB = "hub.sock"
REPORT_S = 1.0
EXIT_STUCK = 70


class InferenceProcess:
    """Wires the parts."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._clock = SystemClock()
        self._tasks = Tasks(log_fault)
        self._hub = check_socket_path(run_dir / HUB)
        self._connection: HubLine | None = None
        self._server = InferenceServer(run_dir, self._clock, self._tasks, log, lambda: os._exit(EXIT_STUCK))

    async def serve(self) -> None:
        """Until SIGTERM, or until nobody has wanted anything for a while."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        # Ctrl-C reaches the whole group; the supervisor decides in which order processes end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._confine()
        await self._server.start()
        self._tasks.start(self._keep_reporting(stopped), "report to hub")
        await stopped.wait()
        await self._server.stop()
        await self._tasks.stop()

    def _confine(self) -> None:
        """Bound its memory, and leave it no files but those that it is for."""
        most = data_bytes() + self._server.limits[INFERENCE_MEMORY_BYTES]
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        # It can be opened up to workers as long as nothing is restricted.
        make_platform_directory(self._run_dir / PLATFORM)
        # A model that names another file means one in the directory where the process runs: an empty one.
        empty = tempfile.mkdtemp(prefix="littoral-inference-")
        os.chdir(empty)
        os.rmdir(empty)
        if not landlock.version():
            log("inference: this kernel has no Landlock: nothing but the node's user keeps models from its files")
            return
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        readable = [*readable_paths(), "/proc/self", *self._server.code, str(self._run_dir / DIRECTORY)]
        landlock.restrict(readable, [str(self._run_dir / PLATFORM)])

    async def _keep_reporting(self, stopped: asyncio.Event) -> None:
        """A hub that is away is not waited for: the next report says all."""
        while not stopped.is_set():
            await self._report()
            idle_s = self._clock.monotonic_s() - self._server.asked_at_s
            if self._server.is_idle and idle_s >= self._server.limits[INFERENCE_IDLE_S]:
                stopped.set()
            await asyncio.sleep(REPORT_S)

    async def _report(self) -> None:
        if self._connection is None or self._connection.gone:
            try:
                _, self._connection = await asyncio.get_running_loop().create_unix_connection(HubLine, self._hub)
            except OSError:
                return
        server = self._server
        reached = {name: count for name, count in server.limits.reached.items() if count}
        models = len(server.models)
        self._connection.send(
            encode(InferenceReport(os.getpid(), server.meters, models, server.models.bytes, server.waiting, reached))
        )


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="littoral.node.inference_process")
    parser.add_argument("--run-dir", required=True, type=Path, help="the node's directory of sockets")
    arguments = parser.parse_args()
    process = InferenceProcess(arguments.run_dir.absolute())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.serve())


if __name__ == "__main__":
    main()
