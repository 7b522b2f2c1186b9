from littoral.core.resources.web import CacheKey, QueryKey
from littoral.gateway.cache.key import SEPARATOR
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.purge import Purge
from littoral.gateway.shield_purges import CHANGED_MOST, REMEMBERED_MOST, ShieldPurges
from littoral.node.cache_orders import CacheOrders
from littoral.wire.relay import PurgesKnown
from tests.support.fakes import FakeClock

KEY = "http://edge.test/a"
NOBODYS = PurgesKnown()


def ordered(clock: FakeClock, ago_s: float, value: str = "page") -> Purge:
    """So long ago, by the hub's clock."""
    return Purge("tag", value, at_ms=clock.wall_ms() - int(ago_s * 1000))


def purges(clock: FakeClock, orders: CacheOrders | None = None) -> ShieldPurges:
    return ShieldPurges(clock, (orders or CacheOrders(MemoryTier(1 << 20), clock)).aim)


def test_what_was_made_before_a_purge_that_is_meant_for_it_is_purged() -> None:
    clock = FakeClock()
    mine, now_s = purges(clock), clock.monotonic_s()
    mine.tell_all(NOBODYS, [ordered(clock, 60), ordered(clock, 30, "other")], 0, clock.wall_ms())
    assert mine.hits(KEY, ("page",), now_s - 60)
    assert not mine.hits(KEY, ("page",), now_s - 59.9)
    assert not mine.hits(KEY, ("news",), now_s - 600)
    assert mine.hits(KEY, ("news", "other"), now_s - 31)


def test_the_hubs_clock_may_be_another_and_this_one_may_jump() -> None:
    clock, hub = FakeClock(), FakeClock(5_000_000)
    mine = purges(clock)
    mine.tell_all(NOBODYS, [ordered(hub, 60)], 0, hub.wall_ms())
    clock.advance(seconds=10)
    clock.set_wall(0)
    now_s = clock.monotonic_s()
    assert mine.hits(KEY, ("page",), now_s - 70)
    assert not mine.hits(KEY, ("page",), now_s - 69.9)
    mine.tell(NOBODYS, [ordered(hub, -5)], hub.wall_ms())
    assert mine.hits(KEY, ("page",), now_s), "a purge of the future is of now"


def test_of_what_is_older_than_all_that_is_remembered_nobody_knows() -> None:
    clock = FakeClock()
    mine = purges(clock)
    mine.tell_all(NOBODYS, [], clock.wall_ms() - 60_000, clock.wall_ms())
    assert mine.hits(KEY, (), clock.monotonic_s() - 60)
    assert not mine.hits(KEY, (), clock.monotonic_s() - 59.9)
    mine.tell_all(NOBODYS, [], 0, clock.wall_ms())
    assert not mine.hits(KEY, (), clock.monotonic_s() - 60)
    for number in range(REMEMBERED_MOST + 1):
        mine.tell(NOBODYS, [ordered(clock, 0, f"tag{number}")], clock.wall_ms())
        clock.advance(seconds=1)
    now_s = clock.monotonic_s()
    assert mine.hits(KEY, (), now_s - REMEMBERED_MOST - 1), "the first is forgotten, and may have been meant"
    assert not mine.hits(KEY, (), now_s - REMEMBERED_MOST)


def test_all_that_is_told_takes_the_place_of_what_was() -> None:
    clock = FakeClock()
    mine = purges(clock)
    mine.tell_all(NOBODYS, [ordered(clock, 60)], 0, clock.wall_ms())
    mine.tell_all(PurgesKnown("log", 3), [], 0, clock.wall_ms())
    assert not mine.hits(KEY, ("page",), clock.monotonic_s() - 60)
    assert mine.known == PurgesKnown("log", 3)


def test_a_purge_is_meant_for_the_keys_that_a_new_route_makes() -> None:
    clock = FakeClock()
    orders = CacheOrders(MemoryTier(1 << 20), clock)
    mine = purges(clock, orders)
    purge = Purge("url", f"{KEY}?utm_source=mail", at_ms=clock.wall_ms())
    mine.tell_all(NOBODYS, [purge], 0, clock.wall_ms())
    made_s = clock.monotonic_s() - 1
    assert not mine.hits(KEY, (), made_s)
    orders.use([CacheKey(query=QueryKey(deny=["utm_*"]))])
    mine.look_again()
    assert mine.hits(KEY, (), made_s)


def test_what_clients_have_changed_is_remembered_for_so_many_urls() -> None:
    clock = FakeClock()
    mine = purges(clock)
    mine.tell_all(NOBODYS, [], 0, clock.wall_ms())
    mine.change(KEY)
    changed_s = clock.monotonic_s()
    clock.advance(seconds=5)
    assert mine.hits(f"{KEY}{SEPARATOR}x-a: b", (), changed_s)
    assert not mine.hits(KEY, (), changed_s + 0.001)
    assert not mine.hits(f"{KEY}b", (), changed_s)
    mine.change("http://edge.test/other")
    mine.change(KEY)
    for number in range(CHANGED_MOST - 1):
        mine.change(f"http://edge.test/{number}")
    assert mine.hits(KEY, (), changed_s), "it was changed again meanwhile"
    assert not mine.hits("http://edge.test/other", (), changed_s), "which is forgotten"
