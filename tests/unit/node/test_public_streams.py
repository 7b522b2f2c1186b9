"""The streams listener: who is let in, what is told to whom is not, and what a browser needs to hear."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.core.limits import Limits
from littoral.core.resources.model import ANYONE, StreamAccess, StreamClient, Streams
from littoral.core.webhooks import NoWebhooks
from littoral.drivers.disk import LocalDisk
from littoral.node.public_streams import PublicStreams
from littoral.security.stream_clients import make_stream_token
from littoral.streams.subscriptions.service import Subscriptions
from littoral.testing.random import SeededRandom
from littoral.wire.durable_streams import format_offset
from tests.support.stream_client import DEADLINE_S, TEXT, StreamNode, field, opened

RANDOM = SeededRandom(1)
ANN, BOB = make_stream_token(RANDOM), make_stream_token(RANDOM)
APP, OTHER = "https://app.example", "https://other.example"
CLIENTS = [StreamClient(name="ann", token_hash=ANN.hash), StreamClient(name="bob", token_hash=BOB.hash)]
ACCESS = [
    StreamAccess(streams=["plant-a/rooms/*"], read=[ANYONE], append=["bob"], manage=["ann"]),
    StreamAccess(streams=["plant-a/secret"], read=["bob"]),
    StreamAccess(streams=["plant-a/forks/*", "plant-a/lines/*"], read=["ann"], manage=["ann"]),
    StreamAccess(streams=["plant-a/__ds/*"], read=["ann"], manage=["ann"]),
]


class Listener:
    """The handler, and what comes in at its socket."""

    def __init__(self, node: StreamNode, streams: Streams, directory: Path) -> None:
        self.node = node
        subscriptions = Subscriptions(
            node.store, streams, NoWebhooks(), LocalDisk(directory), node.clock, RANDOM, node.limits
        )
        self._handler = PublicStreams(node.server, streams, subscriptions.api)

    async def any(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}, token: str | None = None
    ) -> AnyResponse:
        target, _, query = path.partition("?")
        fields = dict(pair.split("=") for pair in query.split("&") if pair)
        shown = {} if token is None else {"authorization": f"Bearer {token}"}
        address = target if target.startswith("/") else f"/v1/stream/{target}"
        return await self._handler.handle(
            Request(method, address, fields, {"host": "here:1", **shown, **headers}, body)
        )

    async def __call__(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}, token: str | None = None
    ) -> Response:
        response = await self.any(method, path, body, headers, token)
        assert isinstance(response, Response)
        return response


def play(directory: Path, story: Callable[[Listener], Awaitable[None]], *origins: str) -> None:
    """Run `story` on a node with a room, a line and a secret, and with these sites let in."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), opened(directory, Limits()) as node:
            for name in ("rooms/1", "lines/1", "secret"):
                assert (await node("PUT", name, b"hello", TEXT)).status == 201
            await story(Listener(node, Streams(clients=CLIENTS, access=ACCESS, origins=list(origins)), directory))

    asyncio.run(main())


def test_everybody_gets_what_the_access_list_gives(tmp_path: Path) -> None:
    async def story(listener: Listener) -> None:
        assert (await listener("GET", "rooms/1")).body == b"hello"
        assert (await listener("HEAD", "/v1/streams/plant-a/rooms/1")).status == 200
        assert (await listener("PUT", "rooms/2", b"", TEXT, ANN.token)).status == 201
        assert (await listener("POST", "rooms/2", b"by bob", TEXT, BOB.token)).status == 204
        assert (await listener("GET", "rooms/2", token=ANN.token)).body == b"by bob"
        assert (await listener("GET", "secret", token=BOB.token)).body == b"hello"
        assert (await listener("DELETE", "rooms/2", token=ANN.token)).status == 204
        assert (await listener("GET", "rooms/2")).status == 404

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("POST", "rooms/1", None, 401),
        ("PUT", "rooms/2", None, 401),
        ("DELETE", "rooms/1", None, 401),
        ("GET", "secret", None, 401),
        ("GET", "lines/1", None, 401),
        ("POST", "rooms/1", ANN.token, 403),
        ("DELETE", "rooms/1", BOB.token, 403),
        ("GET", "secret", ANN.token, 403),
        ("POST", "secret", BOB.token, 403),
        ("GET", "/v1/streams/plant-b/rooms/1", BOB.token, 403),
        ("PATCH", "secret", ANN.token, 403),
        ("PATCH", "secret", BOB.token, 405),
        ("GET", "rooms/1", make_stream_token(RANDOM).token, 401),
        ("GET", "rooms/1", "", 401),
        ("GET", "rooms/1", ANN.hash, 401),
        ("GET", "/v1/streams", None, 400),
        ("GET", "/v1/status", None, 400),
        ("GET", "/v1/stream/a//b", None, 400),
    ],
)
def test_what_it_does_not_give_is_refused(
    tmp_path: Path, method: str, path: str, token: str | None, status: int
) -> None:
    async def story(listener: Listener) -> None:
        body = b"x" if method in ("PUT", "POST") else b""
        refused = await listener(method, path, body, TEXT, token)
        assert refused.status == status
        assert field(refused, "content-type") == "application/problem+json"
        assert field(refused, "www-authenticate") == ("Bearer" if status == 401 else None)
        assert b"hello" not in refused.body
        for name in ("rooms/1", "secret"):
            assert (await listener.node("GET", name)).body == b"hello"
        assert (await listener.node("GET", "rooms/2")).status == 404

    play(tmp_path, story)


