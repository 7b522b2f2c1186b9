"""Bodies that do not travel whole, through real processes: streams both ways, what ends them, and what they hold up (nothing)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.functions_node import DEADLINE_S, FunctionNode, kill9

MIB = 1 << 20
CODE = """
    import asyncio
    import os

    from workers import Response, WorkerEntrypoint, env

    async def until(name):
        while await env.KV.get(name) is None:
            await asyncio.sleep(0.005)

    held = []

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            what = request.query.get("do")
            if what == "count":
                size = 0
                async for piece in request.body:
                    size += len(piece)
                return Response(str(size))
            if what == "echo":
                return Response(request.body)
            if what == "whole":
                return Response(str(len(await request.bytes())))
            if what == "endless":
                # Nobody but its stream can close it.
                held.append(self.endless())
                return Response(held[-1])
            if what == "make":
                return Response(self.make(int(request.query["mib"])))
            if what == "large":
                return Response(b"x" * int(request.query["bytes"]))
            if what == "wait":
                request.signal.addEventListener("abort", lambda event: print("aborted"))
                print("waiting")
                try:
                    await until("never")
                finally:
                    print("cancelled")
            if what == "post":
                told = asyncio.Event()
                request.signal.addEventListener("abort", lambda event: told.set())
                print("posting")
                await told.wait()
                print("done")
                return Response("nobody reads this")
            if what == "pid":
                return Response(str(os.getpid()))
            if what == "none":
                return Response(None, 204)
            return Response(self.events(what, request), headers={"content-type": "text/event-stream"})

        async def make(self, count):
            for number in range(count * 16):
                yield bytes([number % 256]) * 65536

        async def endless(self):
            try:
                while True:
                    yield bytes(65536)
            finally:
                print("closed-endless")

        async def events(self, what, request):
            request.signal.addEventListener("abort", lambda event: print("aborted-" + what))
            try:
                yield "data: 1\\n\\n"
                await until("go-" + what)
                while what == "spin":
                    pass
                if what == "raise":
                    raise RuntimeError("in mid-stream")
                yield "data: 2\\n\\n"
            finally:
                print("closed-" + what)
"""


def run(scenario: Callable[[FunctionNode], Awaitable[None]], wall_ms: int = 10_000, **options: object) -> None:
    async def main() -> None:
        async with FunctionNode(**options) as node:  # type: ignore[arg-type]
            await node.deploy("app", CODE, workers=1, kv={"KV": "signs"}, wall_ms=wall_ms)
            await scenario(node)

    asyncio.run(main())


def said(node: FunctionNode, what: str) -> bool:
    """Whether the function has printed it."""
    return f": {what}\n" in node.log()


async def sign(node: FunctionNode, name: str) -> None:
    """Let those go on that wait for it."""
    await node.kv.put("signs", name, b"1")


class Client:
    """One connection, on which an answer is read as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def chunk(self) -> bytes:
        """Raises IncompleteReadError where the answer breaks off."""
        async with asyncio.timeout(DEADLINE_S):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]


@contextlib.asynccontextmanager
async def asking(node: FunctionNode, what: str, method: str = "GET", *fields: str) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    lines = [f"{method} /app?do={what} HTTP/1.1", "host: edge.test", *fields, "", ""]
    writer.write("\r\n".join(lines).encode())
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def test_an_answer_is_seen_as_it_is_made_and_holds_up_nothing() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with asking(node, "sse") as client:
            assert b"transfer-encoding: chunked" in await client.head()
            assert await client.chunk() == b"data: 1\n\n"
            assert (await node.get("/app?do=pid")).status == 200, "the same worker answers others meanwhile"
            await sign(node, "go-sse")
            assert await client.chunk() == b"data: 2\n\n"
            assert await client.chunk() == b""
        await node.until(lambda: said(node, "closed-sse"))
        assert not said(node, "aborted-sse")
        empty = await node.get("/app?do=none")
        assert (empty.status, empty.body) == (204, b"")
        head = await node.get("/app?do=head", method="HEAD")
        assert (head.status, head.body, "content-length" in head.headers) == (200, b"", False)
        size = 3 * MIB
        whole = await node.get(f"/app?do=large&bytes={size}")
        assert (len(whole.body), whole.headers["content-length"]) == (size, str(size))
        known = await node.get(f"/app?do=large&bytes={size}", method="HEAD")
        assert (known.headers["content-length"], known.body) == (str(size), b"")

    run(scenario)


def test_a_client_that_goes_ends_what_the_function_does_for_it() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with asking(node, "gone") as client:
            await client.head()
            await client.chunk()
        await node.until(lambda: said(node, "closed-gone"))
        await node.until(lambda: said(node, "aborted-gone"))
        async with asking(node, "endless") as client:
            await client.head()
        await node.until(lambda: said(node, "closed-endless"))
        async with asking(node, "wait"):
            await node.until(lambda: said(node, "waiting"))
        await node.until(lambda: said(node, "cancelled"))
        await node.until(lambda: said(node, "aborted"))
        # What may change something is not given up, but hears of it.
        async with asking(node, "post", "POST", "content-length: 0"):
            await node.until(lambda: said(node, "posting"))
        await node.until(lambda: said(node, "done"))
        pid = (await node.get("/app?do=pid")).body
        assert int(pid) in node.pool("app").pids
        assert "wall time" not in node.log()

    run(scenario)


