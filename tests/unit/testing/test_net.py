"""The simulated network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from littoral.core.errors import NotFound, PeerUnreachable
from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.testing.loop import node_context, run, running_loop
from littoral.testing.net import SimNetwork, Traffic
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


@pytest.mark.parametrize("dies", [False, True])
def test_a_fault_of_ours_is_answered_and_heard_of_unless_the_process_dies_of_it(*, dies: bool):
    fault = AssertionError("a broken invariant")

    async def breaks(request: Request) -> AnyResponse:
        if dies:
            network.stop(ROOT)
        raise fault

    network = SimNetwork(SeededRandom(7))

    async def main() -> None:
        network.serve(ROOT, breaks)
        asked = network.transport("a").request(ROOT, GET, 5)
        if dies:
            with pytest.raises(PeerUnreachable, match="reset"):
                await asked
        else:
            assert (await asked).status == 500
        assert network.failures == ([] if dies else [fault])

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


def test_what_is_sent_at_once_shares_the_bandwidth():
    async def main() -> None:
        network = network_of(echo)
        link = network.link("a", ROOT)
        link.bytes_per_s = 1000
        times: list[float] = []

        async def send() -> None:
            await network.transport("a").request(ROOT, Request("POST", "/", body=bytes(1000)), 60)
            times.append(running_loop().time())

        await asyncio.gather(*(send() for _ in range(3)))
        assert times == pytest.approx([2, 3, 4])

    run(main)


def test_what_nobody_waits_for_any_more_leaves_the_bandwidth_to_others():
    async def main() -> None:
        handled: list[int] = []

        async def note(request: Request) -> AnyResponse:
            handled.append(len(request.body))
            return Response()

        network = network_of(note)
        network.link("a", ROOT).bytes_per_s = 1000
        transport = network.transport("a")
        with pytest.raises(PeerUnreachable):
            await transport.request(ROOT, Request("POST", "/", body=bytes(100_000)), 5)
        await transport.request(ROOT, Request("POST", "/", body=bytes(1000)), 5)
        assert running_loop().time() == pytest.approx(6)
        await asyncio.sleep(200)
        assert handled == [1000]
        assert network.counts["requests_lost"] == 1

    run(main)


def test_a_copy_of_a_request_reaches_the_handler_and_its_answer_nobody():
    async def main() -> None:
        times: list[float] = []

        async def note(request: Request) -> AnyResponse:
            times.append(running_loop().time())
            return Response(200, [], b"%d" % len(times))

        network = network_of(note)
        link = network.link("a", ROOT)
        link.duplication, link.held_s = 1, 10
        assert (await network.transport("a").request(ROOT, GET, 5)).body == b"1"
        await asyncio.sleep(10)
        assert len(times) == 2
        assert 0 < times[1] <= 10
        assert (network.counts["handled"], network.counts["duplicated"], network.counts["answered"]) == (1, 1, 1)
        await network.transport("a").request(ROOT, GET, 5)
        network.stop(ROOT)
        await asyncio.sleep(10)
        assert len(times) == 3
        assert network.failures == []

    run(main)


def test_streams_are_neither_copied_nor_held_back():
    async def main() -> None:
        network = network_of(ticks)
        link = network.link("a", ROOT)
        link.duplication = link.reordering = 1
        link.held_s = 100
        async with network.transport("a").stream(ROOT, GET, 10) as opened:
            assert await anext(opened.chunks) == b"0"
        assert running_loop().time() == 0
        assert network.counts["duplicated"] == network.counts["held"] == 0

    run(main)


def test_later_requests_overtake_one_that_is_held_back():
    async def main() -> None:
        order: list[str] = []

        async def note(request: Request) -> AnyResponse:
            order.append(request.path)
            return Response()

        network = network_of(note)
        link = network.link("a", ROOT)
        link.delay_s, link.reordering, link.held_s = 0.01, 0.5, 3
        transport = network.transport("a")
        paths = [f"/{number}" for number in range(20)]
        await asyncio.gather(*(transport.request(ROOT, Request("GET", path), 60) for path in paths))
        assert sorted(order) == sorted(paths)
        assert order != paths
        assert 2 < network.counts["held"] < 18
        assert 1 < running_loop().time() < 3.1

    run(main)


def test_a_paused_process_takes_requests_and_answers_when_it_goes_on():
    async def main() -> None:
        network = SimNetwork(SeededRandom(7))
        node_context("root").run(network.serve, ROOT, echo)
        network.link("a", ROOT).delay_s = 0.1
        loop, transport = running_loop(), network.transport("a")
        loop.pause("root")
        patient = asyncio.ensure_future(transport.request(ROOT, GET, 60))
        with pytest.raises(PeerUnreachable, match="timed out"):
            await transport.request(ROOT, GET, 5)
        assert network.counts["handled"] == 0
        loop.resume("root")
        assert (await patient).status == 200
        assert loop.time() == pytest.approx(5.1)
        assert network.counts["handled"] == 2
        loop.pause("root")
        loop.call_later(1, network.stop, ROOT)
        with pytest.raises(PeerUnreachable, match="reset"):
            await transport.request(ROOT, GET, 5)
        loop.resume("root")

    run(main)


def test_answers_to_a_paused_process_wait_for_it_and_those_on_their_way_from_one_do_not():
    async def main() -> None:
        network = SimNetwork(SeededRandom(7))
        node_context("root").run(network.serve, ROOT, echo)
        network.link("a", ROOT).delay_s = 1
        loop, times = running_loop(), list[float]()

        async def ask() -> None:
            await network.transport("a").request(ROOT, GET, 60)
            times.append(loop.time())

        tasks = [loop.create_task(ask(), context=node_context("a"))]
        await asyncio.sleep(0.5)
        loop.pause("a")
        await asyncio.sleep(9.5)
        loop.resume("a")
        await asyncio.wait(tasks)
        tasks = [loop.create_task(ask(), context=node_context("a"))]
        await asyncio.sleep(1.5)
        loop.pause("root")
        await asyncio.wait(tasks)
        assert times == [10, 12]

    run(main)


def test_an_observer_is_told_of_each_request():
    async def main() -> None:
        told: list[Traffic] = []
        network = network_of(echo)
        network.observe = told.append
        network.link("a", ROOT).delay_s = 1
        await network.transport("a").request(ROOT, Request("POST", "/x", body=b"abc"), 5)
        network.link("a", ROOT).cut("responses")
        with pytest.raises(PeerUnreachable):
            await network.transport("a").request(ROOT, GET, 5)
        with pytest.raises(PeerUnreachable):
            await network.transport("a").request("https://nowhere", GET, 5)
        assert [(each.at_s, each.number, each.event, each.size_bytes) for each in told] == [
            (0, 1, "requests", 3),
            (1, 1, "handled", 3),
            (2, 1, "answered", 3),
            (2, 2, "requests", 0),
            (3, 2, "handled", 0),
            (4, 2, "responses_lost", 0),
            (7, 2, "timeouts", 0),
            (7, 3, "requests", 0),
            (7, 3, "refused", 0),
        ]
        assert (told[0].source, told[0].target, told[0].method, told[0].path) == ("a", ROOT, "POST", "/x")

    run(main)
