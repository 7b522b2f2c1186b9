import asyncio
from typing import Any

import pytest

from littoral.workers import Context, Env, NotSupported
from littoral.workers.app_cache import PurgeError, PurgeResult
from littoral.workers.js import Object
from littoral.workers.platform import Platform, install
from littoral.workers.pyodide.ffi import to_js

CTX = Context(lambda work: None)


def test_a_purge_goes_to_the_node_with_what_it_is_meant_for() -> None:
    calls: list[tuple[str, list[object]]] = []
    answers = ["", "", "", "1 gateways have not"]

    async def carry(operation: str, name: str, arguments: list[object]) -> Any:
        calls.append((operation, arguments))
        return answers.pop(0)

    async def scenario() -> None:
        assert await CTX.cache.purge({"tags": ["a"], "pathPrefixes": ["/b"]}) == PurgeResult(True, [])
        await CTX.cache.purge(purgeEverything=True)
        assert (await CTX.cache.purge(to_js({"tags": ["a"]}, dict_converter=Object.fromEntries))).success
        late = await CTX.with_props({"a": 1}).cache.purge(tags=("a",))
        assert late == PurgeResult(False, [PurgeError(0, "1 gateways have not")])

    install(Platform(cache=carry), Env({}))
    try:
        asyncio.run(scenario())
    finally:
        install(Platform(), Env({}))
    assert calls == [
        ("purge", [["a"], ["/b"], False]),
        ("purge", [[], [], True]),
        ("purge", [["a"], [], False]),
        ("purge", [["a"], [], False]),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "was not told what to forget"),
        ({"purgeEverything": "yes"}, "was not told what to forget"),
        ({"tags": "news"}, "tags as a list of texts"),
        ({"pathPrefixes": [1]}, "pathPrefixes as a list of texts"),
        ({"hosts": ["a"]}, "it was given hosts"),
    ],
)
def test_a_purge_that_says_nothing_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        asyncio.run(CTX.cache.purge(options))


def test_outside_of_a_worker_there_are_no_caches() -> None:
    with pytest.raises(NotSupported, match="They work within a worker"):
        asyncio.run(CTX.cache.purge(purgeEverything=True))
