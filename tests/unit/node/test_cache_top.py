import asyncio
import random

from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.memory import MemoryTier
from littoral.node.cache_top import SLICE_SHELVES, merged, most_given
from littoral.node.purge_messages import CachedObject
from littoral.wire.caching.storing import Stored


def entry(name: str, hits: int, variant: str = "", vary: tuple[str, ...] = ()) -> Entry:
    made = Entry(f"http://edge.test/{name}", variant, Stored(200, (), 90.0, 90.0, 160.0, 0.0, 0.0, vary), (b"hello",))
    made.hits = hits
    return made


def tier_of(entries: list[Entry]) -> MemoryTier:
    tier = MemoryTier(1 << 30)
    for each in entries:
        tier.put(each)
    return tier


def held(url: str, hits: int, age_s: int, **variant: str) -> CachedObject:
    return CachedObject(url, [], dict(variant), 200, age_s, 60, 5, hits, [])


def test_what_was_given_most_often_is_found_whatever_the_order(seed: int) -> None:
    entries = [entry(str(hits), hits) for hits in range(10 * SLICE_SHELVES)]
    random.Random(seed).shuffle(entries)
    entries.append(entry("2", 10 * SLICE_SHELVES, "de", ("accept-language",)))
    found = asyncio.run(most_given(tier_of(entries).shelves(), 3))
    last = 10 * SLICE_SHELVES
    assert [(each.hits, each.variant) for each in found] == [(last, "de"), (last - 1, ""), (last - 2, "")]
    assert asyncio.run(most_given([], 3)) == []


def test_others_go_on_meanwhile_and_what_they_forget_is_not_shown() -> None:
    most = 4 * SLICE_SHELVES
    tier = tier_of([entry(str(hits), hits) for hits in range(most, 0, -1)])

    async def main() -> None:
        looking = asyncio.ensure_future(most_given(tier.shelves(), 2))
        turns = 0
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
            if turns == 2:
                tier.drop_url(f"http://edge.test/{most}")
        assert turns >= 4
        assert [each.hits for each in await looking] == [most - 1]

    asyncio.run(main())


def test_one_response_in_several_gateways_is_one() -> None:
    found = merged(
        [
            [held("http://a/1", 5, 9), held("http://a/2", 4, 1)],
            [held("http://a/1", 1, 3), held("http://a/2", 4, 1, accept="x")],
        ],
        2,
    )
    assert [(each.object.url, each.object.hits, each.object.age_s, each.gateways) for each in found] == [
        ("http://a/1", 6, 3, 2),
        ("http://a/2", 4, 1, 1),
    ]
