"""Tiers in memory: what a site asks its region, and what it takes of it."""

import asyncio

import pytest

from littoral.core.errors import Unavailable
from littoral.gateway.cache.purge import Purge
from littoral.gateway.exchange import Answering
from littoral.gateway.origins.steers import HashSource, Steers
from littoral.gateway.origins.transport import OriginFailed
from littoral.gateway.proxy_status import PROXY_STATUS
from littoral.gateway.routes import RouteTable
from littoral.gateway.shield import MISDIRECTED_S
from littoral.testing.loop import run
from littoral.wire.caching.http_date import format_date
from littoral.wire.relay import AGE, PurgesKnown
from tests.support.exchanges import MemoryAnswer, MemoryExchange, MemoryOrigin, failure
from tests.support.tiers import START_S, Tier, tiers

FRESH = ("cache-control", "max-age=60")
DATE = ("date", format_date(START_S))
URL, TAG, ALL = Purge("url", "edge.test/a"), Purge("tag", "page"), Purge("all")
SOFT = Purge("url", "edge.test/a", soft=True)


def answer(body: bytes = b"hello", *fields: tuple[str, str], status: int = 200) -> MemoryAnswer:
    return MemoryAnswer(status, [FRESH, ("cache-tag", "page"), *fields], body)


def tree(*answers: MemoryAnswer | OriginFailed) -> tuple[Tier, Tier, Tier, MemoryOrigin]:
    """Cloud, region and site, with one origin."""
    origin = MemoryOrigin(*answers)
    cloud = Tier("cloud", origin)
    region = Tier("region", origin, cloud)
    return cloud, region, Tier("site", origin, region), origin


def test_a_miss_asks_each_tier_and_the_origin_once() -> None:
    async def main() -> None:
        _, region, site, origin = tree(answer())
        first = await site.ask()
        assert tiers(first) == [
            f"littoral-{name}; fwd=uri-miss; stored; ttl=60" for name in ("cloud", "region", "site")
        ]
        other = Tier("other", origin, region)
        assert tiers(await other.ask()) == [
            "littoral-region; hit; ttl=60",
            "littoral-other; fwd=uri-miss; stored; ttl=60",
        ]
        assert tiers(await site.ask()) == ["littoral-site; hit; ttl=60"], "and nothing of what others did before"
        assert (len(origin.asked), site.meter.answered, region.gateway.meters.relay.requests) == (1, 1, 2)

    run(main)


def test_the_parent_is_asked_what_the_client_has_asked_and_the_origin_what_the_route_says() -> None:
    async def main() -> None:
        origin = MemoryOrigin(answer())
        region = Tier("region", origin, strip_prefix="/shop", host="origin.test")
        site = Tier("site", origin, region, strip_prefix="/shop", host="origin.test")
        fields = [("x-forwarded-for", "203.0.113.9"), ("littoral-relay", "x 1 y"), ("accept", "*/*")]
        exchange = MemoryExchange(target="/shop/a?b=c", fields=fields, scheme="https")
        await site.serve(exchange)
        (asked,) = site.way.asked
        assert (asked.target, dict(asked.fields)["host"]) == ("/shop/a?b=c", "edge.test")
        assert [value for name, value in asked.fields if name == "littoral-relay"] == ["pages 0 -"]
        (sent,) = origin.asked
        said = dict(sent.fields)
        assert (sent.target, said["host"], said["accept"]) == ("/a?b=c", "origin.test", "*/*")
        assert (said["x-forwarded-for"], said["x-forwarded-proto"]) == ("203.0.113.9, 192.0.2.7", "https")
        assert said["x-forwarded-host"] == "edge.test"
        assert said["via"].count("littoral") == said["cdn-loop"].count("littoral") == 2
        assert not [name for name in said if name.startswith("littoral-")]
        assert not [name for name in exchange.said if name.startswith("littoral-")]

    run(main)


def test_what_says_which_target_a_request_is_for_reaches_the_pool() -> None:
    async def main() -> None:
        origin = MemoryOrigin(answer())
        site = Tier("site", origin, Tier("region", origin), steers=Steers(hash_by=HashSource("client")))
        site.way.failure = failure()
        await site.ask()
        steering = origin.asked[0].steering
        assert steering is not None
        assert steering.hash_key == "192.0.2.7"

    run(main)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_is_not_for_the_cache_goes_to_the_origin(method: str) -> None:
    async def main() -> None:
        _, _, site, origin = tree(answer())
        await site.ask(method=method)
        assert (len(site.way.asked), len(origin.asked)) == (0, 1)

    run(main)


def test_an_origin_is_not_asked_at_once_where_the_parent_comes_first() -> None:
    async def main() -> None:
        _, _, site, _ = tree(answer())
        begun: list[Answering] = []
        # Nobody waits for another one's HEAD: without a parent it would be sent at once.
        exchange = MemoryExchange("HEAD", "/a", go_on=begun.append)
        await site.serve(exchange)
        assert (exchange.status, begun, len(site.way.asked)) == (200, [], 1)

    run(main)


