"""HTTP/2 at the gateway: streams side by side, what is refused, and what one client may cost."""

import asyncio
import contextlib
import json

import pytest
import uvloop
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.gateway_limits import (
    GATEWAY_BODY_S,
    GATEWAY_CONTROL_FRAMES,
    GATEWAY_FIELDS,
    GATEWAY_IDLE_S,
    GATEWAY_READ_BYTES,
    GATEWAY_STREAM_RESETS,
    GATEWAY_STREAMS,
)
from littoral.core.limits import API_WRITE_S, Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.web_listener import WebListener
from littoral.gateway.exchange import BodyBroken, ClientGone, Exchange
from littoral.gateway.gateway import Gateway
from littoral.gateway.origin_calls import OriginCalls, OriginSender
from littoral.gateway.origins.caller import OriginCaller
from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.settings import OriginPool, Target
from littoral.gateway.routes import Route, RouteTable
from tests.support.origins import Peer, against
from tests.support.web import DEADLINE_S, PLAIN, echo, until
from tests.support.web_http2 import REQUEST, Http2Client, asking, http2_connected, play_http2


def test_a_request_is_seen_as_in_http_1():
    async def story(client: Http2Client, listener: WebListener) -> None:
        cookies = (("cookie", "a=b"), ("x-a", "1"), ("cookie", "c=d"))
        stream = client.ask(asking("GET", "/a%2Fb?c", *cookies))
        answer = await client.answer(stream)
        assert answer.fields[":status"] == "200"
        assert answer.fields["content-length"] == str(len(answer.body))
        assert "date" in answer.fields
        method, target, host, version, fields, _ = json.loads(answer.body)
        assert (method, target, host, version) == ("GET", "/a%2Fb?c", "h", "2")
        assert fields == [["host", "h"], ["x-a", "1"], ["cookie", "a=b; c=d"]]

    play_http2(echo, story)


def test_streams_are_answered_side_by_side_and_bodies_are_read():
    go_on = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        if exchange.target == "/slow":
            await go_on.wait()
        body = b"".join([piece async for piece in exchange.body()])
        exchange.respond(200, PLAIN, (), body)

    async def story(client: Http2Client, listener: WebListener) -> None:
        slow = client.ask(asking("POST", "/slow"), b"slow")
        quick = client.ask(asking("POST", "/quick"), b"quick")
        assert (await client.answer(quick)).body == b"quick"
        assert not client.answers[slow].is_whole
        go_on.set()
        assert (await client.answer(slow)).body == b"slow"

    play_http2(serve, story)


def test_an_answer_in_pieces_has_interim_ones_before_it_and_trailers_behind():
    async def serve(exchange: Exchange) -> None:
        exchange.inform(103, [("link", "</a>")])
        await exchange.begin(200, PLAIN, [("connection", "close"), ("x-a", "b")])
        await exchange.send(b"abc")
        await exchange.send(memoryview(b"def"))
        await exchange.end([("x-end", "1")])

    async def story(client: Http2Client, listener: WebListener) -> None:
        answer = await client.answer(client.ask(REQUEST))
        assert answer.interim[0] == {":status": "103", "link": "</a>"}
        assert (answer.body, answer.trailers) == (b"abcdef", {"x-end": "1"})
        assert answer.fields["x-a"] == "b"
        assert "connection" not in answer.fields

    play_http2(serve, story)


@pytest.mark.parametrize(
    ("method", "status", "fields", "body", "length"),
    [
        ("HEAD", 200, [], b"abc", "3"),
        ("HEAD", 200, [("content-length", "9")], b"", "9"),
        ("GET", 304, [("content-length", "9")], b"no", "9"),
        ("GET", 204, [("content-length", "9")], b"no", None),
        ("GET", 200, [("content-length", "9")], b"abc", "3"),
    ],
)
def test_answers_say_their_length_once(
    method: str, status: int, fields: list[tuple[str, str]], body: bytes, length: str | None
):
    def serve(exchange: Exchange) -> None:
        exchange.respond(status, PLAIN, fields, body)

    async def story(client: Http2Client, listener: WebListener) -> None:
        answer = await client.answer(client.ask(asking(method, "/")))
        assert answer.fields.get("content-length") == length
        assert answer.body == (body if (method, status) == ("GET", 200) else b"")

    play_http2(serve, story)


