"""The process that loads the gateways, as its parent sees it."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from littoral.cli.local.load import LoadResult, LoadTarget
from littoral.core.tasks import Tasks
from littoral.drivers.process import die_with_parent

END_S = 10.0
LINE_BYTES = 64 * 1024 * 1024
"""The last line holds every latency."""


class LoadProcess:
    """Loads until `finish`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._failures: list[BaseException] = []
        self._tasks = Tasks(self._failures.append)
        self._results: list[LoadResult] = []

    async def start(self, targets: Sequence[LoadTarget], phase: str) -> None:
        """Begin."""
        parent = os.getpid()
        with open(self._log, "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "littoral.cli.local.load",
                msgspec.json.encode(targets).decode(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_BYTES,
                start_new_session=True,
                preexec_fn=lambda: None if die_with_parent(parent) else os._exit(1),
            )
        self.phase(phase)
        self._tasks.start(self._read(), "load")

    def phase(self, name: str) -> None:
        """From now on, requests are counted under this name."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(name.encode() + b"\n")

    def counted(self, target: str, phase: str) -> LoadResult:
        """What is counted so far."""
        for result in self._results:
            if (result.target, result.phase) == (target, phase):
                return result
        return LoadResult(target, phase)

    async def finish(self) -> list[LoadResult]:
        """End it; everything that it measured. Raises what went wrong with it."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), END_S)
        while len(self._tasks):
            await asyncio.sleep(0)
        for failure in self._failures:
            raise failure
        return self._results

    async def stop(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self._tasks.stop()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._results = msgspec.json.decode(line, type=list[LoadResult])
