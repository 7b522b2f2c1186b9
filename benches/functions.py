"""Functions through the whole path: the client, the gateway, the Unix socket, the worker.

How many requests a second, beside workerd and Deno, in rounds; how long an app without a worker takes to answer; what apps cost
that nobody asks for; and whether deploying under load loses a request.
"""

import asyncio
import importlib.metadata
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benches import function_peers
from benches.harness import Row, process_cpu_s, process_pss_mb
from tests.support.functions_node import FunctionNode, gone

HELLO = """
from workers import Response, WorkerEntrypoint

BODY = "x" * 1024

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(BODY)
"""
FASTAPI = """
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()

class Item(BaseModel):
    name: str
    price: float = 1.0

@app.get("/{path:path}")
async def read(path: str, q: str = "") -> Item:
    return Item(name=path)

@app.post("/items")
async def create(item: Item) -> Item:
    return item
"""
CONNECTIONS = 32
SECONDS = 4
ROUNDS = 3
INLINE_GATEWAYS = 2
"""Of the node whose gateways answer themselves: they are to an inline app what its gateway and its workers are to another."""
COLD_APPS, COLD_ROUNDS = 100, 2
COLD_STARTS_FASTAPI = 30
TOLD_S = 1.1
APART_S = 0.15
"""Cold starts do not come one upon the other: the zygote has time to fork a spare process for the next."""
WARM_APPS = 40
APPS = 1000
DEPLOYS = 50
SWITCHES = 20
MS = 1000.0


def _wrk(port: int, path: str) -> tuple[float, float]:
    """Requests a second, and the 99th percentile in milliseconds."""
    with _wrk_process(port, SECONDS, path) as process:
        return _wrk_results(process.communicate()[0])


def _wrk_process(port: int, seconds: int, path: str = "/hello") -> "subprocess.Popen[str]":
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wrk_results(output: str) -> tuple[float, float]:
    """Raises AssertionError where a request was not answered, or not with 200."""
    assert "Non-2xx" not in output, output
    assert "Socket errors" not in output, output
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert rate, output
    assert p99, output
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


@dataclass
class Load:
    """What one round gave."""

    rate: float
    p99_ms: float
    cpu_us: float
    """Processor time of a request, in all processes that have to do with it."""


def _load(port: int, processes: list[int], path: str = "/hello") -> Load:
    before = sum(map(process_cpu_s, processes))
    rate, p99_ms = _wrk(port, path)
    return Load(rate, p99_ms, (sum(map(process_cpu_s, processes)) - before) / (rate * SECONDS) * 1e6)


def _beside(what: str, ours: list[Load], theirs: list[Load], name: str, goal: float | None) -> Row:
    ratios = tuple(mine.rate / peer.rate for mine, peer in zip(ours, theirs, strict=True))
    rate, peer_rate = (statistics.median(each.rate for each in loads) for loads in (ours, theirs))
    return Row(what, rate, "requests/s", peer_rate, name, goal=goal, ratios=ratios)


async def _rates(at: Path) -> list[Row]:
    """Beside the peers, one after the other in each round: what else the machine does then meets all."""
    async with FunctionNode(gateways=INLINE_GATEWAYS) as inline, FunctionNode() as node:
        await node.deploy("hello", HELLO)
        await inline.deploy("hello", HELLO, inline=True)
        for each in (node, inline):
            assert (await each.get("/hello")).status == 200
        ours = {
            "process": (node.port, [node.processes["gateway-0"].pid, *node.pool("hello").pids]),
            "inline": (inline.port, [inline.processes[f"gateway-{each}"].pid for each in range(INLINE_GATEWAYS)]),
        }
        rounds: dict[str, list[Load]] = defaultdict(list)
        with ExitStack() as stack:
            peers: dict[str, tuple[int, list[int]]] = {
                "workerd": (stack.enter_context(function_peers.workerd(at)), []),
                "Deno": (stack.enter_context(function_peers.deno(at)), []),
            }
            for _ in range(ROUNDS):
                for name, (port, processes) in (ours | peers).items():
                    rounds[name].append(await asyncio.to_thread(_load, port, processes))
    load = f"1 KB body, {CONNECTIONS} connections"
    rows = [
        _beside(f"isolated function, {load}", rounds["process"], rounds["workerd"], "workerd", 2.0),
        _beside(f"isolated function, {load}", rounds["process"], rounds["Deno"], "Deno", None),
        _beside(f"inline function, {INLINE_GATEWAYS} gateways, {load}", rounds["inline"], rounds["Deno"], "Deno", 0.9),
    ]
    for name, what in (("process", "isolated"), ("inline", "inline")):
        rows += [
            Row(f"{what} function, p99", statistics.median(each.p99_ms for each in rounds[name]), "ms"),
            Row(f"{what} function, processor time", statistics.median(each.cpu_us for each in rounds[name]), "us"),
        ]
    return rows


