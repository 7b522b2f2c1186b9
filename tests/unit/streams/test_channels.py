"""Who is told of which stream, and how little is asked for it."""

import asyncio
from collections.abc import Awaitable, Callable

from littoral.core.names import StreamName
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.channels import Channels
from littoral.testing.loop import run
from tests.support import stores
from tests.support.stores import SimStore, name

ORDERS, PRIVATE = name("cloud/orders"), name("cloud/private")


class Family:
    """Everybody follows what is shared, but those that are kept from it; counts how often it is asked."""

    def __init__(self) -> None:
        self.shared = {ORDERS}
        self.kept: set[str] = set()
        self.asked = 0

    def is_shared(self, info: StreamInfo) -> bool:
        return info.name in self.shared

    def addressee(self, name: StreamName) -> str | None:
        return name.path.removeprefix("for/") if name.path.startswith("for/") else None

    def follows(self, child: str, info: StreamInfo) -> bool:
        self.asked += 1
        return child not in self.kept and info.via != child


async def append(store: Store, stream: StreamName) -> None:
    await store.submit(stores.append(stream, b"1"))


def play(story: Callable[[Store, Family, Channels], Awaitable[None]]) -> None:
    async def main() -> None:
        store = SimStore("cloud").open()
        family = Family()
        await story(store, family, Channels(store, family))

    run(main)


def test_a_stream_that_moves_wakes_those_that_follow_it_and_no_other():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        family.kept = {"plant-b"}
        ours, other = channels.open("plant-a"), channels.open("plant-b")
        waiting = [asyncio.ensure_future(each.wait(3600.0)) for each in (ours, other)]
        await append(store, ORDERS)
        await waiting[0]
        assert (ours.take(), other.take(), waiting[1].done()) == ([ORDERS], [], False)
        other.end()
        await waiting[1]

    play(story)


def test_what_nobody_shares_asks_for_no_child_and_what_is_shared_asks_for_each_once():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        for number in range(100):
            channels.open(f"plant-{number}")
        for _ in range(10):
            await append(store, PRIVATE)
        assert family.asked == 0
        for _ in range(10):
            await append(store, ORDERS)
        assert family.asked == 100
        channels.open("late")
        assert family.asked == 101

    play(story)


def test_of_what_is_for_one_child_no_other_is_asked():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        streams = [name(f"cloud/for/plant-{number}") for number in range(100)]
        family.shared = set(streams)
        for stream in streams[:50]:
            await append(store, stream)
        opened = [channels.open(f"plant-{number}") for number in range(100)]
        for stream in streams[50:]:
            await append(store, stream)
        assert [channel.take() for channel in opened] == [[stream] for stream in streams]
        assert family.asked == 100
        await append(store, streams[7])
        channels.review("plant-7")
        assert opened[7].take() == [streams[7]]
        await append(store, streams[7])
        await store.submit(lambda tx: tx.delete_stream(streams[7]))
        assert opened[7].take() == []

    play(story)


def test_one_that_opens_later_is_told_of_what_was_there_before_and_then_of_what_moves():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        await append(store, ORDERS)
        channel = channels.open("plant-a")
        assert channel.take() == [ORDERS]
        await append(store, ORDERS)
        assert channel.take() == [ORDERS]

    play(story)


def test_a_review_of_one_child_asks_for_no_other():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        await append(store, ORDERS)
        family.kept = {"plant-a"}
        first, second = channels.open("plant-a"), channels.open("plant-b")
        assert (first.take(), second.take()) == ([], [ORDERS])
        family.kept, family.asked = set(), 0
        channels.review("plant-a")
        assert (first.take(), second.take(), family.asked) == ([ORDERS], [], 1)
        channels.review("nobody")
        assert family.asked == 1

    play(story)


def test_what_a_child_follows_no_longer_is_not_told_though_it_had_moved():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        channel = channels.open("plant-a")
        await append(store, ORDERS)
        family.kept = {"plant-a"}
        channels.review("plant-a")
        assert channel.take() == []
        await append(store, ORDERS)
        assert channel.take() == []

    play(story)


def test_a_review_of_all_finds_streams_that_are_shared_from_now_on():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        await append(store, PRIVATE)
        channel = channels.open("plant-a")
        family.shared = {PRIVATE}
        channels.review()
        assert channel.take() == [PRIVATE]

    play(story)


def test_a_stream_that_comes_by_another_way_is_judged_anew():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        def take(via: str) -> Callable[[Transaction], None]:
            def job(tx: Transaction) -> None:
                if tx.stream(ORDERS) is not None:
                    tx.delete_stream(ORDERS)
                tx.open_stream(ORDERS, via=via)

            return job

        channel = channels.open("plant-a")
        await store.submit(take("plant-a"))
        assert channel.take() == [], "it sent it itself"
        await store.submit(take("plant-b"))
        assert channel.take() == [ORDERS]

    play(story)


def test_a_deleted_stream_is_not_told_any_more():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        channel = channels.open("plant-a")
        await append(store, ORDERS)
        await store.submit(lambda tx: tx.delete_stream(ORDERS))
        assert channel.take() == []

    play(story)


def test_a_newer_channel_ends_the_older_which_is_told_nothing_more():
    async def story(store: Store, family: Family, channels: Channels) -> None:
        await append(store, ORDERS)
        older, newer = channels.open("plant-a"), channels.open("plant-a")
        assert (older.ended, newer.ended) == (True, False)
        assert (older.take(), newer.take()) == ([ORDERS], [ORDERS])
        await append(store, ORDERS)
        assert (older.take(), newer.take()) == ([], [ORDERS])
        channels.close(older)
        assert channels.children() == ["plant-a"]
        channels.close(newer)
        assert channels.children() == []
        await append(store, ORDERS)
        assert newer.take() == []

    play(story)
