"""What is reached without a session, and what is not."""

import asyncio
from dataclasses import dataclass, field

import pytest

from littoral.dashboard.guard import TOKEN_BYTES_MOST, Guard
from littoral.dashboard.session import Sessions
from littoral.drivers.asgi_server import Message, Receive, Send
from tests.support.fakes import FakeClock

TOKEN = "t" * 43
HOST = "127.0.0.1:8443"


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]})
    await send({"type": "http.response.body", "body": b"the page"})


async def listening(scope: Message, receive: Receive, send: Send) -> None:
    heard = 0
    while (await receive())["type"] == "websocket.receive":
        heard += 1
        await send({"type": "websocket.send", "text": f"heard {heard}"})


@dataclass
class Answer:
    sent: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    def __getitem__(self, name: str) -> str:
        return next(value.decode() for key, value in self.sent[0]["headers"] if key.decode() == name)


def ask(
    method: str = "GET",
    path: str = "/",
    *,
    kind: str = "http",
    body: bytes = b"",
    token: str | None = TOKEN,
    **fields: str,
) -> Answer:
    guard = Guard(application, lambda: token, Sessions(FakeClock()), ["hub.example"], 8443, ["/", "/streams"])
    headers = [(name.encode(), value.encode()) for name, value in {"host": HOST, **fields}.items()]
    answer = Answer()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        answer.sent.append(message)

    asyncio.run(guard({"type": kind, "method": method, "path": path, "headers": headers}, receive, send))
    return answer


def session_cookie() -> str:
    return ask("POST", "/login", body=TOKEN.encode())["set-cookie"].partition(";")[0]


def test_a_stranger_is_sent_to_the_login() -> None:
    answer = ask()
    assert (answer.status, answer["location"]) == (303, "/login")
    assert ask(path="/streams")["location"] == "/login?to=/streams"
    assert ask(path="/_nicegui/anything").status == 401
    assert ask(kind="websocket", path="/_nicegui_ws/socket.io/").sent[0]["type"] == "websocket.close"


def test_the_token_is_exchanged_for_a_cookie_that_scripts_and_other_sites_cannot_use() -> None:
    answer = ask("POST", "/login", body=TOKEN.encode(), origin=f"http://{HOST}")
    assert answer.status == 204
    cookie = answer["set-cookie"]
    assert cookie.startswith("littoral-dashboard-8443=")
    assert cookie.endswith("Path=/; HttpOnly; SameSite=Strict")
    assert TOKEN not in cookie


def test_a_session_reaches_the_application() -> None:
    cookie = session_cookie()
    answer = ask(cookie=f"other=1; {cookie}")
    assert (answer.status, answer.body, answer["x-app"]) == (200, b"the page", "1")
    assert "default-src 'self'" in answer["content-security-policy"]
    assert ask(kind="websocket", cookie=cookie, origin=f"http://{HOST}").sent == [{"type": "websocket.accept"}]


def test_a_websocket_hears_nothing_more_once_its_session_is_over() -> None:
    token: list[str | None] = [TOKEN]
    guard = Guard(listening, lambda: token[0], Sessions(FakeClock()), [], 8443, ["/"])
    headers = [(b"host", HOST.encode()), (b"cookie", session_cookie().encode())]
    answer = Answer()

    coming = [{"type": "websocket.receive"}] * 4 + [{"type": "websocket.disconnect"}]

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        answer.sent.append(message)
        token[0] = "another" if message.get("text") == "heard 2" else TOKEN

    asyncio.run(guard({"type": "websocket", "path": "/ws", "headers": headers}, receive, send))
    assert [message.get("text") for message in answer.sent[:2]] == ["heard 1", "heard 2"]
    assert answer.sent[2]["type"] == "websocket.close"
    assert len(answer.sent) == 3


def test_logging_out_takes_the_cookie_back() -> None:
    assert "Max-Age=0" in ask("POST", "/logout")["set-cookie"]


@pytest.mark.parametrize("shown", [b"", b"wrong", TOKEN[:-1].encode(), b"\xff" * 43, b"t" * (TOKEN_BYTES_MOST + 1)])
def test_anything_but_the_token_is_refused(shown: bytes) -> None:
    answer = ask("POST", "/login", body=shown)
    assert answer.status == 401
    assert all(name != b"set-cookie" for name, _ in answer.sent[0]["headers"])


def test_without_a_token_nobody_gets_in() -> None:
    cookie = session_cookie()
    assert ask("POST", "/login", body=b"", token=None).status == 401
    assert ask(cookie=cookie, token=None).status == 303


def test_a_name_of_another_machine_is_not_served() -> None:
    cookie = session_cookie()
    assert ask(cookie=cookie, host="evil.example").status == 421
    assert ask("POST", "/login", body=TOKEN.encode(), host="evil.example:8443").status == 421
    assert ask(kind="websocket", cookie=cookie, host="evil.example").sent[0]["type"] == "websocket.close"
    assert ask(cookie=cookie, host="hub.example").status == 200


def test_a_page_of_another_site_is_not_served() -> None:
    cookie = session_cookie()
    assert ask("POST", "/login", body=TOKEN.encode(), origin="http://evil.example").status == 403
    refused = ask(kind="websocket", cookie=cookie, origin="http://127.0.0.1:9999")
    assert refused.sent[0]["type"] == "websocket.close"


def test_broken_cookies_are_none() -> None:
    assert ask(cookie='littoral-dashboard-8443="; \\').status == 303


def test_health_is_open() -> None:
    assert ask(path="/healthz").status == 200