def test_many_misses_of_two_sites_are_one_request_to_the_origin() -> None:
    async def main() -> None:
        _, region, site, origin = tree(answer())
        other = Tier("other", origin, region)
        origin.held = asyncio.Event()
        exchanges = [MemoryExchange(target="/a") for _ in range(64)]
        asking = [asyncio.ensure_future((site, other)[at % 2].serve(each)) for at, each in enumerate(exchanges)]
        while not origin.asked:
            await asyncio.sleep(0)
        origin.held.set()
        await asyncio.gather(*asking)
        assert {each.sent for each in exchanges} == {b"hello"}
        assert len(origin.asked) == 1

    run(main)


def test_the_age_adds_up_to_the_millisecond() -> None:
    async def main() -> None:
        cloud, region, site, _ = tree(answer())
        await cloud.ask()
        cloud.clock.advance(seconds=0.7)
        await region.ask()
        cloud.clock.advance(seconds=0.7)
        first = await site.ask()
        assert (first.said["age"], tiers(first)[-1]) == ("1", "littoral-site; fwd=uri-miss; stored; ttl=58")
        cloud.clock.advance(seconds=0.7)
        assert (await site.ask()).said["age"] == "2", "2.1 s, of which no tier has lost a part"
        cloud.clock.advance(seconds=57.8)
        assert tiers(await site.ask())[-1].startswith("littoral-site; hit; ttl=0")
        cloud.clock.advance(seconds=0.2)
        assert tiers(await site.ask())[-1].startswith("littoral-site; fwd=stale")

    run(main)


# The parent does not answer


def test_without_the_parent_the_origin_is_asked_and_soon_the_parent_not_at_all() -> None:
    async def main() -> None:
        _, _, site, origin = tree(answer())
        site.way.failure = failure()
        for number in range(5):
            assert tiers(await site.ask(f"/{number}")) == ["littoral-site; fwd=uri-miss; stored; ttl=60"]
        assert (len(site.way.asked), len(origin.asked)) == (2, 5)
        assert site.meter.gone_on == {"unreachable": 5}
        site.way.failure = None
        site.clock.advance(seconds=1.1)
        assert len(tiers(await site.ask("/new"))) == 3

    run(main)


def test_a_parent_without_the_route_is_not_asked_for_it_for_a_while() -> None:
    async def main() -> None:
        _, region, site, origin = tree(answer())
        other = Tier("region", origin)
        other.gateway.configure(RouteTable([]), {})
        site.way.relay = other.relay
        for number in range(3):
            assert len(tiers(await site.ask(f"/{number}"))) == 1
        assert (len(site.way.asked), site.meter.gone_on) == (1, {"misdirected": 3})
        site.way.relay = region.relay
        site.clock.advance(seconds=MISDIRECTED_S)
        assert len(tiers(await site.ask("/new"))) == 3

    run(main)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_the_answer_of_an_origin_that_fails_is_the_answer(status: int) -> None:
    async def main() -> None:
        _, _, site, origin = tree(MemoryAnswer(status, [DATE], b"sorry"))
        reply = await site.ask()
        assert (reply.status, reply.sent, len(origin.asked)) == (status, b"sorry", 1)
        assert site.meter.answered == 1

    run(main)


def test_an_origin_that_was_reached_in_vain_is_not_asked_once_more() -> None:
    async def main() -> None:
        late = failure("it did not send the head of its response in time")
        late.stage, late.timed_out = "head", True
        _, _, site, origin = tree(late)
        reply = await site.ask()
        assert (reply.status, len(origin.asked)) == (502, 1)
        assert reply.said[PROXY_STATUS] == "littoral-cloud; error=http_response_timeout"

    run(main)


def test_an_origin_that_the_parent_cannot_reach_may_be_reached_from_here() -> None:
    async def main() -> None:
        unreachable = failure()
        unreachable.stage = "connect"
        _, _, site, origin = tree(unreachable, unreachable, answer())
        reply = await site.ask()
        assert (reply.status, tiers(reply)) == (200, ["littoral-site; fwd=uri-miss; stored; ttl=60"])
        assert (len(origin.asked), site.meter.gone_on) == (3, {"failed": 1})

    run(main)


def test_what_the_parent_says_by_itself_is_no_answer() -> None:
    async def main() -> None:
        _, _, site, origin = tree(answer())
        for status in (200, 400, 404, 431, 500, 503):
            said = site.way.answer = MemoryAnswer(status, [DATE, FRESH], b"the parent's")
            assert (await site.ask(f"/{status}")).sent == b"hello"
            assert said.closed
        assert len(origin.asked) == 6

    run(main)


