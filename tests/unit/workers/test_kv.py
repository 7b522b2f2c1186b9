import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from littoral.workers import KVError, KVNamespace, ReadableStream

Told = list[tuple[str, list[object]]]


def play(scenario: Callable[[KVNamespace], Awaitable[None]], *answers: Any) -> Told:
    """What was asked of the namespace, with the operation before it."""
    told: Told = []
    left = list(answers)

    async def carry(operation: str, namespace: str, arguments: list[object]) -> Any:
        assert namespace == "lines"
        told.append((operation, arguments))
        return left.pop(0)

    async def main() -> None:
        await scenario(KVNamespace("lines", carry))

    asyncio.run(main())
    assert not left
    return told


def found(value: bytes, expires_s: int = 0, metadata: str = "") -> list[object]:
    return [value, expires_s, metadata]


def test_a_value_is_read_as_what_is_asked_for() -> None:
    async def scenario(kv: KVNamespace) -> None:
        assert await kv.get("k") == "\ufffd"
        assert await kv.get("k", "json") == {"a": [{"b": 1}]}
        assert (await kv.get("k", {"type": "json"})).a[0].b == 1
        assert await kv.get("k", type="json", cacheTtl=60) == 5
        assert (await kv.get("k", "arrayBuffer")).to_bytes() == b"\xff"
        assert await (await kv.get("k", {"type": "stream", "cacheTtl": 3600})).whole() == b"\xff"
        assert await kv.get("k", "text", {"cacheTtl": 30}) is None

    document = found(b'{"a": [{"b": 1}]}')
    told = play(scenario, found(b"\xff"), document, document, found(b"5"), found(b"\xff"), found(b"\xff"), None)
    assert [arguments for _, arguments in told] == [["k", ttl] for ttl in (None, None, None, 60, None, 3600, 30)]


def test_metadata_comes_with_the_value() -> None:
    async def scenario(kv: KVNamespace) -> None:
        both = await kv.getWithMetadata("k", "json")
        assert (both.value, both.metadata, both.metadata.a, both.cacheStatus) == ([1], {"a": "ö"}, "ö", None)
        none = await kv.getWithMetadata("k")
        assert (none.value, none.metadata) == (None, None)
        many = await kv.getWithMetadata(["a", "b"])
        assert [(key, each.value, each.metadata) for key, each in many.items()] == [("a", "x", None), ("b", "y", 5)]

    play(scenario, found(b"[1]", 9, '{"a":"ö"}'), None, found(b"x"), found(b"y", 0, "5"))


def test_several_keys_are_read_at_once() -> None:
    async def scenario(kv: KVNamespace) -> None:
        assert await kv.get(["a", "b", "a"]) == {"a": "x", "b": None}
        with pytest.raises(KVError, match="several keys knows the types text, json; not 'stream'"):
            await kv.get(["a"], "stream")
        for count in (0, 101):
            with pytest.raises(KVError, match=f"1 to 100 keys at once; not {count}"):
                await kv.get([f"k{n}" for n in range(count)])

    assert len(play(scenario, found(b"x"), None)) == 2


def test_a_value_is_written_with_what_stands_beside_it() -> None:
    async def pieces() -> Any:
        yield b"a"
        yield b"b"

    async def scenario(kv: KVNamespace) -> None:
        await kv.put("k", "ö")
        await kv.put("k", bytearray(b"\xff"), {"expirationTtl": 60})
        await kv.put("k", "v", expiration=2_000_000_000, metadata={"a": ["ö", None]})
        await kv.put("k", ReadableStream(pieces()), {"metadata": 0})
        await kv.delete("k")

    told = play(scenario, None, None, None, None, None)
    assert told == [
        ("put", ["k", "ö".encode(), None, None, ""]),
        ("put", ["k", b"\xff", None, 60, ""]),
        ("put", ["k", b"v", 2_000_000_000, None, '{"a":["ö",null]}']),
        ("put", ["k", b"ab", None, None, "0"]),
        ("delete", ["k"]),
    ]


def test_keys_are_listed_page_by_page() -> None:
    async def scenario(kv: KVNamespace) -> None:
        page = await kv.list(prefix="p", limit=2)
        assert ([key.name for key in page.keys], page.list_complete, page.cursor) == (["a", "b"], False, "b")
        assert [(key.expiration, key.metadata) for key in page.keys] == [(None, {"a": 1}), (2_000_000_000, None)]
        assert page.cacheStatus is None
        last = await kv.list({"prefix": "p", "cursor": page.cursor})
        assert (last.keys, last.list_complete, last.cursor) == ([], True, None)

    first = [["a", "b"], "b", {"a": [0, '{"a":1}'], "b": [2_000_000_000, ""]}]
    assert play(scenario, first, [[], None, {}]) == [("list", ["p", None, 2]), ("list", ["p", "b", 1000])]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda kv: kv.put("k", {"a": 1}), "not dict; write json.dumps"),
        (lambda kv: kv.put("k", "v", {"ttl": 5}), "no option ttl; there are expiration, expirationTtl, metadata"),
        (lambda kv: kv.put("k", "v", expirationTtl="60"), "expirationTtl is a whole number; not '60'"),
        (lambda kv: kv.put("k", "v", expiration=1.5), "expiration is a whole number; not 1.5"),
        (lambda kv: kv.put("k", "v", metadata=b"x"), "metadata is what JSON can hold"),
        (lambda kv: kv.put("k", "v", metadata=float("nan")), "metadata is what JSON can hold"),
        (lambda kv: kv.put("k", "v", metadata="\ud800"), "metadata is what JSON can hold"),
        (lambda kv: kv.put("k", "v", 60), "options are a mapping, not int"),
        (lambda kv: kv.get("k", "xml"), "text, json, arrayBuffer, stream; not 'xml'"),
        (lambda kv: kv.get("k", cacheTtl=29), "cacheTtl is at least 30 seconds; not 29"),
        (lambda kv: kv.list(limit="x"), "limit is a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_sent(
    call: Callable[[KVNamespace], Awaitable[object]], words: str
) -> None:
    async def scenario(kv: KVNamespace) -> None:
        with pytest.raises(KVError, match=words):
            await call(kv)

    assert play(scenario) == []
