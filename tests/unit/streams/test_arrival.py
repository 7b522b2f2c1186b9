"""Snapshots arrive in chunks: each is taken once, whatever comes between, and none that is not what its digest says."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from littoral.core.http import AnyResponse, Request, Response
from littoral.core.kv import KvEntry
from littoral.core.limits import FREE_BYTES
from littoral.fleet.desired import DesiredFold
from littoral.fleet.kv_fold import KvFold
from littoral.fleet.purges import PurgeFold
from littoral.fleet.snapshots import KEYS_AT_ONCE, UNSAID, FoldSnapshots
from littoral.store.kv import kv_down_stream, kv_stream
from littoral.store.room import LOOK_EVERY_S
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.arrival import ARRIVING, TRIES
from littoral.streams.bootstrap import Snapshots
from littoral.testing.loop import run
from littoral.wire import peer
from tests.support.neighbours import CHILD, Neighbours
from tests.support.stores import records_of

SPACE = "lines"
STREAM, DOWN = kv_stream("cloud", SPACE), kv_down_stream("cloud", SPACE)
KEYS = 12
CHUNKS = 4
"""Of KEYS keys."""
FIRST = CHUNKS + 1
"""Of one key more."""


class Space(Neighbours):
    """A namespace at the parent that the child has never seen, in CHUNKS chunks."""

    def __init__(self, seed: int) -> None:
        self.asked: list[str] = []
        """The cursor of each chunk that reached the parent."""
        self.asked_of: list[str] = []
        """The stream of each of them."""
        self.change: Callable[[Response], Response] = lambda answer: answer
        super().__init__(seed, read_bytes=420)
        self.family.followed.add(STREAM)

    def snapshots_of(self, store: Store) -> Snapshots:
        parent = "" if store.node == "cloud" else "cloud"
        return FoldSnapshots(store, KvFold(store.node, parent), DesiredFold(store.node, parent), PurgeFold(parent))

    async def write(self, *keys: str) -> None:
        for key in keys:
            await self.parent.submit(partial(put, key))

    async def _handle(self, request: Request) -> AnyResponse:
        if request.path != peer.SNAPSHOT:
            return await super()._handle(request)
        self.asked.append(request.query.get("cursor", ""))
        self.asked_of.append(request.query["stream"])
        answer = await super()._handle(request)
        assert isinstance(answer, Response)
        return self.change(answer)

    def cut_at(self, number: int) -> None:
        """Lose the answer to the how-manieth question for a chunk, and all that follows."""

        def cut(answer: Response) -> Response:
            if len(self.asked) == number:
                self.link.cut()
            return answer

        self.change = cut

    def is_there(self) -> bool:
        return self.uplink.state.bootstraps == 1 and entries(self.child) == entries(self.parent)


class Both(Space):
    """The same, of which the child follows both streams; it is up to date."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.family.followed.add(DOWN)

    async def get_up_to_date(self) -> None:
        await self.write_above("above")
        self.start()
        await self.until(lambda: self.uplink.state.bootstraps == 2 and entries(self.child) == entries(self.parent))
        self.asked.clear()
        self.asked_of.clear()

    async def write_above(self, *keys: str, value: bytes | None = bytes(100)) -> None:
        """As the parent's parent."""
        newest = max((entry.hlc for entry in entries(self.parent)), default=0)
        for n, key in enumerate(keys, 1):
            entry = KvEntry(key, value, newest + n, "above")
            await self.parent.submit(lambda tx: tx.kv_merge_from_above(SPACE, [entry]))  # noqa: B023

    async def take_beginning(self) -> None:
        """At the parent, of the stream that is begun anew first."""
        await self.write(*keys())
        await self.parent.submit(lambda tx: tx.set_retention(STREAM, 1))
        await self.parent.submit(lambda tx: tx.retain(STREAM, 0, 100))

    async def power_cut(self) -> None:
        await self.stop()
        self.below.cut_power()
        self.child = self.below.open()
        self.uplink = self.make_uplink()
        self.start()

    def is_level(self) -> bool:
        """Whether the child has both streams to their ends."""
        tails = [
            [info.next for info in map(store.stream, (STREAM, DOWN)) if info] for store in (self.child, self.parent)
        ]
        return tails[0] == tails[1]


