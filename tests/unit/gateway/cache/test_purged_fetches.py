"""What was asked for before a purge is given to whoever asked for it then, and to nobody afterwards."""

import asyncio

import pytest

from littoral.core.resources.web import CacheKey
from littoral.gateway.cache.key import key_maker
from littoral.gateway.cache.purge import Purge, aim_of
from tests.support.exchanges import MemoryAnswer, MemoryExchange, failure
from tests.unit.gateway.cache.test_cache import FRESH, Edge, answer, run, streamed

TAGGED = (FRESH, ("cache-tag", "page"), ("etag", '"1"'))
URL, TAG, ALL = Purge("url", "http://edge.test/a"), Purge("tag", "page"), Purge("all")
SOFT = Purge("url", "http://edge.test/a", soft=True)
OTHERS = (Purge("url", "http://edge.test/b"), Purge("prefix", "edge.test/a/"))


def purge(edge: Edge, *purges: Purge) -> None:
    for each in purges:
        edge.tier.purge(aim_of(each, [key_maker(CacheKey())]))


async def begun(
    edge: Edge, count: int = 1, method: str = "GET"
) -> tuple[list[MemoryExchange], list["asyncio.Task[int]"]]:
    """Requests that wait for the origin."""
    edge.origin.held = asyncio.Event()
    exchanges = [MemoryExchange(method, "/a") for _ in range(count)]
    waiting = [asyncio.ensure_future(edge.serve(each)) for each in exchanges]
    await asyncio.sleep(0)
    return exchanges, waiting


async def answered(edge: Edge, waiting: list["asyncio.Task[int]"]) -> None:
    assert edge.origin.held is not None
    edge.origin.held.set()
    await asyncio.gather(*waiting)
    while len(edge.tasks):
        await asyncio.sleep(0)


@pytest.mark.parametrize("meant", [URL, TAG, ALL, SOFT], ids=["url", "tag", "all", "soft"])
@pytest.mark.parametrize("kind", ["whole", "streamed"])
def test_what_was_being_fetched_is_given_to_all_who_waited_and_not_stored(meant: Purge, kind: str) -> None:
    async def scenario() -> None:
        old = answer(b"old", *TAGGED) if kind == "whole" else streamed(b"ol", b"d", fields=TAGGED)
        edge = Edge(old, answer(b"new"))
        exchanges, waiting = await begun(edge, 64)
        purge(edge, meant)
        await answered(edge, waiting)
        assert {each.sent for each in exchanges} == {b"old"}
        assert len(edge.origin.asked) == 1
        assert exchanges[0].said["cache-status"] == 'edge; fwd=uri-miss; ttl=60; detail="purged"'
        assert (edge.tier.count, edge.meter.stored) == (0, 0)
        assert (await edge.ask()).sent == b"new"

    run(scenario)


def test_what_another_purge_was_meant_for_is_stored() -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"old", *TAGGED))
        _, waiting = await begun(edge)
        purge(edge, *OTHERS, Purge("tag", "other"))
        await answered(edge, waiting)
        assert (await edge.ask()).said["cache-status"].startswith("edge; hit")

    run(scenario)


@pytest.mark.parametrize("meant", [URL, TAG], ids=["url", "tag"])
def test_who_comes_after_the_purge_does_not_wait_for_what_was_begun_before_it(meant: Purge) -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"old", *TAGGED), answer(b"new"))
        exchanges, waiting = await begun(edge)
        purge(edge, meant)
        before = edge.origin.held
        edge.origin.held = None
        assert (await edge.ask()).sent == b"new"
        edge.origin.held = before
        await answered(edge, waiting)
        assert exchanges[0].sent == b"old"
        assert (await edge.ask()).sent == b"new"
        assert len(edge.origin.asked) == 2

    run(scenario)


def test_a_body_that_is_on_its_way_is_not_stored_and_nobody_joins_it() -> None:
    async def scenario() -> None:
        edge = Edge(streamed(b"o", b"l", b"d", fields=TAGGED), answer(b"new"))
        first = MemoryExchange("GET", "/a")
        reading = asyncio.ensure_future(edge.serve(first))
        while not first.sent:
            await asyncio.sleep(0)
        assert first.sent != b"old"
        purge(edge, TAG)
        second = MemoryExchange("GET", "/a")
        await edge.serve(second)
        await reading
        while len(edge.tasks):
            await asyncio.sleep(0)
        assert (first.sent, second.sent) == (b"old", b"new")
        assert (await edge.ask()).sent == b"new"

    run(scenario)


