"""A function's "hello" through the whole path: wrk, gateway, Unix socket, worker; and what the idle processes take."""

import asyncio
import re
import subprocess

from benches.harness import Row, process_pss_mb
from tests.support.functions_node import FunctionNode

HELLO = """
from workers import Response, WorkerEntrypoint

BODY = "x" * 1024

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(BODY)
"""
CONNECTIONS = 32
SECONDS = 5


def _wrk(port: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile in milliseconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", f"http://127.0.0.1:{port}/hello"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in output, output
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert rate, output
    assert p99, output
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


async def _measure() -> list[Row]:
    async with FunctionNode() as node:
        await node.deploy("hello", HELLO)
        assert (await node.get("/hello")).status == 200
        gateway, zygote = node.processes["gateway-0"].pid, node.processes["zygote"].pid
        worker_mb = sum(process_pss_mb(pid) for pid in (zygote, *node.pool("hello").pids))
        rows = [
            Row("memory of an idle gateway", process_pss_mb(gateway), "MB PSS"),
            Row("memory of the zygote and one idle worker", worker_mb, "MB PSS"),
        ]
        rate, p99_ms = await asyncio.to_thread(_wrk, node.port)
        what = f"function, 1 KB body, {CONNECTIONS} connections"
        return [Row(what, rate, "requests/s"), Row(f"{what}, p99", p99_ms, "ms"), *rows]


def measure() -> list[Row]:
    """Informative: there is no peer on this path yet."""
    return asyncio.run(_measure())