@pytest.mark.parametrize("token", [None, ANN.token])
def test_whether_there_is_such_a_stream_is_not_told(tmp_path: Path, token: str | None) -> None:
    async def story(listener: Listener) -> None:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            there = await listener(method, "secret", b"", TEXT, token)
            missing = await listener(method, "nothing", b"", TEXT, token)
            assert there.status == missing.status == (401 if token is None else 403)
            assert there.headers == missing.headers
            assert there.body.replace(b"secret", b"nothing") == missing.body

    play(tmp_path, story)


def test_a_fork_needs_the_right_to_read_its_source(tmp_path: Path) -> None:
    async def story(listener: Listener) -> None:
        refused = []
        for source in ("/v1/stream/secret", "/v1/stream/nothing", "/v1/streams/plant-a/secret"):
            refused.append(await listener("PUT", "forks/1", b"", {"stream-forked-from": source}, ANN.token))
            assert refused[-1].status == 403
            assert "client ann may not read it" in json.loads(refused[-1].body)["detail"]
        assert refused[0].body.replace(b"secret", b"nothing") == refused[1].body
        assert (await listener("PUT", "forks/1", b"", {"stream-forked-from": "nowhere"}, ANN.token)).status == 400
        assert (await listener("GET", "forks/1", token=ANN.token)).status == 404
        for source in ("lines/1", "rooms/1"):
            headers = {"stream-forked-from": f"/v1/stream/{source}"}
            assert (await listener("PUT", f"forks/of/{source}", b"!", headers, ANN.token)).status == 201
            assert (await listener("GET", f"forks/of/{source}", token=ANN.token)).body == b"hello!"
        assert (await listener("PUT", "forks/2", b"", {"stream-forked-from": "/v1/stream/rooms/1"})).status == 401

    play(tmp_path, story)


def test_the_nodes_own_streams_are_not_written_whatever_the_list_says(tmp_path: Path) -> None:
    async def story(listener: Listener) -> None:
        everything = StreamAccess(streams=["*"], read=[ANYONE], append=[ANYONE], manage=[ANYONE])
        open_to_all = Listener(listener.node, Streams(access=[everything]), tmp_path)
        for name in ("readings/a", "desired", "kv/a"):
            for method in ("PUT", "POST", "DELETE"):
                assert (await open_to_all(method, name, b"x", TEXT)).status == 403
        assert (await open_to_all("POST", "/v1/streams/plant-b/a", b"x", TEXT)).status == 405

    play(tmp_path, story)


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.mark.parametrize(
    ("listed", "origin", "told"),
    [
        ([APP], APP, APP),
        ([APP], OTHER, None),
        ([APP], "null", None),
        ([APP], "https://app.example.other.example", None),
        ([APP], "http://app.example", None),
        (["*"], OTHER, OTHER),
        ([OTHER, APP], APP, APP),
        ([], APP, None),
        ([APP], None, None),
    ],
)
def test_a_browser_is_told_which_sites_may_call(
    tmp_path: Path, listed: list[str], origin: str | None, told: str | None
) -> None:
    async def story(listener: Listener) -> None:
        headers = {} if origin is None else {"origin": origin}
        for response in (
            await listener("GET", "rooms/1", b"", headers),
            await listener("GET", "secret", b"", headers),
            await listener("GET", "/v1/elsewhere", b"", headers),
            await listener("OPTIONS", "rooms/1", b"", headers | PREFLIGHT),
        ):
            assert field(response, "access-control-allow-origin") == told
            assert field(response, "vary") == ("Origin" if listed else None)
            exposed = field(response, "access-control-expose-headers") or ""
            assert ("Stream-Next-Offset" in exposed) is (told is not None)
            assert field(response, "access-control-allow-credentials") is None

    play(tmp_path, story, *listed)