@pytest.mark.parametrize(("said", "sent"), [(4, 3), (3, 4)])
def test_a_body_that_does_not_fit_its_length_resets_the_stream(said: int, sent: int):
    gone: list[bool] = []

    async def serve(exchange: Exchange) -> None:
        await exchange.begin(200, PLAIN, [("content-length", str(said))])
        try:
            await exchange.send(b"x" * sent)
            await exchange.end()
        except ClientGone:
            gone.append(True)

    async def story(client: Http2Client, listener: WebListener) -> None:
        answer = await client.answer(client.ask(REQUEST))
        assert answer.reset == ErrorCodes.INTERNAL_ERROR
        assert not answer.is_whole
        assert gone == [True]

    play_http2(serve, story)


G = REQUEST
MALFORMED: dict[str, tuple[list[tuple[str, str]], int]] = {
    "upper case": ([*G, ("X-A", "b")], 400),
    "line feed": ([*G, ("x-a", "b\r\nx: y")], 400),
    "NUL": ([*G, ("x-a", "b\x00")], 400),
    "space before": ([*G, ("x-a", " b")], 400),
    "name with colon": ([*G, ("x:a", "b")], 400),
    "empty name": ([*G, ("", "b")], 400),
    "transfer-encoding": ([*G, ("transfer-encoding", "chunked")], 400),
    "connection": ([*G, ("connection", "close")], 400),
    "upgrade": ([*G, ("upgrade", "h2c")], 400),
    "te": ([*G, ("te", "gzip")], 400),
    "two lengths": ([*G, ("content-length", "0"), ("content-length", "0")], 400),
    "pseudo behind": ([*G[:3], ("x-a", "b"), G[3]], 400),
    "pseudo twice": ([*G, (":path", "/b")], 400),
    "pseudo unknown": ([*G, (":x", "/b")], 400),
    "pseudo of answers": ([(":status", "299"), *G], 400),
    "no method": (G[1:], 400),
    "method with space": ([(":method", "GET / HTTP/1.1"), *G[1:]], 400),
    "no scheme": ([G[0], *G[2:]], 400),
    "other scheme": ([G[0], (":scheme", "ftp"), *G[2:]], 400),
    "https here": ([G[0], (":scheme", "https"), *G[2:]], 421),
    "no path": (G[:3], 400),
    "empty path": ([*G[:3], (":path", "")], 400),
    "path without slash": ([*G[:3], (":path", "a")], 400),
    "path with space": ([*G[:3], (":path", "/a HTTP/1.1")], 400),
    "fragment": ([*G[:3], (":path", "/#a")], 400),
    "star": ([*G[:3], (":path", "*")], 400),
    "no authority": ([*G[:2], G[3]], 400),
    "authority with user": ([*G[:2], (":authority", "a@h"), G[3]], 400),
    "another host": ([*G, ("host", "i")], 400),
    "two hosts": ([*G, ("host", "h"), ("host", "h")], 400),
    "CONNECT": ([(":method", "CONNECT"), (":authority", "h:443")], 405),
    "protocol for GET": ([*G, (":protocol", "websocket")], 400),
    "expectation": ([*G, ("expect", "more")], 417),
    "long path": ([*G[:3], (":path", "/" + "a" * 17_000)], 414),
    "many fields": ([*G, *[("x-a", "b")] * (GATEWAY_FIELDS.default + 10)], 431),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_is_refused_and_the_others_go_on(name: str):
    fields, status = MALFORMED[name]
    served: list[str] = []

    def serve(exchange: Exchange) -> None:
        served.append(exchange.target)
        exchange.respond(200, PLAIN, (), b"")

    async def story(client: Http2Client, listener: WebListener) -> None:
        answer = await client.answer(client.ask(fields))
        assert answer.fields[":status"] == str(status)
        assert json.loads(answer.body)["status"] == status
        assert (await client.answer(client.ask(asking("GET", "/next")))).fields[":status"] == "200"
        assert served == ["/next"]
        assert sum(listener.refusals.values()) == 1

    play_http2(serve, story)


def test_a_body_of_another_length_ends_the_connection():
    broken: list[Exception] = []

    async def serve(exchange: Exchange) -> None:
        try:
            async for _ in exchange.body():
                pass
        except (ClientGone, BodyBroken) as error:
            broken.append(error)

    async def story(client: Http2Client, listener: WebListener) -> None:
        stream = client.ask(asking("POST", "/", ("content-length", "3")), ends=False)
        await until(lambda: bool(listener._tasks))
        client.wire.send_data(stream, b"abcd")
        client.flush()
        await client.closed()
        assert client.goodbye == ErrorCodes.PROTOCOL_ERROR
        await until(lambda: bool(broken))

    play_http2(serve, story)


def test_a_body_is_read_ahead_by_one_window_and_answers_wait_for_theirs():
    window = GATEWAY_READ_BYTES.default
    go_on = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await go_on.wait()
        size = sum([len(piece) async for piece in exchange.body()])
        await exchange.begin(200, PLAIN, ())
        for _ in range(size // window):
            await exchange.send(b"y" * window)
        await exchange.end()

    async def story(client: Http2Client, listener: WebListener) -> None:
        stream = client.ask(asking("POST", "/"), ends=False)
        await client.until(lambda: client.wire.local_flow_control_window(stream) == window)
        left = 10 * window
        while left:
            room = min(client.wire.local_flow_control_window(stream), client.wire.max_outbound_frame_size, left)
            if room == 0:
                assert left == 9 * window or go_on.is_set(), "nothing is read ahead of the window"
                go_on.set()
                await client.until(lambda: client.wire.local_flow_control_window(stream) > 0)
                continue
            left -= room
            client.wire.send_data(stream, b"x" * room, end_stream=not left)
            client.flush()
        assert len((await client.answer(stream)).body) == 10 * window

    play_http2(serve, story)


def test_a_stream_that_does_not_read_holds_up_no_other_and_is_cut_off():
    async def story(client: Http2Client, listener: WebListener) -> None:
        stuck = client.ask(asking("GET", "/stuck"))
        await client.until(lambda: len(client.answers[stuck].body) == 30_000)
        client.wire.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
        assert (await client.answer(stuck)).reset == ErrorCodes.INTERNAL_ERROR
        assert listener.refusals == {"unread": 1}

    def serve(exchange: Exchange) -> None:
        exchange.respond(200, PLAIN, (), b"x" * 100_000)

    async def main() -> None:
        async with http2_connected(serve, Limits({API_WRITE_S.name: 1}), acknowledges=False) as (client, listener):
            client.wire.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 30_000})
            client.flush()
            await story(client, listener)

    uvloop.run(main())


