import asyncio
from typing import Any

import pytest

from littoral.workers import Env, NotSupported, Request, Response, caches
from littoral.workers.js import caches as js_caches
from littoral.workers.platform import Platform, install

URL = "https://shop.example/a"


def test_responses_travel_to_the_node_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str, list[object]]] = []
    answers: list[Any] = [None, None, [200, [["age", "5"]], b"page"], [304, [], b""], True, [200, [["a", "b"]], b"x"]]

    async def carry(operation: str, name: str, arguments: list[object]) -> Any:
        calls.append((operation, name, arguments))
        return answers.pop(0)

    async def scenario() -> None:
        named = await caches.open("images")
        assert await caches.default.match(URL + "#part") is None
        response = Response("page", headers={"cache-control": "max-age=5"})
        await named.put(Request(URL, headers={"accept": "*/*"}), response)
        assert response.body_used
        found = await caches.default.match(URL)
        assert found is not None
        assert (found.status, found.headers["age"], await found.text()) == (200, "5", "page")
        known = await caches.default.match(Request(URL, headers={"if-none-match": "x"}))
        assert known is not None
        assert (known.status, known.body) == (304, None)
        assert await caches.default.delete(URL) is True
        scripted = await js_caches.default.match(URL)
        assert list(scripted.headers) == [("a", "b")]
        assert await caches.default.match(Request(URL, method="POST")) is None
        assert await caches.default.delete(Request(URL, method="POST")) is False

    install(Platform(cache=carry), Env({}))
    try:
        asyncio.run(scenario())
    finally:
        install(Platform(), Env({}))
    stored = [("cache-control", "max-age=5"), ("content-type", "text/plain;charset=UTF-8")]
    assert calls[:2] == [
        ("match", "default", [URL, []]),
        ("put", "named images", [URL, [("accept", "*/*")], 200, stored, b"page"]),
    ]
    assert [operation for operation, _, _ in calls] == ["match", "put", "match", "match", "delete", "match"]


def test_what_workers_refuse_is_refused() -> None:
    async def scenario() -> None:
        for request, response, words in (
            (Request(URL, method="POST"), Response("x"), "answers to GET, not to POST"),
            (URL, Response("x", 206), "does not store parts"),
            (URL, Response("x", headers={"vary": "accept, *"}), "varies by everything"),
        ):
            with pytest.raises(TypeError, match=words):
                await caches.default.put(request, response)
        with pytest.raises(TypeError, match="text of 1 to 128 characters"):
            await caches.open("")
        with pytest.raises(NotSupported, match="within a worker"):
            await caches.default.match(URL)

    asyncio.run(scenario())
