import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from littoral.core.errors import TimedOut
from littoral.core.limits import FUNCTION_BODY_BYTES, Limits
from littoral.gateway.app import Gateway
from littoral.gateway.routes import Route, RouteTable


class Fields(dict[str, str]):
    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return list(super().items())


@dataclass
class Scope:
    method: str = "GET"
    path: str = "/"
    query_string: str = ""
    headers: Any = field(default_factory=Fields)
    proto: str = "http"
    client: str = "192.0.2.7:4711"
    scheme: str = "http"
    authority: str | None = None


@dataclass
class Exchange:
    chunks: list[bytes] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes | None] | None = None
    read: int = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.read += 1
            yield chunk

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.answer = (status, dict(headers), None)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = (status, dict(headers), body)


class App:
    """Records what it is asked, and answers with what it was given."""

    def __init__(self, answer: Any = (200, [("content-type", "x")], b"hello")) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, *asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def exchange(app: App, scope: Scope, *chunks: bytes, log: list[str] | None = None, **limits: int) -> Exchange:
    gateway = Gateway(
        app,
        Limits({name.replace("_", "-"): value for name, value in limits.items()}),
        "g",
        (log if log is not None else []).append,
    )
    gateway.configure(RouteTable([Route("shop", "/*", methods=["GET", "POST"])]), gateway._limits)
    result = Exchange(list(chunks))
    asyncio.run(gateway.__rsgi__(scope, result))
    assert gateway.meters.inflight == 0
    assert gateway.meters.held_bytes == 0
    return result


def test_a_request_reaches_the_app_and_its_response_the_client() -> None:
    app = App()
    scope = Scope("POST", "/a b", "x=1", Fields({"host": "edge.test", "content-length": "4", "accept": "*/*"}))
    result = exchange(app, scope, b"bo", b"dy")
    assert app.asked == [
        (
            "shop",
            "POST",
            "http://edge.test/a%20b?x=1",
            [
                ("host", "edge.test"),
                ("content-length", "4"),
                ("accept", "*/*"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-request-id", "g-1"),
            ],
            b"body",
            "g-1",
        )
    ]
    assert result.answer == (200, {"content-type": "x", "x-request-id": "g-1"}, b"hello")


def test_head_has_the_length_and_not_the_body() -> None:
    assert exchange(App(), Scope("HEAD")).answer == (
        200,
        {"content-type": "x", "x-request-id": "g-1", "content-length": "5"},
        None,
    )


def test_a_body_announced_as_too_large_is_not_read() -> None:
    limits = Limits()
    scope = Scope("POST", headers=Fields({"content-length": str(limits[FUNCTION_BODY_BYTES] + 1)}))
    result = exchange(App(), scope, b"x")
    assert result.answer is not None
    assert (result.answer[0], result.read) == (413, 0)


def test_a_body_that_grows_too_large_is_not_read_to_its_end() -> None:
    app = App()
    scope = Scope("POST", headers=Fields({"transfer-encoding": "chunked"}))
    result = exchange(app, scope, *[b"xxxx"] * 10, function_body_bytes=9)
    assert result.answer is not None
    assert (result.answer[0], result.read, app.asked) == (413, 3, [])


def test_the_memory_of_all_bodies_is_bounded() -> None:
    scope = Scope("POST", headers=Fields({"content-length": "8"}))
    result = exchange(App(), scope, b"xxxx", b"xxxx", gateway_held_bytes=7)
    assert result.answer is not None
    assert (result.answer[0], result.answer[1]["retry-after"]) == (503, "1")


def test_a_wrong_content_length_is_a_400() -> None:
    result = exchange(App(), Scope("POST", headers=Fields({"content-length": "-1"})))
    assert result.answer is not None
    assert result.answer[0] == 400


def test_errors_become_problems() -> None:
    timed_out = exchange(App(TimedOut("call app", "shop", "it did not answer")), Scope()).answer
    assert timed_out is not None
    assert timed_out[0] == 504
    assert json.loads(timed_out[2] or b"")["detail"] == "cannot call app shop: it did not answer"
    refused = exchange(App(), Scope("DELETE")).answer
    assert refused is not None
    assert (refused[0], refused[1]["allow"]) == (405, "GET, HEAD, POST")


def test_a_fault_of_ours_is_logged_and_not_shown() -> None:
    log: list[str] = []
    answer = exchange(App(ZeroDivisionError("secret")), Scope(), log=log).answer
    assert answer is not None
    assert answer[0] == 500
    assert b"secret" not in (answer[2] or b"")
    assert "[g-1] fault in the gateway" in log[0]
    assert "ZeroDivisionError: secret" in log[0]


def test_an_answer_that_is_no_http_is_a_502() -> None:
    for wrong in ((99, [], b""), (700, [], b""), (200, [("x", "a\r\nb")], b"")):
        answer = exchange(App(wrong), Scope()).answer
        assert answer is not None
        assert answer[0] == 502


def test_before_it_is_configured_a_gateway_asks_for_patience() -> None:
    gateway = Gateway(App(), Limits(), "g", print)
    result = Exchange()
    asyncio.run(gateway.__rsgi__(Scope(), result))
    assert result.answer is not None
    assert result.answer[0] == 503
