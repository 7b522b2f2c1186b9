"""Projects in the published style, unchanged, by the real loader."""

import asyncio
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from littoral.functions.worker.loader import App, find_app
from littoral.workers import (
    Context,
    Env,
    File,
    FormData,
    KVNamespace,
    Message,
    MessageBatch,
    Request,
    Response,
    ScheduledController,
    asgi,
)
from littoral.workers.multipart import encode_form
from littoral.workers.platform import Platform, take_seat
from tests.support.app_modules import PROJECTS, interpreter_as_it_was, load_project


@pytest.fixture(autouse=True)
def _interpreter() -> Iterator[None]:
    with interpreter_as_it_was(PROJECTS):
        yield


class Project:
    """A project, and the work that it let go on."""

    def __init__(self, name: str, **bindings: object) -> None:
        self.module: ModuleType = load_project(name)
        self.app: App = find_app(self.module)
        self.env = Env({"GREETING": "moin", **bindings})
        self.background: list[Any] = []
        # As in a worker: what goes on after a response is known, and can be waited for.
        take_seat(Platform(background=self.background.append), self.env)
        self.ctx = Context(self.background.append)

    async def get(self, path: str, **headers: str) -> Response:
        return await self.ask("GET", path, b"", headers)

    async def post(self, path: str, body: bytes, content_type: str) -> Response:
        return await self.ask("POST", path, body, {"content-type": content_type})

    async def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
        fields = [("host", "edge.test"), *((name.replace("_", "-"), value) for name, value in headers.items())]
        response = await self.app.fetch(
            Request.received(method, f"https://edge.test{path}", fields, body, "id"), self.env, self.ctx
        )
        assert isinstance(response, Response)
        return response


def test_hello() -> None:
    async def scenario() -> None:
        response = await Project("hello").get("/")
        assert (response.status, response.headers["content-type"]) == (200, "text/plain;charset=UTF-8")
        assert await response.text() == "Hello world!"

    asyncio.run(scenario())


def test_kv() -> None:
    values: dict[str, bytes] = {}

    async def carry(operation: str, namespace: str, arguments: list[Any]) -> Any:
        if operation == "put":
            values[arguments[0]] = arguments[1]
        return [values[arguments[0]], 0, ""]

    async def scenario() -> None:
        assert await (await Project("kv", NOTES=KVNamespace("notes", carry)).get("/")).text() == "moin"

    asyncio.run(scenario())


def test_query_parameters() -> None:
    async def scenario() -> None:
        project = Project("query")
        assert await (await project.get("/?name=J%C3%BCrgen")).text() == "Hello there, Jürgen"
        response = await project.get("/a")
        assert (await response.json(), response.headers.get_all("x-kind")) == ({"path": "/a"}, ["a", "b"])

    asyncio.run(scenario())


def test_a_form_in_both_forms() -> None:
    async def scenario() -> None:
        project = Project("form")
        assert "<form" in await (await project.get("/")).text()
        told = await (
            await project.post("/", b"name=J%C3%BCrgen+B&tag=a&tag=b", "application/x-www-form-urlencoded")
        ).json()
        assert told == {"name": "Jürgen B", "missing": None, "tags": ["a", "b"]}
        form = FormData([("name", "Ö"), ("photo", File(b"\xff\xd8", "a.jpg", "image/jpeg")), ("tag", "a")])
        told = await (await project.post("/", *encode_form(form.items()))).json()
        assert told == {"name": "Ö", "missing": None, "tags": ["a"], "photo": ["a.jpg", "image/jpeg", 2]}

    asyncio.run(scenario())


def test_streams_both_ways() -> None:
    async def scenario() -> None:
        project = Project("streams")
        assert await (await project.post("/", b"x" * 1000, "text/plain")).text() == "1000"
        response = await project.get("/")
        assert response.whole is None
        assert response.body is not None
        assert [piece async for piece in response.body] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]

    asyncio.run(scenario())


