"""What an app that takes all it can get costs its neighbour: the neighbour's p99, alone and beside each attack, at a steady rate."""

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from urllib.parse import quote

from benches.harness import Row
from littoral.functions.messages import WorkerBounds
from tests.support.functions_node import FunctionNode

NEIGHBOUR = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("ok")
"""
ATTACKER = """
import asyncio
from workers import Response, WorkerEntrypoint

held = []

def compute():
    while True:
        pass

def allocate():
    while True:
        held.append(bytearray(1 << 20))

def open_files():
    while True:
        held.append(open("/dev/null"))

def fork():
    import os
    while True:
        try:
            os.fork()
        except PermissionError:
            pass

def log():
    while True:
        print("x" * 200)

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        try:
            globals()[request.query["do"]]()
        finally:
            held.clear()
"""
ATTACKS = ("compute", "allocate", "open_files", "fork", "log")
ROUNDS = 5
SECONDS = 2.0
MOST = 2.0
REQUESTS_A_SECOND = 400
PEAK = 0.99


async def _p99_ms(port: int) -> float:
    """Of requests sent at a steady rate on a few connections, from when each was due."""
    loop = asyncio.get_running_loop()
    started, count = loop.time(), int(SECONDS * REQUESTS_A_SECOND)
    head = b"GET /neighbour HTTP/1.1\r\nhost: edge.test\r\n\r\n"
    took: list[float] = []

    async def ask(first: int, step: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, count, step):
            due = started + number / REQUESTS_A_SECOND
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\nok")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            took.append(loop.time() - due)
        writer.close()

    await asyncio.gather(*(ask(first, 8) for first in range(8)))
    return sorted(took)[int(len(took) * PEAK)] * 1000


@contextlib.asynccontextmanager
async def _under(node: FunctionNode, attack: str) -> AsyncIterator[None]:
    async def go_on() -> None:
        while True:
            with contextlib.suppress(Exception):
                await node.get(f"/attacker?do={quote(attack)}")

    attacking = asyncio.ensure_future(go_on())
    await asyncio.sleep(0.3)
    try:
        yield
    finally:
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)


async def _measure() -> list[Row]:
    rows = []
    async with FunctionNode() as node:
        await node.deploy("neighbour", NEIGHBOUR)
        bounds = WorkerBounds(cpu_ms=500, log_lines=1000, log_bytes=1 << 18)
        await node.deploy("attacker", ATTACKER, bounds=bounds, memory_bytes=64 << 20)
        await _p99_ms(node.port)
        for attack in ATTACKS:
            ratios = []
            for _ in range(ROUNDS):
                alone = await _p99_ms(node.port)
                async with _under(node, attack):
                    ratios.append(await _p99_ms(node.port) / alone)
            what = f"neighbour's p99 beside an app that tries to {attack.replace('_', ' ')}"
            rows.append(Row(what, statistics.median(ratios), "times its own", most=MOST))
    return rows


def measure() -> list[Row]:
    """Each attack against the calm before it, the median of several rounds: other things that the machine does are in both."""
    return asyncio.run(_measure())