def put(key: str, tx: Transaction) -> None:
    tx.kv_put(SPACE, key, bytes(100))


def entries(store: Store) -> list[KvEntry]:
    return store.kv_entries(SPACE, "", 1000)


def keys(count: int = KEYS) -> list[str]:
    return [f"k{n:02}" for n in range(count)]


def play(story: Callable[[Space], Awaitable[None]], seed: int) -> None:
    async def main() -> None:
        space = Space(seed)
        await space.write(*keys())
        await story(space)
        await space.stop()

    run(main, seed=seed)


def test_the_chunks_of_a_snapshot_are_asked_for_once_each(seed):
    async def story(space: Space) -> None:
        space.start()
        await space.until(space.is_there)
        assert len(space.asked) == CHUNKS
        assert space.asked == sorted(set(space.asked))
        assert space.child.state(ARRIVING) == {}
        state = space.uplink.state
        assert (state.snapshot_chunks, state.refused_chunks, state.resumed_snapshots) == (CHUNKS, 0, 0)

    play(story, seed)


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("at", range(1, CHUNKS + 1))
def test_a_snapshot_goes_on_after_a_cut_where_it_was(at, power, seed):
    async def story(space: Space) -> None:
        space.cut_at(at)
        space.start()
        await space.until(lambda: len(space.asked) == at)
        await asyncio.sleep(60)
        if power:
            await space.stop()
            space.below.cut_power()
            space.child = space.below.open()
            space.uplink = space.make_uplink()
            space.start()
        assert len(entries(space.child)) == KEYS // CHUNKS * (at - 1)
        space.link.restore()
        await space.until(space.is_there)
        # The one that was on its way, and no other, is sent twice.
        assert len(space.asked) == CHUNKS + 1
        assert len(set(space.asked)) == CHUNKS
        assert space.uplink.state.resumed_snapshots == (at > 1)
        assert space.child.state(ARRIVING) == {}

    play(story, seed)


def test_a_chunk_that_is_not_what_its_digest_says_is_refused_and_asked_for_again(seed):
    async def story(space: Space) -> None:
        def spoil(answer: Response) -> Response:
            if len(space.asked) != 2:
                return answer
            page = peer.decode(answer.body, peer.SnapshotPage, "snapshot")
            assert isinstance(page.items, bytes)
            items = page.items.replace(b"k0", b"x0")
            assert items != page.items
            return Response(200, answer.headers, peer.encode(msgspec.structs.replace(page, items=items)))

        space.change = spoil
        space.start()
        await space.until(space.is_there)
        assert len(space.asked) == CHUNKS + 1
        assert space.uplink.state.refused_chunks == 1

    play(story, seed)


def test_a_snapshot_whose_chunks_are_always_wrong_is_given_up_and_says_so(seed):
    async def story(space: Space) -> None:
        space.change = lambda answer: Response(200, answer.headers, answer.body[:-1] + b"\0")
        space.start()
        await space.until(lambda: STREAM in space.uplink.outbox.blocked)
        assert space.asked == [""] * TRIES
        assert "not what its digest says" in space.uplink.outbox.blocked[STREAM].reason
        assert entries(space.child) == []
        assert space.child.stream(STREAM) is None

    play(story, seed)


def test_a_snapshot_is_begun_anew_where_the_parent_s_stream_has_gone_on_without_it(seed):
    async def story(space: Space) -> None:
        space.cut_at(3)
        space.start()
        await space.until(lambda: len(space.asked) == 3)
        await space.write("k00", "later")
        await space.parent.submit(lambda tx: tx.set_retention(STREAM, 1))
        await space.parent.submit(lambda tx: tx.retain(STREAM, 0, 100))
        info = space.parent.stream(STREAM)
        assert info is not None
        assert info.first > KEYS
        space.link.restore()
        await space.until(space.is_there)
        assert space.asked[3:5] == [space.asked[2], ""]

    play(story, seed)


