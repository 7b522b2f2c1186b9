"""The process that loads the gateways, as its parent sees it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from littoral.cli.local.child import start_python
from littoral.cli.local.load import LoadResult, LoadTarget
from littoral.core.tasks import Tasks

END_S = 10.0


class LoadProcess:
    """Loads until `finish`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._failures: list[BaseException] = []
        self._tasks = Tasks(self._failures.append)
        self._reading: asyncio.Task[None] | None = None
        self._results: list[LoadResult] = []

    async def start(self, targets: Sequence[LoadTarget], phase: str) -> None:
        """Begin."""
        arguments = ["-m", "littoral.cli.local.load", msgspec.json.encode(targets).decode()]
        self._process = await start_python(arguments, self._log)
        self.phase(phase)
        self._reading = self._tasks.start(self._read(), "load")

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
        assert self._reading is not None
        self._process.stdin.close()
        await asyncio.wait_for(asyncio.wait([self._reading]), END_S)
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