def test_an_answer_without_the_body_asks_for_no_more_of_it():
    def serve(exchange: Exchange) -> None:
        exchange.respond(413, PLAIN, (), b"no")

    async def story(client: Http2Client, listener: WebListener) -> None:
        answer = await client.answer(client.ask(asking("POST", "/"), b"x", ends=False))
        assert (answer.fields[":status"], answer.body) == ("413", b"no")
        await client.until(lambda: answer.reset is not None)
        assert answer.reset == ErrorCodes.NO_ERROR
        assert (await client.answer(client.ask(REQUEST))).is_whole

    play_http2(serve, story)


@pytest.mark.parametrize("ends", [True, False])
def test_bodies_that_nobody_reads_take_no_room_from_others(*, ends: bool):
    def serve(exchange: Exchange) -> None:
        exchange.respond(413, PLAIN, (), b"no")

    async def later(exchange: Exchange) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        serve(exchange)

    async def story(client: Http2Client, listener: WebListener) -> None:
        for _ in range(60):
            stream = client.ask(asking("POST", "/"), b"x" * 16_000, ends=False)
            for left in (2, 1):
                client.wire.send_data(stream, b"x" * 16_000, end_stream=ends and left == 1)
            client.flush()
            assert (await client.answer(stream)).fields[":status"] == "413"
        assert client.wire.outbound_flow_control_window > 500_000

    play_http2(later, story)


