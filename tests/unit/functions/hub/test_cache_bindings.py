"""What apps put into caches themselves, at the hub."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from littoral.core.errors import InvalidInput, TooLarge
from littoral.core.limits import Limits
from littoral.functions.hub.cache_bindings import CacheBindings
from littoral.functions.messages import BindingCall
from littoral.testing.clock import SimClock
from littoral.testing.loop import run

URL = "https://shop.example/a"


class Node:
    def __init__(self, **limits: int) -> None:
        self.limits = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        self.purged: list[tuple[Any, ...]] = []
        self.cache = CacheBindings(SimClock(asyncio.get_running_loop()), self.limits, self.purge)

    async def purge(self, app: str, tags: list[str], paths: list[str], *, everything: bool) -> str:
        self.purged.append((app, tags, paths, everything))
        return "one has not"

    async def ask(self, operation: str, *arguments: Any, app: str = "shop", name: str = "default") -> Any:
        return await self.cache(app, BindingCall(1, operation, name, list(arguments), "cache"))

    async def put(self, *fields: tuple[str, str], url: str = URL, body: bytes = b"page", **place: str) -> None:
        await self.ask("put", url, [], 200, [("Content-Type", "text/plain"), *fields], body, **place)

    async def match(self, *fields: tuple[str, str], url: str = URL, **place: str) -> Any:
        found = await self.ask("match", url, list(fields), **place)
        return None if found is None else (found[0], dict(found[1]), found[2])


def play(story: Callable[[Node], Awaitable[None]], **limits: int) -> None:
    async def main() -> None:
        await story(Node(**limits))

    run(main)


def test_what_was_put_is_found_for_as_long_as_it_says():
    async def story(node: Node) -> None:
        assert await node.match() is None
        await node.put(("cache-control", "max-age=10"))
        await asyncio.sleep(4)
        status, fields, body = await node.match()
        assert (status, body, fields["content-type"], fields["age"], fields["cf-cache-status"]) == (
            200,
            b"page",
            "text/plain",
            "4",
            "HIT",
        )
        await asyncio.sleep(6)
        assert await node.match() is None
        assert node.cache.bytes == 0
        await node.put()
        await asyncio.sleep(7199)
        assert await node.match() is not None, "for two hours, where it does not say"

    play(story)


def test_no_app_reads_or_deletes_what_is_anothers():
    async def story(node: Node) -> None:
        await node.put()
        for place in ({"app": "bank"}, {"name": "named default"}):
            assert await node.match(**place) is None
            assert await node.ask("delete", URL, **place) is False
            await node.put(body=b"other", **place)
            assert (await node.match(**place))[2] == b"other"
        assert (await node.match())[2] == b"page"
        assert await node.ask("delete", URL) is True
        assert await node.match() is None
        assert (await node.match(app="bank"))[2] == b"other"

    play(story)


@pytest.mark.parametrize(
    "field",
    [
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("cache-control", "max-age=0"),
        ("set-cookie", "a=b"),
    ],
)
def test_what_is_not_to_be_stored_is_not_and_takes_what_was_there_along(field: tuple[str, str]):
    async def story(node: Node) -> None:
        await node.put()
        await node.put(field)
        assert await node.match() is None

    play(story)


def test_a_cookie_may_be_left_out():
    async def story(node: Node) -> None:
        await node.put(("set-cookie", "a=b"), ("cache-control", "private=Set-Cookie, max-age=5"))
        assert "set-cookie" not in (await node.match())[1]

    play(story)


def test_conditions_and_ranges_are_answered_from_what_is_stored():
    async def story(node: Node) -> None:
        await node.put(("etag", '"v1"'), ("vary", "accept-language"))
        known = await node.match(("if-none-match", '"v1"'))
        assert (known[0], known[2]) == (304, b"")
        part = await node.match(("range", "bytes=1-2"))
        assert (part[0], part[1]["content-range"], part[2]) == (206, "bytes 1-2/4", b"ag")
        assert await node.match(("accept-language", "de")) is None

    play(story)


def test_where_there_is_no_room_the_app_that_has_most_loses_what_it_used_longest_ago():
    async def story(node: Node) -> None:
        await node.put(app="bank", body=bytes(1000))
        for n in range(3):
            await node.put(url=f"{URL}{n}", body=bytes(3000))
        await node.match(url=f"{URL}0")
        await node.put(url=f"{URL}3", body=bytes(3000))
        kept = [n for n in range(4) if await node.match(url=f"{URL}{n}") is not None]
        assert kept == [0, 2, 3]
        assert await node.match(app="bank") is not None
        assert node.cache.bytes <= 14_000
        assert node.limits.reached["cache-api-bytes"] == 1

    play(story, cache_api_bytes=14_000)


@pytest.mark.parametrize(
    ("asked", "fields", "name"),
    [
        ([("x-a", "v" * 5000)], [("vary", "x-a")], "default"),
        ([], [("vary", "v" * 5000), ("x-a", "v" * 4000)], "default"),
        ([], [("x-a", "v" * 5000)], "default"),
        ([], [("x-a", "v" * 1250 + "\U0001f30a")], "default"),
        ([], [("x-a", "b")] * 50, "default"),
        ([], [], "n" * 256),
    ],
)
def test_all_that_an_app_puts_counts(asked: list[tuple[str, str]], fields: list[tuple[str, str]], name: str):
    async def story(node: Node) -> None:
        await node.put(name="n")
        before = node.cache.bytes
        await node.ask("put", URL, asked, 200, [("Content-Type", "text/plain"), *fields], b"page", app="b", name=name)
        more = sum(len(value.encode("utf-32")) if not value.isascii() else len(value) for _, value in asked + fields)
        # The names of the fields that it varies by are held twice: as they came, and apart.
        more += sum(len(value) for field, value in fields if field == "vary")
        assert node.cache.bytes - before >= before - 10 + more + len(name)
        await node.ask("delete", URL, app="b", name=name)
        assert node.cache.bytes == before

    play(story)


def test_what_is_to_be_purged_of_other_caches_is_handed_on_with_the_name_of_the_app():
    async def story(node: Node) -> None:
        await node.put()
        assert await node.ask("purge", ["a", "b"], ["/c"], False) == "one has not"
        assert node.purged == [("shop", ["a", "b"], ["/c"], False)]
        assert await node.match() is not None

    play(story)


def test_one_that_is_too_large_and_calls_that_are_none_are_refused():
    async def story(node: Node) -> None:
        with pytest.raises(TooLarge, match="has 11 bytes; at most 10 are kept, the limit cache-api-object-bytes"):
            await node.put(body=bytes(11))
        calls: list[tuple[Any, ...]] = [("match", 5, []), ("drop", URL), ("put", URL), ("purge", [5], [], False)]
        calls += [("match", URL, [1]), ("match", URL, [["a"]]), ("match", URL, [["a", 5]])]
        for asked, status, fields in (([1], 200, []), ([], 200, [("x",)]), ([], 10**18, []), ([], 99, [])):
            calls.append(("put", URL, asked, status, fields, b""))
        for call in calls:
            with pytest.raises(InvalidInput, match="does not take these arguments"):
                await node.ask(*call)
        with pytest.raises(InvalidInput, match="its name has 257 bytes; at most 256 may be"):
            await node.put(name="n" * 257)

    play(story, cache_api_object_bytes=10)
