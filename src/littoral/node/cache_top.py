"""Which stored responses were given most often: found at each gateway without holding up its requests, put together at the hub."""

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from itertools import chain, count

import msgspec

from littoral.gateway.cache.entry import Entry
from littoral.gateway.cache.memory import Shelf
from littoral.node.purge_messages import CachedObject

TOP_MOST = 100
"""Asked for at a time."""
SLICE_SHELVES = 250
"""Looked at before requests are answered again: about a fifth of a millisecond."""


async def most_given(shelves: Sequence[Shelf], number: int) -> list[Entry]:
    """Those of the entries on these shelves that were given most often, the first of them first. What is forgotten meanwhile is
    not among them."""
    best: list[tuple[int, int, Entry]] = []
    order = count()
    for start in range(0, len(shelves), SLICE_SHELVES):
        for entry in chain.from_iterable(shelf.entries() for shelf in shelves[start : start + SLICE_SHELVES]):
            if len(best) < number:
                heapq.heappush(best, (entry.hits, next(order), entry))
            elif entry.hits > best[0][0]:
                heapq.heapreplace(best, (entry.hits, next(order), entry))
        await asyncio.sleep(0)
    return [entry for _, _, entry in sorted(best, reverse=True) if entry.is_in]


class TopObject(msgspec.Struct, frozen=True):
    """A response that is stored in some of a node's gateways."""

    object: CachedObject
    """As the gateway has it where it is youngest; with the hits of all."""
    gateways: int
    """Those that have it among what they have given most often."""


def merged(told: Iterable[Sequence[CachedObject]], number: int) -> list[TopObject]:
    """What several gateways have given most often, the first first."""
    same: dict[tuple[str, ...], list[CachedObject]] = {}
    for each in chain.from_iterable(told):
        variant = (f"{name}: {value}" for name, value in sorted(each.variant.items()))
        same.setdefault((each.url, *each.key, "", *variant), []).append(each)
    tops = [
        TopObject(
            msgspec.structs.replace(min(held, key=lambda each: each.age_s), hits=sum(each.hits for each in held)),
            len(held),
        )
        for held in same.values()
    ]
    return heapq.nlargest(number, tops, key=lambda top: (top.object.hits, top.object.url))