def test_who_waits_to_be_told_to_go_on_is_told():
    async def story(client: Http2Client, listener: WebListener) -> None:
        stream = client.ask(asking("POST", "/", ("expect", "100-continue")), ends=False)
        await client.until(lambda: bool(client.answers[stream].interim))
        client.wire.send_data(stream, b"ab", end_stream=True)
        client.flush()
        answer = await client.answer(stream)
        assert answer.interim == [{":status": "100"}]
        assert json.loads(answer.body)[5] == "ab"

    play_http2(echo, story)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_that_waits_for_its_next_piece_ends_when_its_stream_is_taken_back(method: str):
    ended: list[str] = []

    async def serve(exchange: Exchange) -> None:
        await exchange.begin(200, PLAIN, ())
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append(exchange.method)
            raise

    async def story(client: Http2Client, listener: WebListener) -> None:
        stream = client.ask(asking(method, "/"))
        await until(lambda: bool(listener._tasks))
        client.wire.reset_stream(stream)
        client.flush()
        await until(lambda: not listener._tasks)
        assert ended == [method]

    play_http2(serve, story)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stream_that_is_taken_back_ends_what_is_safe_and_counts_until_the_rest_has_ended(method: str):
    go_on = asyncio.Event()
    seen: list[str] = []

    async def serve(exchange: Exchange) -> None:
        exchange.when_gone(lambda: seen.append("gone"))
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        exchange.respond(200, PLAIN, (), b"")

    async def story(client: Http2Client, listener: WebListener) -> None:
        stream = client.ask(asking(method, "/"))
        await until(lambda: bool(listener._tasks))
        client.wire.reset_stream(stream)
        client.flush()
        await until(lambda: seen == (["gone", "cancelled"] if method == "GET" else ["gone"]))
        await until(lambda: not listener._tasks or method == "POST")
        second = client.ask(asking("POST", "/"))
        if method == "GET":
            go_on.set()
            assert (await client.answer(second)).fields[":status"] == "200"
        else:
            assert (await client.answer(second)).reset == ErrorCodes.REFUSED_STREAM
            go_on.set()
            await until(lambda: not listener._tasks)
            assert (await client.answer(client.ask(REQUEST))).is_whole

    play_http2(serve, story, Limits({GATEWAY_STREAMS.name: 1}))


def test_a_client_that_takes_back_all_it_asks_is_hung_up():
    served = 0

    async def serve(exchange: Exchange) -> None:
        nonlocal served
        served += 1
        await asyncio.sleep(DEADLINE_S)

    async def story(client: Http2Client, listener: WebListener) -> None:
        await client.until(lambda: client.wire.remote_settings.max_concurrent_streams == GATEWAY_STREAMS.default)
        for _ in range(100):
            client.wire.reset_stream(client.ask(REQUEST))
        client.flush()
        await client.closed()
        assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM
        assert served <= 12
        assert listener.refusals == {"flood": 1}
        assert listener._limits.reached[GATEWAY_STREAM_RESETS.name] == 1

    play_http2(serve, story, Limits({GATEWAY_STREAM_RESETS.name: 10}))


