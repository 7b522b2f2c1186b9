"""A listener of the gateway: how it stops, what it counts, and that other limits take effect at once."""

import asyncio

import uvloop

from littoral.core.gateway_limits import GATEWAY_CONNECTIONS, GATEWAY_FIELDS
from littoral.core.limits import Limits
from littoral.drivers.web_listener import WebListener
from littoral.gateway.exchange import ClientGone, Exchange
from tests.support.web import DEADLINE_S, PLAIN, WebClient, echo, listening, play, until


def test_a_drained_listener_answers_what_came_and_says_that_it_was_the_last():
    go_on = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await go_on.wait()
        exchange.respond(200, PLAIN, (), exchange.target.encode())

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get("/first")
        client.get("/second")
        await until(lambda: bool(listener._tasks))
        stopping = asyncio.ensure_future(listener.stop(DEADLINE_S))
        await asyncio.sleep(0)
        go_on.set()
        head, body = await client.answer()
        assert body == b"/first"
        assert "\r\nconnection: close\r\n" in head
        assert await client.rest() == b""
        client.leave()
        assert await stopping

    play(serve, story)


def test_idle_connections_are_closed_at_once_and_new_ones_within_a_second():
    async def main() -> None:
        async with listening(echo) as (listener, address):
            idle = WebClient(*await asyncio.open_connection(*address))
            idle.get()
            await idle.answer()
            fresh = WebClient(*await asyncio.open_connection(*address))
            await until(lambda: listener.connections == 2)
            assert await listener.stop(DEADLINE_S)
            assert await idle.rest() == await fresh.rest() == b""
            idle.leave()
            fresh.leave()
            assert listener.connections == 0

    uvloop.run(main())


def test_who_is_about_to_ask_may_where_there_is_time():
    async def story(client: WebClient, listener: WebListener) -> None:
        client.get("/first")
        await client.answer()
        stopping = asyncio.ensure_future(listener.stop(DEADLINE_S, DEADLINE_S))
        await asyncio.sleep(0)
        client.get("/last")
        head, _ = await client.answer()
        assert "\r\nconnection: close\r\n" in head
        assert await client.rest() == b""
        assert await stopping

    play(echo, story)


def test_what_outlasts_the_grace_is_cut_off():
    ended: list[str] = []

    async def serve(exchange: Exchange) -> None:
        await exchange.begin(200, PLAIN, ())
        try:
            while True:
                await exchange.send(b"x")
                await asyncio.sleep(0.001)
        except ClientGone:
            ended.append("gone")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.get()
        await client.head()
        assert not await listener.stop(0.05)
        assert not (await client.rest()).endswith(b"0\r\n\r\n")

    play(serve, story)


def test_what_goes_on_for_clients_that_have_gone_has_the_grace_too():
    go_on = asyncio.Event()
    done: list[bool] = []

    async def serve(exchange: Exchange) -> None:
        await go_on.wait()
        done.append(True)
        exchange.respond(200, PLAIN, (), b"")

    async def story(client: WebClient, listener: WebListener) -> None:
        client.write(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: bool(listener._tasks))
        client.leave()
        await until(lambda: not listener.connections)
        stopping = asyncio.ensure_future(listener.stop(DEADLINE_S))
        await asyncio.sleep(0)
        go_on.set()
        assert await stopping
        assert done == [True]

    play(serve, story)


def test_connections_over_the_limit_are_closed_and_counted():
    async def main() -> None:
        async with listening(echo, Limits({GATEWAY_CONNECTIONS.name: 1})) as (listener, address):
            first = WebClient(*await asyncio.open_connection(*address))
            first.get()
            await first.answer()
            second = WebClient(*await asyncio.open_connection(*address))
            assert await second.rest() == b""
            assert listener.refusals == {"connections": 1}
            assert listener._limits.reached[GATEWAY_CONNECTIONS.name] == 1
            assert listener.accepted == 2
            first.get()
            assert (await first.answer())[0].startswith("HTTP/1.1 200")
            first.leave()
            await until(lambda: listener.connections == 0)
            third = WebClient(*await asyncio.open_connection(*address))
            third.get()
            assert (await third.answer())[0].startswith("HTTP/1.1 200")
            second.leave()
            third.leave()

    uvloop.run(main())


def test_other_limits_hold_from_the_next_request_on():
    async def story(client: WebClient, listener: WebListener) -> None:
        client.get("/", "X: y", "Y: z")
        await client.answer()
        limits = Limits({GATEWAY_FIELDS.name: 2})
        listener.configure(limits)
        client.get("/", "X: y", "Z: z")
        assert "HTTP/1.1 431 " in await client.head()
        assert limits.reached[GATEWAY_FIELDS.name] == 1

    play(echo, story)