def test_a_browser_asks_without_a_token_what_it_may_send(tmp_path: Path) -> None:
    async def story(listener: Listener) -> None:
        for name in ("secret", "nothing"):
            asked = await listener("OPTIONS", name, b"", {"origin": APP, **PREFLIGHT})
            assert (asked.status, asked.body) == (204, b"")
            assert field(asked, "access-control-allow-methods") == "GET, HEAD, OPTIONS, PUT, POST, DELETE"
            sent = (field(asked, "access-control-allow-headers") or "").split(", ")
            for header in ("Authorization", "Content-Type", "Producer-Id", "Stream-Closed", "Stream-Forked-From"):
                assert header in sent
            assert field(asked, "access-control-max-age") == "600"
        plain = await listener("GET", "rooms/1", b"", {"origin": APP})
        assert field(plain, "access-control-max-age") is None

    play(tmp_path, story, APP)


def test_events_and_long_polls_carry_what_a_browser_needs(tmp_path: Path) -> None:
    async def story(listener: Listener) -> None:
        headers = {"origin": APP}
        events = await listener.any("GET", "rooms/1?offset=-1&live=sse", b"", headers)
        assert isinstance(events, StreamingResponse)
        assert field(events, "content-type") == "text/event-stream"
        assert (field(events, "access-control-allow-origin"), field(events, "vary")) == (APP, "Origin")
        assert (await anext(events.chunks)).startswith(b"event: data\ndata:hello\n\n")
        poll = asyncio.ensure_future(listener("GET", f"rooms/1?offset={format_offset(1)}&live=long-poll", b"", headers))
        await listener("POST", "rooms/1", b"!", TEXT, BOB.token)
        answered = await poll
        assert (answered.body, field(answered, "access-control-allow-origin")) == (b"!", APP)
        assert (await anext(events.chunks)).startswith(b"event: data\ndata:!\n\n")
        refused = await listener.any("GET", "secret?offset=-1&live=sse", b"", headers)
        assert (refused.status, field(refused, "access-control-allow-origin")) == (401, APP)

    play(tmp_path, story, APP)


def test_whether_it_is_up_is_told_to_everybody(tmp_path: Path) -> None:
    async def story(listener: Listener) -> None:
        health = await listener("GET", "/healthz")
        assert (health.status, health.body, field(health, "cache-control")) == (200, b"ok\n", "no-store")

    play(tmp_path, story, APP)


def test_subscriptions_are_for_those_who_have_rights_to_them(tmp_path: Path) -> None:
    async def story(listener: Listener) -> None:
        address, key = "__ds/subscriptions/lines", "__ds/jwks.json"
        body = b'{"type": "webhook", "pattern": "lines/*", "webhook": {"url": "https://worker.example"}}'
        refused = await listener("PUT", address, body)
        assert (refused.status, field(refused, "www-authenticate")) == (401, "Bearer")
        assert (await listener("PUT", address, body, token="nobody's")).status == 401
        assert (await listener("PUT", address, body, token=BOB.token)).status == 403
        assert (await listener("PUT", address, body, token=ANN.token)).status == 201
        assert (await listener("GET", address, token=ANN.token)).status == 200
        assert (await listener("GET", address, token=BOB.token)).status == 403
        # The token of a wake is no client's: it is looked at by the subscription.
        called = await listener("POST", f"{address}/callback", b"{}", token="1.w_1.x")
        assert json.loads(called.body)["error"]["code"] == "TOKEN_INVALID"
        public = await listener("GET", key, b"", {"origin": APP})
        assert (public.status, field(public, "access-control-allow-origin")) == (200, APP)
        asked = await listener("OPTIONS", address, b"", {"origin": APP, **PREFLIGHT})
        assert (asked.status, field(asked, "access-control-allow-methods")) == (204, "GET, PUT, POST, DELETE, OPTIONS")

    play(tmp_path, story, APP)