# Purges


@pytest.mark.parametrize("meant", [URL, TAG, ALL, SOFT], ids=["url", "tag", "all", "soft"])
def test_what_is_purged_here_is_not_taken_of_the_parent_again(meant: Purge) -> None:
    async def main() -> None:
        _, region, site, origin = tree(answer(b"old", ("etag", '"1"')), answer(b"new"))
        await site.ask()
        site.clock.advance(seconds=5)
        site.purge(meant)
        site.clock.advance(seconds=5)
        assert (await site.ask()).sent == b"new"
        assert (len(origin.asked), site.meter.gone_on) == (2, {"purged": 1})
        assert (await region.ask()).sent == b"old", "where nobody has asked for it to be purged"

    run(main)


def test_nor_is_that_it_has_not_changed() -> None:
    async def main() -> None:
        old, etag = answer(b"old", ("etag", '"1"')), ("etag", '"1"')
        _, _, site, origin = tree(old, MemoryAnswer(304, [DATE, etag, FRESH], b""))
        await site.ask()
        site.clock.advance(seconds=5)
        site.purge(SOFT)
        reply = await site.ask()
        assert ("if-none-match", '"1"') in site.way.asked[-1].fields
        assert (reply.sent, len(origin.asked)) == (b"old", 2), "the origin's word, and not the parent's"
        assert ("if-none-match", '"1"') in origin.asked[-1].fields

    run(main)


def test_what_another_purge_was_meant_for_or_was_fetched_after_it_is_taken() -> None:
    async def main() -> None:
        _, region, site, origin = tree(answer())
        await region.ask("/a")
        site.clock.advance(seconds=5)
        site.purge(Purge("url", "edge.test/b"))
        site.purge(Purge("tag", "other"))
        assert tiers(await site.ask("/a"))[0].startswith("littoral-region; hit")
        site.clock.advance(seconds=0.001)
        await region.ask("/b")
        assert tiers(await site.ask("/b"))[0].startswith("littoral-region; hit")
        assert len(origin.asked) == 2

    run(main)


def test_a_parent_that_has_not_heard_of_a_purge_that_the_child_knows_does_not_answer() -> None:
    async def main() -> None:
        _, region, site, _ = tree(answer(b"old"), answer(b"new"))
        await region.ask()
        region.heard.note(PurgesKnown("log", 6))
        site.told(PurgesKnown("log", 7))
        assert (await site.ask()).sent == b"new"
        assert ("littoral-relay", "pages 7 log") in site.way.asked[0].fields
        assert site.meter.gone_on == {"failed": 1}
        region.heard.note(PurgesKnown("other", 9))
        assert len(tiers(await site.ask("/c"))) == 1, "what it has heard of is of another history"
        region.heard.note(PurgesKnown("log", 7))
        assert len(tiers(await site.ask("/d"))) == 3
        region.heard.note(PurgesKnown("log", 8))
        assert len(tiers(await site.ask("/e"))) == 3

    run(main)


def test_who_has_changed_something_is_not_given_what_was_there_before() -> None:
    async def main() -> None:
        _, region, site, origin = tree(answer(b"old"), answer(b"done"), answer(b"new"))
        await site.ask()
        site.clock.advance(seconds=5)
        await site.ask(method="POST")
        assert (await site.ask()).sent == b"new"
        assert (len(origin.asked), site.meter.gone_on) == (3, {"purged": 1})
        await region.ask("/b")
        assert tiers(await site.ask("/b"))[0].startswith("littoral-region; hit")

    run(main)


def test_until_it_is_known_what_was_purged_here_the_parent_is_not_asked() -> None:
    async def main() -> None:
        _, _, site, _ = tree(answer())
        site.shield.purges.known = None
        assert len(tiers(await site.ask())) == 1
        assert site.meter.gone_on == {"untold": 1}

    run(main)


def test_an_origin_cannot_make_its_answer_younger() -> None:
    async def main() -> None:
        forged = answer(b"old", (AGE, "0"), ("age", "30"))
        _, _, site, _ = tree(forged, answer(b"new"))
        site.purge(URL)
        site.clock.advance(seconds=5)
        assert (await site.ask()).sent == b"new", "which had been somewhere for 30 s when it came"
        assert AGE not in (await site.ask()).said

    run(main)


def test_where_no_target_can_be_used_there_is_an_error_of_the_gateways_own() -> None:
    async def main() -> None:
        _, _, site, origin = tree(answer())
        site.way.failure = failure()

        async def unavailable(*_: object, **__: object) -> None:
            raise Unavailable("reach pool", "shop", "none can be used", "Check them")

        origin.call = unavailable  # type: ignore[assignment,method-assign]
        reply = await site.ask()
        assert (reply.status, reply.said[PROXY_STATUS]) == (503, "littoral-site; error=destination_unavailable")

    run(main)