def test_what_a_copy_held_is_not_deleted_in_the_transaction_that_begins_it_anew(seed):
    async def story(space: Space) -> None:
        space.start()
        await space.until(space.is_there)
        await space.write("more", "and more")
        await space.until(lambda: space.uplink.state.followed_records == 2)
        before = space.child.stream(STREAM)
        assert before is not None
        await space.child.submit(partial(begin_again, info=before))
        after = space.child.stream(STREAM)
        assert after is not None
        assert (after.id > before.id, after.first, after.next, after.bytes) == (True, 99, 99, 0)
        assert space.child.deleted_bytes() == before.bytes
        assert await space.child.submit(lambda tx: tx.purge(64)) == 2
        assert space.child.deleted_bytes() == 0

    play(story, seed)


@pytest.mark.parametrize("power", [False, True])
def test_a_chunk_that_drops_much_here_is_taken_in_pieces_and_noted_with_the_last(power, seed):
    async def story(space: Space) -> None:
        newest = max(entry.hlc for entry in entries(space.parent))
        count = KEYS_AT_ONCE * 5 // 2
        held = [KvEntry(f"x{n:04}", b"v", newest, "cloud") for n in range(count)]
        await space.child.submit(lambda tx: tx.kv_merge_from_above(SPACE, held))
        await space.parent.submit(lambda tx: tx.kv_raise_horizon(SPACE, newest))
        buried = [0]
        first = KEYS_AT_ONCE - KEYS // CHUNKS  # the last chunk's own keys are looked at as well

        def note(info: StreamInfo) -> None:
            if info.name == kv_stream(CHILD, SPACE):
                buried.append(info.next)
                if power and len(buried) == 2:
                    asyncio.get_running_loop().call_soon(space.below.cut_power)

        space.child.watch(note)
        space.start()
        if power:
            await space.until(lambda: len(buried) == 2)
            await space.stop()
            space.child = space.below.open()
            assert living(space.child) == [*keys(), *(f"x{n:04}" for n in range(first, count))]
            space.child.watch(note)
            space.uplink = space.make_uplink()
            space.start()
        await space.until(lambda: space.uplink.state.bootstraps == 1)
        assert buried == [0, first, first + KEYS_AT_ONCE, count]
        assert living(space.child) == keys()
        assert space.child.state(ARRIVING) == {}

    play(story, seed)


def living(store: Store) -> list[str]:
    return [entry.key for entry in store.kv_entries(SPACE, "", 10_000) if entry.value is not None]


def test_a_disk_with_little_room_takes_no_chunks_and_goes_on_once_there_is_some(seed):
    async def story(space: Space) -> None:
        disk = space.below.disk
        capacity = disk.capacity_bytes
        disk.capacity_bytes = capacity - disk.free_bytes() + space.below.limits[FREE_BYTES] - 1
        await asyncio.sleep(LOOK_EVERY_S)
        space.start()
        await asyncio.sleep(120)
        assert entries(space.child) == []
        assert space.uplink.state.connected
        assert space.uplink.state.sessions == 1, "what else there is to do goes on"
        disk.capacity_bytes = capacity
        await space.until(space.is_there)
        assert space.uplink.state.sessions == 1

    play(story, seed)


def begin_again(tx: Transaction, info: StreamInfo) -> None:
    tx.reset_replica(
        info.name,
        lineage=info.lineage,
        offset=99,
        chain=info.chain,
        content_type=info.content_type,
        lane=info.lane,
        reach=info.reach,
        via=info.via,
    )


