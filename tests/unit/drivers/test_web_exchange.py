"""What is the same of exchanges, whatever version of HTTP carries them."""

import pytest

from littoral.drivers.web_listener import WebListener
from littoral.gateway.exchange import Exchange
from tests.support.web import PLAIN, WebClient, play, until
from tests.support.web_http2 import Http2Client, asking, play_http2

WAYS = {"/whole": 5, "/pieces": 7, "/nothing": 0}


def answered(version: str, method: str, path: str) -> list[int]:
    """How many bytes the exchange says were sent, once it has ended."""
    sent: list[int] = []

    async def serve(exchange: Exchange) -> None:
        if exchange.target == "/whole":
            exchange.respond(200, PLAIN, (), b"hello")
        elif exchange.target == "/pieces":
            await exchange.begin(200, PLAIN, ())
            for piece in (b"hel", b"", b"lo, "):
                await exchange.send(piece)
            await exchange.end()
        else:
            exchange.respond(204, PLAIN, (), b"")
        sent.append(exchange.sent_bytes)

    async def over_1(client: WebClient, _: WebListener) -> None:
        client.write(f"{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await until(lambda: len(sent) == 1)

    async def over_2(client: Http2Client, _: WebListener) -> None:
        client.ask(asking(method, path))
        await until(lambda: len(sent) == 1)

    if version == "2":
        play_http2(serve, over_2)
    else:
        play(serve, over_1)
    return sent


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("path", WAYS)
def test_what_is_sent_of_a_body_is_counted(version: str, path: str) -> None:
    assert answered(version, "GET", path) == [WAYS[path]]
    assert answered(version, "HEAD", path) == [0]
