"""The load, against a real server."""

import asyncio

from littoral.cli.local.load import LoadTarget
from littoral.cli.local.load_process import LoadProcess

DEADLINE_S = 20


async def answering(status):
    async def answer(reader, writer):
        while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /page"):
            writer.write(f"HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\nok".encode())

    async def serve(reader, writer):
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_requests_are_counted_by_target_and_phase_and_measured(tmp_path):
    async def measure():
        good, good_url = await answering(200)
        bad, bad_url = await answering(503)
        load = LoadProcess(tmp_path / "log")
        targets = [LoadTarget("good", good_url, "/page", 50.0), LoadTarget("bad", bad_url, "/page", 50.0)]
        async with good, bad:
            await load.start(targets, "before")
            async with asyncio.timeout(DEADLINE_S):
                while load.counted("good", "before").answered < 5:
                    await asyncio.sleep(0.01)
                load.phase("cut")
                while load.counted("bad", "cut").failed < 5:
                    await asyncio.sleep(0.01)
            results = {(each.target, each.phase): each for each in await load.finish()}
            await load.stop()
        return results

    results = asyncio.run(measure())
    good = results["good", "before"]
    assert good.failed == 0
    assert len(good.latencies_ms) == good.answered >= 5
    assert all(0 < each < DEADLINE_S * 1000 for each in good.latencies_ms)
    assert results["bad", "cut"].answered == 0
    assert "503" in results["bad", "cut"].first_failure
    assert (tmp_path / "log").read_bytes() == b""