def test_chunks_from_a_node_that_does_not_know_of_them_are_taken(seed):
    async def story(space: Space) -> None:
        handle = space.server.handle

        async def older(child: str, request: Request) -> AnyResponse:
            query = {key: value for key, value in request.query.items() if key != "chunked"}
            return await handle(child, Request(request.method, request.path, query, request.headers, request.body))

        space.server.handle = older  # type: ignore[method-assign]
        space.start()
        await space.until(space.is_there)

    play(story, seed)


def test_what_a_new_node_took_over_its_own_children_begin_anew_with(seed):
    async def story(space: Space) -> None:
        down = kv_down_stream(CHILD, SPACE)
        space.start()
        await space.until(space.is_there)
        info = space.child.stream(down)
        assert info is not None
        assert (info.next, records_of(space.child, down)) == (0, []), "nothing was published entry by entry"
        assert space.child.state(UNSAID) == {}
        # What comes entry by entry is published so.
        ours = FoldSnapshots(space.child, KvFold(CHILD, "cloud"), DesiredFold(CHILD, "cloud"), PurgeFold("cloud"))
        part = ours.part(STREAM, None, 1 << 20)
        newer = msgspec.structs.replace(entries(space.child)[0], value=b"new", hlc=entries(space.child)[0].hlc + 1)
        part = msgspec.structs.replace(part, items=msgspec.msgpack.encode([newer]))
        await space.child.submit(lambda tx: ours.take(tx, STREAM, part, None))
        await space.child.submit(lambda tx: ours.finish(tx, STREAM, KEYS, 0))
        again = space.child.stream(down)
        assert again is not None
        assert (again.id, again.next) == (info.id, 1)

    play(story, seed)


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("at", range(1, 2 * FIRST + 1))
def test_the_other_stream_of_a_state_is_begun_anew_too_whatever_comes_between(at, power, seed):
    """at: the chunk whose answer is lost, of both snapshots."""

    async def main() -> None:
        space = Both(seed)
        await space.write(*keys())
        await space.get_up_to_date()
        space.link.cut()
        await space.take_beginning()
        space.cut_at(at)
        space.link.restore()
        await space.until(lambda: len(space.asked) == at)
        await asyncio.sleep(60)
        if power:
            await space.power_cut()
        # A range of keys of which nothing is held: it is taken over, and not published.
        await space.write_above(*(f"z{n:02}" for n in range(9)))
        space.link.restore()
        await space.until(lambda: entries(space.child) == entries(space.parent))
        await asyncio.sleep(10)
        begun = [each for each, cursor in zip(space.asked_of, space.asked, strict=True) if not cursor]
        assert set(begun) == {str(STREAM), str(DOWN)}
        assert len(begun) == 2 + (at in (1, FIRST + 1)), (
            "that of which nothing had come is asked for again, and no other"
        )
        assert space.child.state(ARRIVING) == {}
        assert space.child.state(UNSAID) == {}
        assert space.is_level()
        await space.stop()

    run(main, seed=seed)


def test_before_the_other_stream_is_begun_anew_late_this_one_is_followed_to_its_end(seed):
    """What is said in the one before a deletion that is said in the other, of which the snapshot then says no more, would
    bring the key back."""

    async def main() -> None:
        space = Both(seed)
        await space.write_above("of which the child is told first")
        await space.write(*keys())
        await space.get_up_to_date()
        space.link.cut()
        await space.take_beginning()
        space.cut_at(FIRST + 1)
        space.link.restore()
        await space.until(lambda: len(space.asked) == FIRST + 1)
        await asyncio.sleep(60)
        await space.write("written meanwhile")
        await space.write_above("written meanwhile", value=None)
        level: list[bool] = []

        def look(answer: Response) -> Response:
            infos = [store.stream(STREAM) for store in (space.child, space.parent)]
            level.append(len({info.next for info in infos if info is not None}) == 1)
            return answer

        space.change = look
        space.link.restore()
        await space.until(lambda: space.child.state(ARRIVING) == {} and space.is_level())
        assert level
        assert all(level)
        assert space.asked_of[FIRST + 1 :] == [str(DOWN)] * len(level)
        await space.stop()

    run(main, seed=seed)
