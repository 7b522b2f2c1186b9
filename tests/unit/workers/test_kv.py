import asyncio
from typing import Any

import pytest

from littoral.workers import KVError, KVNamespace


def test_calls_carry_operation_namespace_and_arguments() -> None:
    calls: list[tuple[str, str, list[object]]] = []
    answers: list[Any] = [b'{"a": 1}', b"\xff", None, None, None, [["a", "b"], "b"], [[], None]]

    async def carry(operation: str, namespace: str, arguments: list[object]) -> Any:
        calls.append((operation, namespace, arguments))
        return answers.pop(0)

    async def scenario() -> None:
        kv = KVNamespace("lines", carry)
        assert await kv.get("k", {"type": "json"}) == {"a": 1}
        assert await kv.get("k") == "\ufffd"
        assert await kv.get("k", "arrayBuffer") is None
        await kv.put("k", "ö")
        await kv.delete("k")
        page = await kv.list(prefix="p", limit=2)
        assert ([key.name for key in page.keys], page.list_complete, page.cursor) == (["a", "b"], False, "b")
        last = await kv.list({"prefix": "p", "cursor": "b"})
        assert (last.keys, last.list_complete, last.cursor) == ([], True, None)

    asyncio.run(scenario())
    assert calls == [
        ("get", "lines", ["k"]),
        ("get", "lines", ["k"]),
        ("get", "lines", ["k"]),
        ("put", "lines", ["k", "ö".encode()]),
        ("delete", "lines", ["k"]),
        ("list", "lines", ["p", None, 2]),
        ("list", "lines", ["p", "b", 1000]),
    ]


def test_what_cannot_be_stored_or_read_is_refused_before_it_is_sent() -> None:
    async def carry(operation: str, namespace: str, arguments: list[object]) -> Any:
        raise AssertionError

    async def scenario() -> None:
        kv = KVNamespace("lines", carry)
        with pytest.raises(KVError, match="not dict; write json.dumps"):
            await kv.put("k", {"a": 1})  # type: ignore[arg-type]
        with pytest.raises(KVError, match="text, json, arrayBuffer; not 'stream'"):
            await kv.get("k", "stream")  # type: ignore[arg-type]

    asyncio.run(scenario())
