"""What children are answered, and what not. In virtual time."""

import asyncio

import pytest

from littoral.core.gateway_limits import RELAY_WAIT_MS
from littoral.gateway.routes import Route, RouteTable
from littoral.testing.loop import run
from littoral.wire.relay import AGE, RELAY, PurgesKnown, RelayRequest, encode_request
from tests.support.exchanges import MemoryAnswer, MemoryExchange, MemoryOrigin
from tests.support.tiers import ROUTE, Tier

FRESH = ("cache-control", "max-age=60")
ASKED = (RELAY, encode_request(RelayRequest(ROUTE, PurgesKnown())))
HTTP, HTTPS = ("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")


def region() -> Tier:
    return Tier("region", MemoryOrigin(MemoryAnswer(200, [FRESH], b"hello")))


async def relayed(tier: Tier, *fields: tuple[str, str], target: str = "/a", method: str = "GET") -> MemoryExchange:
    exchange = MemoryExchange(method, target, fields, scheme="https", client="10.0.0.1")
    pending = tier.relay.serve(exchange)
    if pending is not None:
        await pending
    while len(tier.tasks):
        await asyncio.sleep(0)
    return exchange


def test_a_child_is_answered_as_its_client_would_be_and_told_the_age() -> None:
    async def main() -> None:
        tier = region()
        before = await tier.ask()
        assert AGE not in before.said
        tier.clock.advance(seconds=1.5)
        forwarded = ("x-forwarded-for", "203.0.113.9, 192.0.2.7")
        reply = await relayed(tier, ASKED, HTTP, forwarded)
        assert (reply.sent, reply.said["cache-status"]) == (b"hello", "littoral-region; hit; ttl=58")
        assert (reply.said["age"], reply.said[AGE]) == ("1", "1500")
        await relayed(tier, ASKED, HTTPS, forwarded)
        sent = dict(tier.origin.asked[-1].fields)
        assert len(tier.origin.asked) == 2, "by another scheme it is another object"
        assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("203.0.113.9, 192.0.2.7", "https")
        assert not {RELAY, AGE} & sent.keys()

    run(main)


@pytest.mark.parametrize(
    ("fields", "target", "method", "status"),
    [
        ((), "/a", "GET", 400),
        ((ASKED, ASKED), "/a", "GET", 400),
        (((RELAY, "nonsense"), HTTP), "/a", "GET", 400),
        ((ASKED,), "/a", "GET", 400),
        ((ASKED, ("x-forwarded-proto", "gopher")), "/a", "GET", 400),
        (((RELAY, "other 0 -"), HTTP), "/a", "GET", 421),
        ((ASKED, HTTP), "/a", "POST", 421),
        ((ASKED, HTTP), "/app", "GET", 421),
    ],
    ids=["nothing", "twice", "nonsense", "no scheme", "wrong scheme", "other route", "method", "what leads elsewhere"],
)
def test_what_is_not_asked_by_a_route_of_this_node_is_refused(
    fields: tuple[tuple[str, str], ...], target: str, method: str, status: int
) -> None:
    async def main() -> None:
        tier = region()
        handlers = tier.gateway._handlers
        tier.gateway.configure(RouteTable([Route(f"route/{ROUTE}"), Route("app/shop", "/app")]), handlers)
        reply = await relayed(tier, *fields, target=target, method=method)
        assert reply.status == status
        assert AGE not in reply.said
        assert not tier.origin.asked
        assert (tier.gateway.meters.relay.requests, tier.gateway.meters.relay.refused) == (1, 1)

    run(main)


def test_a_child_waits_a_moment_for_purges_that_are_on_their_way() -> None:
    async def main() -> None:
        tier = region()
        await tier.ask()
        tier.heard.note(PurgesKnown("log", 2))
        asked = (RELAY, encode_request(RelayRequest(ROUTE, PurgesKnown("log", 3))))
        asking = asyncio.ensure_future(relayed(tier, asked, HTTP))
        await asyncio.sleep(RELAY_WAIT_MS.default / 2000)
        assert not asking.done()
        tier.heard.note(PurgesKnown("log", 3))
        assert (await asking).status == 200
        tier.heard.note(PurgesKnown("log", 2))
        late = await relayed(tier, asked, HTTP)
        assert (late.status, AGE in late.said) == (503, False)
        assert tier.relay.limits.reached[RELAY_WAIT_MS.name] == 1

    run(main)


@pytest.mark.parametrize("known", [PurgesKnown(), PurgesKnown("other", 9)])
def test_what_is_not_on_its_way_is_not_waited_for(known: PurgesKnown) -> None:
    async def main() -> None:
        tier = region()
        tier.heard.note(known)
        asked = (RELAY, encode_request(RelayRequest(ROUTE, PurgesKnown("log", 3))))
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert (await relayed(tier, asked, HTTP)).status == 503
        assert loop.time() == began_s

    run(main)


def test_a_child_whose_request_waits_is_told_so_less_and_less_often() -> None:
    async def main() -> None:
        tier = region()
        tier.origin.held = asyncio.Event()
        exchange = MemoryExchange("GET", "/a", [ASKED, HTTP])
        pending = tier.relay.serve(exchange)
        assert pending is not None
        asking = asyncio.ensure_future(pending)
        for until_s, told in ((0.9, 0), (1.1, 1), (1.9, 1), (2.1, 2), (3.9, 2), (4.1, 3), (7.9, 3), (8.1, 4)):
            await asyncio.sleep(until_s - asyncio.get_running_loop().time())
            assert len(exchange.informed) == told
        assert set(exchange.informed) == {102}
        tier.origin.held.set()
        await asking
        assert exchange.status == 200
        await asyncio.sleep(60)
        assert len(exchange.informed) == 4

    run(main)


def test_who_is_gone_is_told_nothing_more() -> None:
    async def main() -> None:
        tier = region()
        tier.origin.held = asyncio.Event()
        exchange = MemoryExchange("GET", "/a", [ASKED, HTTP])
        pending = tier.relay.serve(exchange)
        assert pending is not None
        asking = asyncio.ensure_future(pending)
        await asyncio.sleep(1.5)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(60)
        assert exchange.informed == [102]

    run(main)
