"""Posts to real sockets: what is connected to, and what is taken of the answer."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import PeerUnreachable
from littoral.core.http import Request
from littoral.core.limits import Limits
from littoral.drivers.transport import HttpTransport
from littoral.drivers.webhooks import HttpWebhooks

ANY = {"webhook-answer-bytes": 1000}
DEADLINE_S = 20.0


class Server:
    """Answers each connection with the same bytes, and keeps what it was sent."""

    def __init__(self, answer: bytes, *, silent: bool = False) -> None:
        self.answer = answer
        self.silent = silent
        self.heard: list[bytes] = []
        self.port = 0
        self.end = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length")
        )
        self.heard.append(head + await reader.readexactly(length))
        if self.silent:
            await self.end.wait()
        writer.write(self.answer)
        await writer.drain()
        writer.close()


def play(server_answer: bytes, story: Callable[[Server, HttpWebhooks], Awaitable[None]], *, silent: bool = False):
    async def main() -> None:
        server = Server(server_answer, silent=silent)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        async with asyncio.timeout(DEADLINE_S):
            await story(server, HttpWebhooks(Limits(ANY)))
        server.end.set()
        listening.close()

    asyncio.run(main())


def yes(address: str) -> bool:
    return True


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n" + b'{"done": true}'


def test_a_url_is_called_as_it_is_written():
    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        url = f"http://127.0.0.1:{server.port}/a%2Fb/?c=%20d"
        response = await webhooks.post(url, (("X-One", "1"),), b"body", yes, 5)
        assert (response.status, response.body) == (200, b'{"done": true}')
        (heard,) = server.heard
        assert heard.startswith(b"POST /a%2Fb/?c=%20d HTTP/1.1\r\n")
        assert b"x-one: 1" in heard.lower()
        assert heard.endswith(b"\r\n\r\nbody")

    play(OK, story)


def test_the_address_that_was_asked_about_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch):
    """A name that means another address at each look-up: the first is admitted, the others must not count."""
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    asked: list[str] = []

    def look_up(host: str, port: int, *args: object, **more: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def admits(address: str) -> bool:
        asked.append(address)
        return address == "127.0.0.1"

    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", look_up)
            url = f"http://worker.example:{server.port}/hook"
            assert (await webhooks.post(url, (), b"{}", admits, 5)).status == 200
            assert b"host: worker.example" in server.heard[0].lower()
            with pytest.raises(PeerUnreachable, match=r"worker\.example is not a public address"):
                await webhooks.post(url, (), b"{}", admits, 5)
        assert asked == ["127.0.0.1", "127.0.0.2"]
        assert len(server.heard) == 1

    play(OK, story)


def test_an_address_that_is_not_admitted_is_not_connected_to_and_told_to_the_log_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def look_up(host: str, port: int, *args: object, **more: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(PeerUnreachable, match="is not a public address"):
                await webhooks.post(f"http://{host}:{server.port}/", (), b"{}", lambda address: False, 5)
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", look_up)
            with pytest.raises(PeerUnreachable) as refused:
                await webhooks.post("https://db.inside.example/", (), b"{}", lambda address: False, 5)
        assert "127.0.0.1" not in str(refused.value), "clients read it"
        assert server.heard == []

    play(OK, story)
    assert "db.inside.example is 127.0.0.1" in caplog.text


def test_a_redirect_is_not_followed():
    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        url = f"http://127.0.0.1:{server.port}/"
        assert (await webhooks.post(url, (), b"{}", yes, 5)).status == 307
        assert len(server.heard) == 1

    play(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n", story)


def test_an_answer_without_end_is_not_read_to_its_end():
    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        with pytest.raises(PeerUnreachable, match="webhook-answer-bytes"):
            await webhooks.post(f"http://127.0.0.1:{server.port}/", (), b"{}", yes, 5)

    play(b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000, story)


def test_a_receiver_that_is_silent_is_given_up():
    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        with pytest.raises(PeerUnreachable, match="timed out"):
            await webhooks.post(f"http://127.0.0.1:{server.port}/", (), b"{}", yes, 0.2)

    play(OK, story, silent=True)


UNREADABLE = "https://xn--a.example.com/"
"""No such name can have been made, which only some readers of URLs notice."""


def test_a_url_of_which_no_request_can_be_made_is_a_peer_that_cannot_be_reached():
    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        with pytest.raises(PeerUnreachable, match="invalid international domain name"):
            await HttpTransport().post(UNREADABLE, (), b"{}", 5)
        with pytest.raises(PeerUnreachable, match="invalid international domain name"):
            await HttpTransport().request(UNREADABLE, Request("GET", "/"), 5)

    play(OK, story)


def test_a_url_that_the_client_cannot_read_has_a_flaw():
    webhooks = HttpWebhooks(Limits())
    assert webhooks.flaw(UNREADABLE) == "invalid international domain name"
    assert webhooks.flaw("https://xn--mnchen-3ya.example/a?b=c") == ""


def test_a_name_that_nobody_knows_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch):
    def look_up(*args: object, **more: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    async def story(server: Server, webhooks: HttpWebhooks) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", look_up)
            with pytest.raises(PeerUnreachable, match="the host name cannot be resolved"):
                await webhooks.post("https://nowhere.example/", (), b"{}", yes, 5)

    play(OK, story)