class Client:
    """One connection that is kept, so that only what the node does is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path: str) -> float:
        """Milliseconds to the last byte of the answer, which is 200."""
        since = time.perf_counter()
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: edge.test\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = re.search(rb"content-length: (\d+)", head)
        assert length, head
        await self._reader.readexactly(int(length[1]))
        return (time.perf_counter() - since) * MS


async def _cold_starts(node: FunctionNode, apps: list[str]) -> list[float]:
    """Of apps that have workers, and lose them: how long the next request to each takes."""
    client = await Client.open(node.port)
    # The gateway has told by then what was asked before; what it told would start them again.
    await asyncio.sleep(TOLD_S)
    workers = [pid for app in apps for pid in node.pool(app).pids]
    for app in apps:
        node.pool(app).rest()
    await node.until(lambda: all(gone(pid) for pid in workers))
    taken = []
    for app in apps:
        await asyncio.sleep(APART_S)
        taken.append(await client.get(f"/{app}/"))
    return taken


def _install(name: str, folder: Path) -> None:
    """Copy a package with all that it needs from where this runs."""
    names, copied = [name], set()
    while names:
        name = names.pop()
        if name in copied:
            continue
        copied.add(name)
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(distribution.locate_file(file)), target)
        required = [each for each in distribution.requires or () if ";" not in each]
        names += [re.split(r"[^\w.-]", each)[0] for each in required]


def _children(process: int) -> set[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    return {int(each) for each in listed.split()}


async def _cold() -> list[Row]:
    async with FunctionNode() as node:
        names = _names(COLD_APPS)
        for name in names:
            node.prepare(name, HELLO)
        node.publish()
        await node.until(lambda: all(pool.ready for pool in node.runtime.pools.values()), 60)
        hello = sorted([each for _ in range(COLD_ROUNDS) for each in await _cold_starts(node, names)])
        await asyncio.to_thread(_install, "fastapi", node.home / "apps" / "fast-1" / "python_modules")
        since = time.perf_counter()
        await node.deploy("fast", FASTAPI)
        first_ms = (time.perf_counter() - since) * MS
        fast = sorted([each for _ in range(COLD_STARTS_FASTAPI) for each in await _cold_starts(node, ["fast"])])
        # Beside the workers there are spare processes, which hold less.
        environment = max(map(process_pss_mb, _children(node.processes["zygote"].pid)))
        return [
            Row("cold start, hello, p50", statistics.median(hello), "ms", most=5),
            Row("cold start, hello, p99", hello[int(len(hello) * 0.99)], "ms", most=15),
            Row("cold start, FastAPI from its environment, p50", statistics.median(fast), "ms", most=50),
            Row("cold start, FastAPI from its environment, p99", fast[int(len(fast) * 0.99)], "ms"),
            Row("first start of a FastAPI app's revision, with its environment", first_ms, "ms"),
            Row("memory of the environment of a FastAPI app", environment, "MB PSS"),
        ]


def _names(count: int) -> list[str]:
    return [f"app{number:04}" for number in range(count)]


def _node_mb(node: FunctionNode) -> float:
    """Of the gateway and the zygote; the hub is this process."""
    return sum(process_pss_mb(node.processes[name].pid) for name in ("gateway-0", "zygote"))


async def _memory() -> list[Row]:
    async with FunctionNode() as node:
        await node.deploy("hello", HELLO)
        gateway, alone = process_pss_mb(node.processes["gateway-0"].pid), _node_mb(node)
        for name in _names(WARM_APPS):
            node.prepare(name, HELLO)
        node.publish()
        await node.until(lambda: all(pool.ready for pool in node.runtime.pools.values()))
        for name in _names(WARM_APPS):
            await node.get(f"/{name}")
        workers = [pid for pool in node.runtime.pools.values() for pid in pool.pids]
        warm = sum(process_pss_mb(pid) for pid in workers) / len(workers) + (_node_mb(node) - alone) / WARM_APPS
        return [
            Row("memory of an idle gateway", gateway, "MB PSS"),
            Row("memory of a warm idle app, with what it takes elsewhere", warm, "MB PSS", most=3),
        ]


async def _many() -> list[Row]:
    async with FunctionNode({"function-warm-workers": 5}) as node:
        await node.deploy("hello", HELLO)
        alone = _node_mb(node) + process_pss_mb(os.getpid())
        for name in _names(APPS):
            node.prepare(name, HELLO)
        node.publish()
        await node.until(
            lambda: all(pool.counters.starts and pool.settled for pool in node.runtime.pools.values()), 600
        )
        each_kb = (_node_mb(node) + process_pss_mb(os.getpid()) - alone) * 1024 / APPS
        client = await Client.open(node.port)
        taken = sorted([await client.get(f"/{name}/") for name in _names(APPS)])
        return [
            Row(f"memory of each of {APPS} apps without workers", each_kb, "KB PSS", most=50),
            Row(f"each of {APPS} apps answers, p50", statistics.median(taken), "ms"),
            Row(f"each of {APPS} apps answers, p99", taken[int(len(taken) * 0.99)], "ms"),
        ]


async def _switch(node: FunctionNode, number: int, revision: str) -> float:
    """Milliseconds from placing a revision to its first answer. number: odd ones answer otherwise than even ones."""
    await asyncio.sleep(APART_S)
    since = time.perf_counter()
    await node.place("hello", HELLO.replace('"x"', f'"{number % 2}"'), revision=revision)
    while (await node.get("/hello")).body[:1] != str(number % 2).encode():
        pass
    return (time.perf_counter() - since) * MS


async def _deploys() -> list[Row]:
    async with FunctionNode() as node:
        await node.deploy("hello", HELLO)
        with _wrk_process(node.port, 600) as load:
            await asyncio.sleep(0.5)
            for number in range(DEPLOYS):
                await node.deploy("hello", HELLO, revision=f"r{number}")
                await asyncio.sleep(0.1)
            load.send_signal(signal.SIGINT)
            rate, _ = _wrk_results((await asyncio.to_thread(load.communicate))[0])
        switched = [await _switch(node, number, f"b{number}") for number in range(SWITCHES)]
        back = sorted([await _switch(node, number, f"c{number % 2}") for number in range(SWITCHES + 2)][2:])
        return [
            Row(f"requests/s meanwhile, all answered with 200: {DEPLOYS} deploys", rate, "requests/s"),
            Row("another revision answers, longest", max(switched), "ms", most=100),
            Row("a former revision answers that is gone back to, p50", statistics.median(back), "ms", most=100),
            Row("a former revision answers that is gone back to, longest", back[-1], "ms", most=100),
        ]


def measure() -> list[Row]:
    """Rows for the table."""
    with tempfile.TemporaryDirectory() as name:
        rows = asyncio.run(_rates(Path(name)))
    parts: list[Callable[[], object]] = [_cold, _memory, _many, _deploys]
    for part in parts:
        rows += asyncio.run(part())  # type: ignore[arg-type]
    return rows