@pytest.mark.parametrize("kind", ["ping", "settings", "priority", "empty data"])
def test_a_client_that_sends_frames_that_carry_nothing_is_hung_up(kind: str):
    async def story(client: Http2Client, listener: WebListener) -> None:
        stream = client.ask(asking("POST", "/"), ends=False)
        for number in range(100):
            if kind == "ping":
                client.wire.ping(b"%08d" % number)
            elif kind == "settings":
                client.wire.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535 + number})
            elif kind == "priority":
                client.wire.prioritize(stream, weight=1 + number)
            else:
                client.wire.send_data(stream, b"")
        client.flush()
        await client.closed()
        assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM
        assert listener._limits.reached[GATEWAY_CONTROL_FRAMES.name] == 1

    play_http2(echo, story, Limits({GATEWAY_CONTROL_FRAMES.name: 20}))


def test_a_head_without_end_is_no_way_to_memory():
    async def story(client: Http2Client, listener: WebListener) -> None:
        client.writer.write(HeadersFrame(1, b"\x82").serialize())
        for _ in range(200):
            client.writer.write(ContinuationFrame(1, b"\x00" * 1000).serialize())
        await client.closed()
        assert listener.refusals == {"malformed": 1}

    play_http2(echo, story)


def test_a_head_that_unpacks_to_much_is_no_way_to_memory():
    async def story(client: Http2Client, listener: WebListener) -> None:
        client.ask([*REQUEST, *[("x-bomb", "x" * 4000)] * 100])
        await client.closed()
        assert listener.refusals == {"malformed": 1}

    play_http2(echo, story)


@pytest.mark.parametrize(("limit", "why"), [(GATEWAY_IDLE_S, "idle"), (GATEWAY_BODY_S, "late")])
def test_who_is_late_is_told_and_who_asks_nothing_is_let_go(limit, why: str):
    async def story(client: Http2Client, listener: WebListener) -> None:
        if why == "late":
            answer = await client.answer(client.ask(asking("POST", "/"), ends=False))
            assert answer.fields[":status"] == "408"
        else:
            await client.closed()
            assert client.goodbye == ErrorCodes.NO_ERROR
        assert listener._limits.reached[limit.name] == 1
        assert listener.refusals == {why: 1}

    play_http2(echo, story, Limits({limit.name: 1}))


def test_a_drained_connection_answers_what_came_and_refuses_what_comes():
    go_on = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await go_on.wait()
        exchange.respond(200, PLAIN, (), b"done")

    async def story(client: Http2Client, listener: WebListener) -> None:
        stream = client.ask(REQUEST)
        await until(lambda: bool(listener._tasks))
        stopping = asyncio.ensure_future(listener.stop(DEADLINE_S))
        await client.until(lambda: client.goodbye == ErrorCodes.NO_ERROR)
        # The library takes the announcement for the end; what comes is looked at all the same.
        client.wire.state_machine.state = ConnectionState.CLIENT_OPEN
        late = client.ask(REQUEST)
        assert (await client.answer(late)).reset == ErrorCodes.REFUSED_STREAM
        go_on.set()
        assert (await client.answer(stream)).body == b"done"
        await client.closed()
        assert await stopping

    play_http2(serve, story)


def test_another_protocol_goes_over_a_stream_as_over_a_connection():
    async def serve(exchange: Exchange) -> None:
        fields = dict(exchange.fields)
        assert (exchange.method, exchange.has_body) == ("GET", False)
        assert (fields["upgrade"], fields["connection"]) == ("websocket", "upgrade")
        assert len(fields["sec-websocket-key"]) == 24
        duplex = exchange.switch(101, [("upgrade", "websocket"), ("sec-websocket-accept", "x"), ("x-a", "b")])
        while data := await duplex.read():
            await duplex.write(data.upper())
        duplex.close()

    async def story(client: Http2Client, listener: WebListener) -> None:
        await client.until(lambda: client.wire.remote_settings.enable_connect_protocol == 1)
        head = [(":method", "CONNECT"), (":protocol", "websocket"), *REQUEST[1:]]
        stream = client.ask(head, ends=False)
        client.wire.send_data(stream, b"abc")
        client.flush()
        answer = client.answers[stream]
        await client.until(lambda: answer.body == b"ABC")
        assert answer.fields[":status"] == "200"
        assert "upgrade" not in answer.fields
        assert "sec-websocket-accept" not in answer.fields
        client.wire.end_stream(stream)
        client.flush()
        assert (await client.answer(stream)).is_whole
        await until(lambda: not listener._tasks)

    play_http2(serve, story)


