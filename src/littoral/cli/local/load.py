"""HTTP load from a process of its own, so that what it measures is not slowed by what starts it.

python -m littoral.cli.local.load '[{"name": "plant-a", "url": "http://…", "path": "/…", "rate_per_s": 20}]'

Each line on stdin names the phase that begins. Each second it prints what it has counted, as JSON; at the end of
stdin it prints everything, with latencies, and ends.

Requests are sent when they are due, whether or not those before are answered, and a latency counts from when the
request was due: a server that stalls does not make its own record look better.
"""

import asyncio
import sys

import msgspec
import uvloop

from littoral.core.errors import LittoralError
from littoral.core.http import Request
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.transport import HttpTransport

TIMEOUT_S = 30.0
REPORT_S = 0.5
IN_FLIGHT_MOST = 500
"""Per target; requests beyond it are counted as failed, not sent."""


class LoadTarget(msgspec.Struct, frozen=True):
    """What to ask, and how often."""

    name: str
    url: str
    path: str
    rate_per_s: float


class LoadResult(msgspec.Struct):
    """What one target answered during one phase."""

    target: str
    phase: str
    answered: int = 0
    """With status 200."""
    failed: int = 0
    first_failure: str = ""
    latencies_ms: list[float] = []
    """Of the answered; only in the last report."""


class Load:
    """All targets."""

    def __init__(self, targets: list[LoadTarget]) -> None:
        self._targets = targets
        self._phase = "start"
        self._results: dict[tuple[str, str], LoadResult] = {}
        self._transport = HttpTransport()
        self._clock = SystemClock()
        self._failures: list[BaseException] = []
        self._tasks = Tasks(self._failures.append)
        self._in_flight = dict.fromkeys((target.name for target in targets), 0)

    async def run(self) -> None:
        """Until stdin ends."""
        for target in self._targets:
            self._tasks.start(self._ask_at_rate(target), target.name)
        self._tasks.start(self._report(), "report")
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self._phase = line.decode().strip()
        await self._tasks.stop()
        for failure in self._failures:
            raise failure
        self._print(with_latencies=True)
        await self._transport.aclose()

    async def _ask_at_rate(self, target: LoadTarget) -> None:
        # Not the loop's time, which uvloop rounds to milliseconds.
        due = self._clock.monotonic_s()
        while True:
            self._tasks.start(self._ask(target, due), f"ask {target.name}")
            due += 1 / target.rate_per_s
            await asyncio.sleep(max(0.0, due - self._clock.monotonic_s()))

    async def _ask(self, target: LoadTarget, due: float) -> None:
        result = self._result(target.name)
        if self._in_flight[target.name] >= IN_FLIGHT_MOST:
            self._failed(result, "too many requests without an answer")
            return
        self._in_flight[target.name] += 1
        # Timers may fire a little early.
        begun_s = min(due, self._clock.monotonic_s())
        try:
            response = await self._transport.request(target.url, Request("GET", target.path), TIMEOUT_S)
        except LittoralError as error:
            self._failed(result, str(error))
            return
        finally:
            self._in_flight[target.name] -= 1
        if response.status != 200:
            self._failed(result, f"{response.status} {response.body[:200]!r}")
            return
        result.answered += 1
        result.latencies_ms.append((self._clock.monotonic_s() - begun_s) * 1000)

    def _failed(self, result: LoadResult, why: str) -> None:
        result.failed += 1
        result.first_failure = result.first_failure or why

    def _result(self, target: str) -> LoadResult:
        """Of the phase in which the request is sent."""
        key = (target, self._phase)
        if key not in self._results:
            self._results[key] = LoadResult(target, self._phase, latencies_ms=[])
        return self._results[key]

    async def _report(self) -> None:
        while True:
            self._print(with_latencies=False)
            await asyncio.sleep(REPORT_S)

    def _print(self, *, with_latencies: bool) -> None:
        results = list(self._results.values())
        if not with_latencies:
            results = [msgspec.structs.replace(each, latencies_ms=[]) for each in results]
        sys.stdout.buffer.write(msgspec.json.encode(results) + b"\n")
        sys.stdout.flush()


def main() -> None:
    """Entry point of the process."""
    uvloop.run(Load(msgspec.json.decode(sys.argv[1], type=list[LoadTarget])).run())


if __name__ == "__main__":
    main()