def test_what_breaks_in_mid_stream_breaks_off_the_answer() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with asking(node, "raise") as client:
            head = await client.head()
            await client.chunk()
            await sign(node, "go-raise")
            with pytest.raises(asyncio.IncompleteReadError):
                await client.chunk()
        number = head.split(b"x-request-id: ")[1].split(b"\r\n")[0].decode()
        await node.until(lambda: f"[{number}] RuntimeError: in mid-stream" in node.log())
        await node.until(lambda: said(node, "closed-raise"))
        async with asking(node, "killed") as client:
            await client.head()
            await client.chunk()
            kill9(node.pool("app").pids[0])
            with pytest.raises(asyncio.IncompleteReadError):
                await client.chunk()
        assert (await node.get("/app?do=pid")).status == 200

    run(scenario)


def test_large_bodies_pass_in_little_memory_and_slow_ones_hold_up_no_other() -> None:
    async def scenario(node: FunctionNode) -> None:
        (worker,) = node.pool("app").pids
        processes = [worker, node.processes["gateway-0"].pid]
        assert (await upload(node, "count", 1, chunked=True)).endswith(b"\r\n\r\n1048576")
        before = [peak_bytes(pid) for pid in processes]
        async with (
            asking(node, "make&mib=64") as slow,
            asking(node, "echo", "POST", f"content-length: {64 * MIB}") as stuck,
        ):
            await slow.head()
            stuck.writer.write(b"x" * MIB)
            await stuck.head()
            answer = await upload(node, "count", 48)
            assert answer.endswith(b"\r\n\r\n%d" % (48 * MIB))
            size = 0
            while piece := await slow.chunk():
                size += len(piece)
            assert size == 64 * MIB
        grown = [peak_bytes(pid) - was for pid, was in zip(processes, before, strict=True)]
        assert max(grown) < 12 * MIB, grown

    run(scenario)


async def upload(node: FunctionNode, what: str, mib: int, *, chunked: bool = False) -> bytes:
    """The answer to one of so many MiB."""
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {mib * MIB}"
    async with asking(node, what, "POST", framing, "connection: close") as client:
        for _ in range(mib):
            client.writer.write(b"%x\r\n" % MIB + b"x" * MIB + b"\r\n" if chunked else b"x" * MIB)
            await client.writer.drain()
        if chunked:
            client.writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(30):
            return await client.reader.read()


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_a_request_is_answered_while_it_comes_and_read_whole_up_to_a_bound() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with asking(node, "echo", "POST", "transfer-encoding: chunked") as client:
            for text in (b"one", b"two"):
                client.writer.write(b"3\r\n" + text + b"\r\n")
                if text == b"one":
                    await client.head()
                assert await client.chunk() == text
            client.writer.write(b"0\r\n\r\n")
            assert await client.chunk() == b""
        assert (await upload(node, "whole", 1)).endswith(b"\r\n\r\n1048576")
        assert (await upload(node, "whole", 1, chunked=True)).endswith(b"\r\n\r\n1048576")
        for framing in (f"content-length: {3 * MIB}", "transfer-encoding: chunked"):
            async with asking(node, "whole", "POST", framing) as client:
                client.writer.write(b"%x\r\n" % (3 * MIB) + b"x" * (3 * MIB) + b"\r\n")
                assert (await client.head()).startswith(b"HTTP/1.1 413")
        for what in ("whole", "count", "echo"):
            async with asking(node, what, "POST", "content-length: 1000000") as client:
                client.writer.write(b"x" * 200_000)
            async with asking(node, what, "POST", "transfer-encoding: chunked") as client:
                client.writer.write(b"5\r\nhello\r\nno size\r\n")
                if what != "echo":
                    assert (await client.head()).startswith(b"HTTP/1.1 400")
        assert (await node.get("/app?do=pid")).status == 200

    run(scenario, overrides={"function-body-bytes": 2 * MIB})


def test_a_stream_of_which_nothing_comes_is_ended() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with asking(node, "idle") as client:
            await client.head()
            await client.chunk()
            with pytest.raises(asyncio.IncompleteReadError):
                await client.chunk()
        await node.until(lambda: said(node, "closed-idle"))

    run(scenario, overrides={"function-stream-idle-seconds": 1})


def test_a_stream_that_computes_without_a_pause_is_interrupted() -> None:
    async def scenario(node: FunctionNode) -> None:
        pid = (await node.get("/app?do=pid")).body
        async with asking(node, "spin") as client:
            await client.head()
            await client.chunk()
            await sign(node, "go-spin")
            with pytest.raises(asyncio.IncompleteReadError):
                await client.chunk()
        assert (await node.get("/app?do=pid")).body == pid, "its worker goes on"
        await node.until(lambda: "computed past its wall time" in node.log())

    run(scenario, wall_ms=1000)


def test_a_worker_that_is_replaced_finishes_its_streams_up_to_a_bound() -> None:
    async def scenario(node: FunctionNode) -> None:
        async with asking(node, "last") as client, asking(node, "late") as late:
            for each in (client, late):
                await each.head()
                await each.chunk()
            await node.place("app", CODE, revision="2", kv={"KV": "signs"})
            await node.until(lambda: node.pool("app").counters.starts == 2 and node.pool("app").ready == 1)
            await node.get("/app?do=pid")
            await sign(node, "go-last")
            assert await client.chunk() == b"data: 2\n\n"
            assert await client.chunk() == b""
            with pytest.raises(asyncio.IncompleteReadError):
                await late.chunk()
            await node.until(lambda: said(node, "closed-late"))
        await node.until(lambda: node.pool("app").settled)

    run(scenario, overrides={"function-drain-seconds": 1})