CHAT = [(":method", "CONNECT"), (":protocol", "websocket"), *REQUEST[1:]]


@pytest.mark.parametrize(("status", "said"), [(200, "501"), (204, "501"), (403, "403"), (301, "301")])
def test_a_plain_answer_to_a_wish_for_another_protocol_says_no(status: int, said: str):
    async def serve(exchange: Exchange) -> None:
        if status == 200:
            await exchange.begin(status, PLAIN, ())
            await exchange.end()
        else:
            exchange.respond(status, PLAIN, (), b"")

    async def story(client: Http2Client, listener: WebListener) -> None:
        await client.until(lambda: client.wire.remote_settings.enable_connect_protocol == 1)
        assert (await client.answer(client.ask(CHAT, ends=False))).fields[":status"] == said

    play_http2(serve, story)


def test_a_websocket_over_http_2_goes_on_to_an_origin_that_speaks_http_1():
    async def script(peer: Peer) -> None:
        assert "\r\nupgrade: websocket\r\n" in await peer.head()
        await peer.say(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi")
        while data := await peer.reader.read(100):
            await peer.say(data.upper())

    async def main() -> None:
        async with against(script) as (origin, transport):
            pool = OriginPool("pool", (Target(origin.endpoint),))
            caller = OriginCaller(pool, transport, SystemClock(), SystemRandom(), PoolMeter(), key=b"k")
            gateway = Gateway(SystemClock(), "g", print)
            handler = OriginCalls(OriginSender(caller, "", ""), None, Limits())
            gateway.configure(RouteTable([Route("route/all")]), {"route/all": handler})
            async with http2_connected(gateway.serve) as (client, _):
                await client.until(lambda: client.wire.remote_settings.enable_connect_protocol == 1)
                stream = client.ask(CHAT, ends=False)
                await client.until(lambda: client.answers[stream].body == b"hi")
                assert client.answers[stream].fields[":status"] == "200"
                client.wire.send_data(stream, b"hello", end_stream=True)
                client.flush()
                assert (await client.answer(stream)).body == b"hiHELLO"

    uvloop.run(main())


def test_another_protocol_ends_where_its_stream_is_reset():
    ended: list[bytes] = []

    async def serve(exchange: Exchange) -> None:
        ended.append(await exchange.switch(101, [("upgrade", "websocket")]).read())

    async def story(client: Http2Client, listener: WebListener) -> None:
        await client.until(lambda: client.wire.remote_settings.enable_connect_protocol == 1)
        stream = client.ask(CHAT, ends=False)
        await client.until(lambda: bool(client.answers[stream].fields))
        client.wire.reset_stream(stream)
        client.flush()
        await until(lambda: ended == [b""])

    play_http2(serve, story)


@settings(max_examples=80)
@given(st.lists(st.one_of(st.binary(max_size=40), st.builds(lambda kind, body: len(body).to_bytes(3) + bytes([kind]) + body, st.integers(0, 12), st.binary(min_size=5, max_size=30))), max_size=12))  # fmt: skip
def test_no_frames_raise_out_of_the_connection(parts: list[bytes]):
    faults: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        async with http2_connected(echo) as (client, listener):
            listener.fault = lambda method, target, error: faults.append(error)  # type: ignore[method-assign,assignment,return-value]
            for part in parts:
                client.writer.write(part)
                await asyncio.sleep(0)
            client.writer.write_eof()
            with contextlib.suppress(ConnectionError):
                while await client.reader.read(65536):
                    pass
            await until(lambda: not listener.connections)

    uvloop.run(main())
    assert faults == []
