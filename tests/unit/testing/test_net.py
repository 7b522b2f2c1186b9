"""The simulated network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from littoral.core.errors import NotFound, PeerUnreachable
from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.testing.loop import run, running_loop
from littoral.testing.net import SimNetwork
from littoral.testing.random import SeededRandom

ROOT = "https://root:8443"
GET = Request("GET", "/")


def network_of(handler: Callable[[Request], Awaitable[AnyResponse]]) -> SimNetwork:
    network = SimNetwork(SeededRandom(7))
    network.serve(ROOT, handler)
    return network


async def echo(request: Request) -> AnyResponse:
    return Response(200, [("x-path", request.path)], request.body)


async def ticks(request: Request) -> AnyResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d" % number
            await asyncio.sleep(1)

    return StreamingResponse(200, [("content-type", "text/plain")], chunks())


async def never(request: Request) -> AnyResponse:
    await asyncio.sleep(10_000)
    return Response()


def test_a_request_takes_a_round_trip_and_its_bytes():
    async def main() -> None:
        network = network_of(echo)
        link = network.link("plant-a", ROOT)
        link.delay_s, link.bytes_per_s = 0.075, 1000
        answer = await network.transport("plant-a").request(ROOT, Request("POST", "/x", body=b"y" * 500), 5)
        assert (answer.status, answer.headers, answer.body) == (200, [("x-path", "/x")], b"y" * 500)
        assert running_loop().time() == pytest.approx(0.15 + 0.5 + 0.5)
        assert network.counts == {"requests": 1, "handled": 1, "answered": 1}

    run(main)


def test_jitter_is_drawn_from_the_seed():
    async def main() -> list[float]:
        network = network_of(echo)
        network.link("a", ROOT).jitter_s = 1
        times = []
        for _ in range(5):
            await network.transport("a").request(ROOT, GET, 60)
            times.append(running_loop().time())
        return times

    assert run(main) == run(main)
    assert len(set(run(main))) == 5


def test_nobody_there_and_a_dead_process_refuse_at_once():
    async def main() -> None:
        network = network_of(echo)
        transport = network.transport("a")
        with pytest.raises(PeerUnreachable, match="cannot reach https://nowhere:1: connection refused"):
            await transport.request("https://nowhere:1", GET, 5)
        network.stop(ROOT)
        with pytest.raises(PeerUnreachable, match="connection refused"):
            await transport.request(ROOT, GET, 5)
        network.serve(ROOT, echo)
        assert (await transport.request(ROOT, GET, 5)).status == 200
        assert running_loop().time() == 0
        assert network.counts["refused"] == 2

    run(main)


def test_a_process_that_dies_resets_its_callers():
    async def main() -> None:
        network = network_of(never)
        network.link("a", ROOT).delay_s = 0.1
        running_loop().call_later(3, network.stop, ROOT)
        with pytest.raises(PeerUnreachable, match="the connection was reset"):
            await network.transport("a").request(ROOT, GET, 60)
        assert running_loop().time() == pytest.approx(3.1)

    run(main)


def test_a_lost_request_never_ran_and_a_lost_response_did():
    async def main() -> None:
        handled: list[Request] = []

        async def note(request: Request) -> AnyResponse:
            handled.append(request)
            return Response()

        network = network_of(note)
        link, transport = network.link("a", ROOT), network.transport("a")
        link.cut("requests")
        with pytest.raises(PeerUnreachable, match=r"timed out \(no answer within 5 s\)"):
            await transport.request(ROOT, GET, 5)
        assert handled == []
        link.restore()
        link.cut("responses")
        with pytest.raises(PeerUnreachable, match="timed out"):
            await transport.request(ROOT, GET, 5)
        assert len(handled) == 1
        link.restore()
        await transport.request(ROOT, GET, 5)
        assert running_loop().time() == 10
        assert (network.counts["requests_lost"], network.counts["responses_lost"]) == (1, 1)

    run(main)


def test_loss_hits_requests_and_responses_as_often_as_it_says():
    async def main() -> None:
        network = network_of(echo)
        network.link("a", ROOT).loss = 0.2
        transport = network.transport("a")
        lost = 0
        for _ in range(500):
            try:
                await transport.request(ROOT, GET, 1)
            except PeerUnreachable:
                lost += 1
        counts = network.counts
        assert 60 < counts["requests_lost"] < 140
        assert 40 < counts["responses_lost"] < 130
        assert lost == counts["timeouts"] == counts["requests_lost"] + counts["responses_lost"]

    run(main)


def test_a_stream_arrives_piece_by_piece():
    async def main() -> None:
        network = network_of(ticks)
        network.link("a", ROOT).delay_s = 0.25
        arrivals: list[tuple[float, bytes]] = []
        async with network.transport("a").stream(ROOT, GET, idle_timeout_s=2) as opened:
            assert opened.status == 200
            async for chunk in opened.chunks:
                arrivals.append((running_loop().time(), chunk))
                if len(arrivals) == 3:
                    break
        assert arrivals == [(0.5, b"0"), (1.5, b"1"), (2.5, b"2")]

    run(main)


def test_the_stream_is_closed_at_the_server_when_the_reader_leaves():
    async def main() -> None:
        closed_at_s: list[float] = []

        async def handler(request: Request) -> AnyResponse:
            async def chunks() -> AsyncIterator[bytes]:
                try:
                    yield b"1"
                    await asyncio.Event().wait()
                finally:
                    closed_at_s.append(running_loop().time())

            return StreamingResponse(200, (), chunks())

        network = network_of(handler)
        network.link("a", ROOT).delay_s = 1
        async with network.transport("a").stream(ROOT, GET, 10) as opened:
            assert [await anext(opened.chunks)] == [b"1"]
        await asyncio.sleep(5)
        assert closed_at_s == [3.0]
        assert network.failures == []

    run(main)


def test_a_reader_that_does_not_read_holds_the_sender_back():
    async def main() -> None:
        sent: list[int] = []

        async def handler(request: Request) -> AnyResponse:
            async def chunks() -> AsyncIterator[bytes]:
                for number in range(1000):
                    sent.append(number)
                    yield b"x"

            return StreamingResponse(200, (), chunks())

        network = network_of(handler)
        async with network.transport("a").stream(ROOT, GET, 10) as opened:
            await asyncio.sleep(100)
            assert len(sent) < 20
            assert len([chunk async for chunk in opened.chunks]) == 1000

    run(main)


def test_a_silent_cut_in_the_middle_of_a_stream_is_noticed_by_the_idle_timeout():
    async def main() -> None:
        network = network_of(ticks)
        link = network.link("a", ROOT)
        running_loop().call_later(3.5, link.cut)
        running_loop().call_later(6.5, link.restore)
        async with network.transport("a").stream(ROOT, GET, idle_timeout_s=10) as opened:
            chunks = [await anext(opened.chunks) for _ in range(4)]
            with pytest.raises(PeerUnreachable, match=r"no answer within 10 s"):
                await anext(opened.chunks)
        assert chunks == [b"0", b"1", b"2", b"3"]
        assert running_loop().time() == 13
        assert network.counts["chunks_lost"] == 1
        # The restored link serves the next connection.
        async with network.transport("a").stream(ROOT, GET, idle_timeout_s=10) as opened:
            assert await anext(opened.chunks) == b"0"

    run(main)


def test_a_reset_is_noticed_at_once():
    async def main() -> None:
        network = network_of(ticks)
        running_loop().call_later(3.5, lambda: network.link("a", ROOT).cut(reset=True))
        async with network.transport("a").stream(ROOT, GET, idle_timeout_s=100) as opened:
            with pytest.raises(PeerUnreachable, match="connection reset"):
                async for _ in opened.chunks:
                    pass
        assert running_loop().time() == 3.5

    run(main)


def test_links_are_of_one_node():
    async def main() -> None:
        network = network_of(echo)
        network.link("a", ROOT).cut()
        assert (await network.transport("b").request(ROOT, GET, 5)).status == 200
        assert len(network.links("a")) == len(network.links("b")) == 1

    run(main)


def test_errors_of_handlers_are_problem_details():
    async def main() -> None:
        async def missing(request: Request) -> AnyResponse:
            raise NotFound("read stream", "a/b", "there is none")

        network = network_of(missing)
        answer = await network.transport("a").request(ROOT, GET, 5)
        assert answer.status == 404
        assert b"cannot read stream a/b" in answer.body

    run(main)


def test_closing_ends_what_is_in_progress():
    async def main() -> None:
        network = network_of(never)
        with pytest.raises(PeerUnreachable):
            await network.transport("a").request(ROOT, GET, 1)
        assert len(network.tasks) == 1
        await network.aclose()
        assert len(network.tasks) == 0

    run(main)
