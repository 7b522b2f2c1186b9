"""The streams listener of a real node: a client with a token gets what the node's document gives it, and nothing else."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from littoral.core.resources.model import ANYONE, StreamAccess, StreamClient, Streams
from tests.support.real_node import DEADLINE_S, RealNode, Reply, call

TEXT = {"content-type": "text/plain"}


class Token(msgspec.Struct, rename="camel"):
    """What `littoral stream token --json` prints."""

    token: str
    token_hash: str


def make_token() -> Token:
    command = [sys.executable, "-m", "littoral.cli.main", "stream", "token", "--json"]
    return msgspec.json.decode(subprocess.run(command, capture_output=True, check=True).stdout, type=Token)


class Client:
    """Somebody who calls the streams listener."""

    def __init__(self, node: RealNode, token: str | None = None) -> None:
        self._node = node
        self._shown = {} if token is None else {"authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            fields |= TEXT
        address = path if path.startswith("/") else f"/v1/stream/{path}"
        return call(f"{self._node.url('streams')}{address}", method, body, fields | self._shown)

    def events(self, path: str, count: int) -> list[bytes]:
        """The data of so many events of a stream that is followed from its beginning."""
        connection = http.client.HTTPConnection("127.0.0.1", self._node.port("streams"), timeout=DEADLINE_S)
        try:
            connection.request("GET", f"/v1/stream/{path}?offset=-1&live=sse", headers=self._shown)
            lines = (line.rstrip() for line in connection.getresponse())
            data = (next(lines).removeprefix(b"data:") for line in lines if line == b"event: data")
            return [next(data) for _ in range(count)]
        finally:
            connection.close()


@pytest.fixture(scope="module")
def tokens() -> dict[str, Token]:
    return {name: make_token() for name in ("writer", "reader")}


@pytest.fixture(scope="module")
def cloud(tokens: dict[str, Token]) -> Iterator[RealNode]:
    streams = Streams(
        clients=[StreamClient(name=name, token_hash=made.token_hash) for name, made in tokens.items()],
        access=[
            StreamAccess(streams=["cloud/rooms/*"], read=["reader"], append=["writer"], manage=["writer"]),
            StreamAccess(streams=["cloud/news"], read=[ANYONE]),
            StreamAccess(streams=["cloud/copies/*"], read=["writer"], manage=["writer"]),
        ],
        origins=["https://app.example"],
    )
    with RealNode("cloud", listen={"streams": "127.0.0.1:0"}, streams=streams) as node:
        node.start()
        for name in ("news", "secret"):
            assert node.api("PUT", f"/v1/streams/cloud/{name}", b"of the operator", TEXT).status == 201
        yield node
        assert "Traceback" not in node.log(), node.log()


@pytest.fixture
def writer(cloud: RealNode, tokens: dict[str, Token]) -> Client:
    return Client(cloud, tokens["writer"].token)


@pytest.fixture
def reader(cloud: RealNode, tokens: dict[str, Token]) -> Client:
    return Client(cloud, tokens["reader"].token)


def test_clients_do_what_they_may_and_it_outlives_the_hub(cloud: RealNode, writer: Client, reader: Client):
    made = writer("PUT", "rooms/1", b"hello")
    assert (made.status, made.headers["location"]) == (201, f"{cloud.url('streams')}/v1/stream/rooms/1")
    assert writer("POST", "rooms/1", b"world").status == 204
    cloud.kill_hub()
    assert reader("GET", "rooms/1").body == b"helloworld"
    assert reader.events("rooms/1", 1) == [b"helloworld"]
    assert writer("DELETE", "rooms/1").status == 204
    assert reader("GET", "rooms/1").status == 404


def test_and_nothing_else(cloud: RealNode, writer: Client, reader: Client):
    assert writer("PUT", "rooms/2", b"hello").status == 201
    stranger = Client(cloud)
    assert (stranger("GET", "news").status, stranger("GET", "news").body) == (200, b"of the operator")
    refused = {
        403: [
            writer("GET", "rooms/2"),
            writer("GET", "secret"),
            writer("PUT", "news", b"mine"),
            writer("PUT", "copies/1", stream_forked_from="/v1/stream/secret"),
            writer("PUT", "copies/1", stream_forked_from="/v1/stream/rooms/2"),
            reader("POST", "rooms/2", b"x"),
            reader("DELETE", "rooms/2"),
            reader("GET", "nothing"),
            reader("GET", "/v1/streams/plant-a/rooms/1"),
        ],
        401: [
            stranger("GET", "rooms/2"),
            stranger("POST", "news", b"x"),
            stranger("GET", "nothing"),
            Client(cloud, make_token().token)("GET", "news"),
        ],
    }
    for status, replies in refused.items():
        assert [(reply.status, reply.body) for reply in replies if reply.status != status] == []
    assert {reply.headers["www-authenticate"] for reply in refused[401]} == {"Bearer"}
    assert reader("GET", "rooms/2").body == b"hello"
    assert cloud.api("GET", "/v1/streams/cloud/copies/1").status == 404


def test_a_client_forks_what_it_may_read(cloud: RealNode, writer: Client):
    forked = writer("PUT", "copies/2", b", and more", stream_forked_from="/v1/stream/news")
    assert forked.status == 201
    assert writer("GET", "copies/2").body == b"of the operator, and more"
    assert cloud.api("GET", "/v1/streams/cloud/news").body == b"of the operator"


def test_neither_listener_takes_the_others_token(cloud: RealNode, tokens: dict[str, Token]):
    operator = (cloud.data_dir / "identity" / "operator.token").read_text(encoding="ascii").strip()
    assert call(f"{cloud.url('api')}/v1/status", headers={"authorization": f"Bearer {operator}"}).status == 200
    for path in ("news", "secret", "rooms/1"):
        assert Client(cloud, operator)("GET", path).status == 401
    for made in tokens.values():
        shown = {"authorization": f"Bearer {made.token}"}
        for path in ("/v1/status", "/v1/streams", "/v1/stream/news"):
            assert call(f"{cloud.url('api')}{path}", headers=shown).status == 401
    # What is no stream is not served here, whoever asks.
    for token in (operator, tokens["writer"].token, None):
        for path in ("/v1/status", "/v1/resources", "/metrics"):
            reply = Client(cloud, token)("GET", path)
            assert (reply.status, json.loads(reply.body)["kind"]) == (400, "InvalidInput")


def test_a_browser_may_call_from_a_site_that_is_listed(cloud: RealNode):
    preflight = Client(cloud)("OPTIONS", "rooms/2", origin="https://app.example", access_control_request_method="POST")
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    elsewhere = Client(cloud)("GET", "news", origin="https://other.example")
    assert (elsewhere.status, "access-control-allow-origin" in elsewhere.headers) == (200, False)
