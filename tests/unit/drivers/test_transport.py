"""Cancelling calls: the client library drops a cancellation that meets an answer which is just there."""

import asyncio
import contextlib

import pytest
import uvloop

from littoral.core.http import Request
from littoral.drivers.transport import HttpTransport
from littoral.testing.random import SeededRandom

CANCELS = 400
ANSWER_S = 0.003
DEADLINE_S = 30


@contextlib.asynccontextmanager
async def serving(random):
    async def answer(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(random.uniform(0, ANSWER_S))
                if head.startswith(b"GET /once"):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    continue
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"3\r\nabc\r\n")
                    await writer.drain()
                    await asyncio.sleep(random.uniform(0, ANSWER_S))

    open_now = set()

    def connected(reader, writer):
        task = asyncio.get_running_loop().create_task(answer(reader, writer))
        open_now.add(task)

        def closed(task):
            writer.close()
            open_now.discard(task)

        task.add_done_callback(closed)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


async def ask_again_and_again(transport, url):
    while True:
        await transport.request(url, Request("GET", "/once"), DEADLINE_S)


async def follow(transport, url):
    async with transport.stream(url, Request("GET", "/live"), DEADLINE_S) as opened:
        async for _ in opened.chunks:
            pass


async def end(task):
    while not task.done():
        task.cancel()
        await asyncio.sleep(2 * ANSWER_S)


@pytest.mark.parametrize("work", [ask_again_and_again, follow])
def test_a_task_that_calls_ends_when_it_is_cancelled_once(work, seed: int):
    async def main():
        random = SeededRandom(seed)
        transport = HttpTransport()
        async with serving(random) as url:
            for number in range(CANCELS):
                task = asyncio.get_running_loop().create_task(work(transport, url))
                await asyncio.sleep(random.uniform(0, 3 * ANSWER_S))
                task.cancel()
                done, _ = await asyncio.wait([task], timeout=DEADLINE_S)
                if not done:
                    # The loop could not be closed, and this test would hang instead of failing.
                    await end(task)
                assert done, f"cancel {number} was dropped"
                assert task.cancelled()
            await transport.aclose()

    uvloop.run(main())
