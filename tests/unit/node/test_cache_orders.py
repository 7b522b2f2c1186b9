from pathlib import Path

import pytest

from littoral.core.resources.web import CacheKey, QueryKey
from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.key import SEPARATOR
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge
from littoral.node.cache_orders import RULES_MOST, CacheOrders
from littoral.wire.caching.selection import variant_key
from littoral.wire.caching.storing import Stored
from tests.support.disk_cache import DiskEdge, PurgeStream, page, play, running
from tests.support.fakes import FakeClock

URL = "http://edge.test/a"
UNTIL = Position("log", 1)
SHORT = CacheKey(query=QueryKey(deny=["utm_*"]))


def entry(key: str, vary: tuple[str, ...] = (), **asked: str) -> Entry:
    stored = Stored(200, (("cache-tag", "page"),), 90.0, 90.0, 160.0, 0.0, 0.0, vary)
    return Entry(key, variant_key(vary, asked), stored, (b"hello",))


def test_what_a_route_that_is_gone_has_stored_is_purged() -> None:
    orders = CacheOrders(MemoryTier(1 << 20), FakeClock())
    orders.use([SHORT])
    orders.tier.put(entry(URL))
    orders.use([])
    assert orders.purge([Purge("url", f"{URL}?utm_source=mail")], UNTIL) == [1]


def test_before_a_way_of_making_keys_is_forgotten_everything_is_purged() -> None:
    orders = CacheOrders(MemoryTier(1 << 20), FakeClock())
    for number in range(RULES_MOST - 1):
        orders.use([CacheKey(headers=[f"x-{number}"])])
    orders.tier.put(entry(URL))
    orders.use([CacheKey(headers=["x-0"])])
    assert orders.tier.count == 1
    orders.use([SHORT])
    assert orders.tier.count == 0
    orders.tier.put(entry(URL))
    assert orders.purge([Purge("url", f"{URL}?utm_source=mail")], UNTIL) == [1]


def test_what_is_held_of_a_url_is_shown() -> None:
    orders = CacheOrders(MemoryTier(1 << 20), FakeClock(100_000))
    german = entry(f"{URL}{SEPARATOR}device mobile", ("accept-language", "x-a"), **{"accept-language": "de"})
    german.hits = 3
    for each in (german, entry(URL), entry(f"{URL}b")):
        orders.tier.put(each)
    first, second = orders.inspect(URL)
    assert (first.key, first.variant, first.hits) == ([], {}, 0)
    assert (second.url, second.key, second.hits, second.bytes) == (URL, ["device mobile"], 3, 5)
    assert second.variant == {"accept-language": "de", "x-a": None}
    assert (second.status, second.age_s, second.ttl_s, second.tags) == (200, 10, 60, ["page"])
    orders.purge([Purge("url", URL, soft=True)], UNTIL)
    assert [each.ttl_s for each in orders.inspect(URL)] == [None, None]


@pytest.mark.parametrize("count", [RULES_MOST, 2 * RULES_MOST])
def test_however_many_routes_there_are_their_keys_are_known(count: int) -> None:
    orders = CacheOrders(MemoryTier(1 << 20), FakeClock())
    routes = [SHORT, *(CacheKey(headers=[f"x-{number}"]) for number in range(count))]
    orders.use(routes)
    orders.tier.put(entry(URL))
    orders.use(routes)
    assert orders.purge([Purge("url", f"{URL}?utm_source=mail")], UNTIL) == [1]


def test_what_is_held_of_a_url_on_the_disk_is_shown_too(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"hello", ("cache-tag", "page"))), stream) as edge:
            await edge.ask("/a")
            memory, disk = edge.orders.inspect(URL)
            assert (memory.tier, disk.tier) == ("memory", "disk")
            assert (disk.url, disk.bytes, disk.ttl_s, disk.tags) == (URL, 5, 600, ["page"])

    play(scenario)


def test_before_a_way_of_making_keys_is_forgotten_the_disk_is_emptied_too(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"1"), page(b"2")), stream) as edge:
            await edge.ask("/a")
            for number in range(RULES_MOST):
                edge.orders.use([CacheKey(headers=[f"x-{number}"])])
            await edge.settle()
            assert edge.objects.find(URL) == []
            assert (await edge.ask("/a")).sent == b"2"
            assert edge.objects.find(URL)

    play(scenario)