@pytest.mark.parametrize(("meant", "left"), [(URL, 0), (TAG, 0), (SOFT, 1)], ids=["url", "tag", "soft"])
def test_a_confirmation_from_before_the_purge_brings_nothing_back(meant: Purge, left: int) -> None:
    async def scenario() -> None:
        still = MemoryAnswer(304, [("etag", '"1"'), FRESH, ("cache-tag", "")], b"")
        edge = Edge(answer(b"old", *TAGGED), still, answer(b"new"))
        await edge.ask()
        edge.after(61)
        exchanges, waiting = await begun(edge, 8)
        purge(edge, meant)
        await answered(edge, waiting)
        assert {each.sent for each in exchanges} == {b"old"}
        assert len(edge.origin.asked) == 2
        assert edge.tier.count == left
        assert (await edge.ask()).sent == b"new"

    run(scenario)


def test_a_head_from_before_the_purge_brings_nothing_back() -> None:
    async def scenario() -> None:
        edge = Edge(answer(b"old", *TAGGED), MemoryAnswer(200, TAGGED, b""), answer(b"new"))
        await edge.ask()
        edge.after(61)
        _, waiting = await begun(edge, method="HEAD")
        purge(edge, URL)
        await answered(edge, waiting)
        assert edge.tier.count == 0

    run(scenario)


def test_what_post_gave_before_the_purge_is_not_stored() -> None:
    async def scenario() -> None:
        posted = answer(b"old", FRESH, ("content-location", "http://edge.test/a"))
        edge = Edge(posted)
        _, waiting = await begun(edge, method="POST")
        purge(edge, URL)
        await answered(edge, waiting)
        assert edge.tier.count == 0
        await edge.ask(method="POST")
        assert edge.tier.count == 1

    run(scenario)


def test_what_was_forgotten_does_not_stand_in_for_an_origin_that_fails() -> None:
    async def scenario() -> None:
        for meant, status in ((URL, 502), (SOFT, 200)):
            edge = Edge(answer(b"old", *TAGGED), MemoryAnswer(502, (), b""))
            await edge.ask()
            edge.after(61)
            exchanges, waiting = await begun(edge)
            purge(edge, meant)
            await answered(edge, waiting)
            assert exchanges[0].status == status

    run(scenario)


def test_what_was_forgotten_while_a_request_waited_is_not_asked_about() -> None:
    """It waits for another one, which brings nothing that it may share; then it asks itself."""

    async def scenario() -> None:
        for meant in (URL, SOFT):
            edge = Edge(answer(b"old", *TAGGED), failure(), MemoryAnswer(200, [FRESH], b"new"))
            await edge.ask()
            edge.after(61)
            edge.clock.advance(seconds=2 * 86_400)  # too old to stand in
            exchanges, waiting = await begun(edge, 2)
            purge(edge, meant)
            assert edge.origin.held is not None
            edge.origin.held.set()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert exchanges[1].sent == b"new"
            asked = dict(edge.origin.asked[2].fields)
            assert ("if-none-match" in asked) is (meant is SOFT)
            assert edge.tier.count == 1, "the origin was asked for it after the purge"

    run(scenario)


def test_what_was_purged_softly_is_confirmed_or_stands_in() -> None:
    async def scenario() -> None:
        still = MemoryAnswer(304, [("etag", '"1"'), FRESH], b"")
        edge = Edge(answer(b"old", *TAGGED), failure(), still)
        await edge.ask()
        purge(edge, SOFT)
        stale = await edge.ask()
        assert (stale.sent, "warning" in stale.said) == (b"old", True)
        confirmed = await edge.ask()
        assert ("if-none-match", '"1"') in edge.origin.asked[2].fields
        assert (confirmed.sent, "warning" in confirmed.said) == (b"old", False)
        assert (await edge.ask()).said["cache-status"].startswith("edge; hit")

    run(scenario)


def test_what_is_given_stale_is_refreshed_anew_after_a_purge() -> None:
    async def scenario() -> None:
        swr = ("cache-control", "max-age=60, stale-while-revalidate=600")
        edge = Edge(answer(b"old", swr), answer(b"older", swr), answer(b"new", swr))
        await edge.ask()
        edge.after(61)
        _, waiting = await begun(edge)
        await asyncio.sleep(0)
        assert len(edge.origin.asked) == 2
        purge(edge, SOFT)
        await answered(edge, waiting)
        assert (await edge.ask()).sent == b"new"

    run(scenario)
