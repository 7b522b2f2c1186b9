from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from littoral.gateway.cache.eviction import MOST_USES, Queues


@dataclass(eq=False)
class Item:
    name: str
    size: int = 1
    uses: int = 0
    is_in: bool = False


def test_what_is_asked_for_once_displaces_nothing_that_is_asked_for_often() -> None:
    queues = Queues(100)
    often = [Item(f"often {number}") for number in range(80)]
    for item in often:
        queues.add(item)
        item.uses = MOST_USES
    for number in range(1000):
        for item in often:
            item.uses = MOST_USES
        queues.add(Item(f"once {number}"))
    assert all(item.is_in for item in often)
    assert queues.bytes == queues.count == 100


def test_what_comes_back_soon_is_remembered() -> None:
    queues = Queues(100)
    for number in range(100):
        queues.add(Item(f"{number}"))
    first = queues.add(Item("more"))[0]
    again = Item(first.name)
    queues.add(again)
    for number in range(200, 260):
        queues.add(Item(f"{number}"))
    assert again.is_in


def test_more_is_hit_than_by_a_plain_queue() -> None:
    """Objects as the web has them: the n-th most popular is asked for 1/n as often."""
    random = Random(7)
    wanted = random.choices(range(2000), [1 / (rank + 1) for rank in range(2000)], k=40_000)
    queues, hits = Queues(100), 0
    held: dict[int, Item] = {}
    plain: dict[int, None] = {}
    plain_hits = 0
    for number in wanted:
        item = held.get(number)
        if item is not None and item.is_in:
            hits += 1
            item.uses = min(item.uses + 1, MOST_USES)
        else:
            held[number] = Item(str(number))
            queues.add(held[number])
        if number in plain:
            plain_hits += 1
        else:
            plain[number] = None
            if len(plain) > 100:
                del plain[next(iter(plain))]
    assert hits > plain_hits * 1.1


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 60), st.integers(0, 3), st.booleans()), max_size=200))
def test_the_bound_holds_and_what_is_counted_is_there(steps: list[tuple[int, int, int, bool]]) -> None:
    queues = Queues(100)
    items: dict[int, Item] = {}
    for name, size, uses, is_removed in steps:
        old = items.pop(name, None)
        if old is not None:
            queues.remove(old)
        if not is_removed:
            items[name] = item = Item(str(name), size)
            for left in queues.add(item):
                assert not left.is_in
            item.uses = uses
        there = [item for item in items.values() if item.is_in]
        assert queues.bytes == sum(item.size for item in there) <= 100
        assert queues.count == len(there)