def test_logging(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        assert await (await Project("logging").get("/")).text() == "logged"

    with caplog.at_level("INFO"):
        asyncio.run(scenario())
    assert capsys.readouterr().out == ("from the console {\n  \"a\": 1\n}\nfrom print {'host': 'edge.test'}\n")
    assert caplog.messages == ["from logging"]


def test_redirects() -> None:
    async def scenario() -> None:
        project = Project("redirect")
        moved, other = await project.get("/bulk1"), await project.get("/x")
        assert (moved.status, moved.headers["location"]) == (301, "https://new.test/1")
        assert (other.status, other.headers["location"]) == (307, "https://new.test/x")

    asyncio.run(scenario())


def test_headers() -> None:
    async def scenario() -> None:
        project = Project("headers")
        assert (await project.get("/")).status == 403
        response = await project.get("/", x_custom_psk="mypresharedkey")
        assert response.headers.items() == [
            ("content-type", "text/plain;charset=UTF-8"),
            ("x-frame-options", "DENY"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ]

    asyncio.run(scenario())


def test_cron_and_queue_beside_a_fetch_without_arguments() -> None:
    async def scenario() -> None:
        project = Project("cron")
        assert project.app.scheduled is not None
        assert project.app.queue is not None
        await project.app.scheduled(ScheduledController("* * * * *", 60_000), project.env, project.ctx)
        assert project.module.RUNS == [("* * * * *", 60_000, "moin")]
        batch = MessageBatch("work", [Message("a", {"n": 1}, 0), Message("b", {"n": 2}, 0)])
        await project.app.queue(batch, project.env, project.ctx)
        assert [message.settled for message in batch.messages] == [True, False]
        assert await (await project.get("/")).text() == "Look at the log to see the runs"
        assert await project.app.call("add", [1, 2], {}, project.env, project.ctx) == 3

    asyncio.run(scenario())


def test_javascript_style() -> None:
    async def scenario() -> None:
        project = Project("javascript")
        response = await project.get("/a?page=2")
        assert (await response.json(), response.headers["x-host"]) == ({"page": "2", "env": "moin"}, "edge.test")
        for work in project.background:
            await work
        assert project.module.LINES == ["after"]
        hello = await project.post("/", b'{"name": "Ada"}', "application/json")
        assert await hello.text() == "Hello, Ada"
        form = await project.post("/", b"a=1&b=2", "application/x-www-form-urlencoded")
        assert await form.text() == '{"a":"1","b":"2"}'
        assert await (await project.get("/headers", x="1")).text() == "host=edge.test\nx=1"
        options = await project.get("/options")
        assert (options.status, options.headers["x-kind"]) == (202, "options")
        for work in project.background[1:]:
            await work

    asyncio.run(scenario())


def test_a_handler_in_the_module_that_is_no_coroutine() -> None:
    async def scenario() -> None:
        told = await (await Project("module").get("/a")).json()
        assert told == {"url": "https://edge.test/a", "greeting": "moin", "callable": True}

    asyncio.run(scenario())


def test_fastapi(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        project = Project("fastapi")
        assert await (await project.get("/")).json() == {"message": "Hello, World!"}
        assert await (await project.get("/env")).json() == {"greeting": "moin", "since": 1, "client": None}
        made = await project.post("/items/7", json.dumps({"name": "n", "price": 1.5}).encode(), "application/json")
        assert (made.status, await made.json()) == (201, {"id": 7, "name": "n", "price": 1.5})
        wrong = await project.post("/items/x", b"{}", "application/json")
        assert wrong.status == 422
        stream = await project.get("/stream")
        assert (stream.whole, await stream.text()) == (None, "0\n1\n2\n")
        for work in project.background:
            await work
        assert (await project.get("/fails")).status == 500
        await asgi.shutdown()
        assert project.module.DONE == ["started", "task 7", "stopped"]

    asyncio.run(scenario())
    assert "RuntimeError: on purpose" in capfd.readouterr().err


def test_starlette_without_glue() -> None:
    async def scenario() -> None:
        project = Project("starlette")
        response = await project.post("/greet/J%C3%BCrgen", b"body", "text/plain")
        assert await response.text() == "moin Jürgen b'body'"
        assert (await project.get("/nowhere")).status == 404
        await asgi.shutdown()

    asyncio.run(scenario())


def test_flask_without_glue() -> None:
    async def scenario() -> None:
        project = Project("flask")
        assert await (await project.get("/")).text() == "moin moin"
        form = await project.ask(
            "POST",
            "/form?q=%C3%B6",
            "name=Jürgen".encode(),
            {"content-type": "application/x-www-form-urlencoded", "cookie": "a=1"},
        )
        assert await form.json() == {"name": "Jürgen", "args": {"q": "ö"}, "cookie": "1"}
        stream = await project.get("/stream")
        assert (stream.whole, await stream.text()) == (None, "0\n1\n2\n")
        away = await project.get("/away")
        assert (away.status, away.status_text, away.headers["location"]) == (302, "FOUND", "/")

    asyncio.run(scenario())


def test_django() -> None:
    async def scenario() -> None:
        project = Project("django")
        assert await (await project.get("/?q=1")).json() == {"message": "moin", "method": "GET", "query": "1"}
        assert await (await project.get("/echo/%C3%B6/")).json() == {"body": ""}

    asyncio.run(scenario())


def test_every_project_is_tested() -> None:
    tested = {
        "cron", "django", "fastapi", "flask", "form", "headers", "hello", "javascript", "kv", "logging", "module",
        "query", "redirect", "starlette", "streams",
    }  # fmt: skip
    assert {path.name for path in PROJECTS.iterdir() if path.is_dir()} == tested
