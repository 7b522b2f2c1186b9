"""Tests for littoral.node.queue: in virtual time, on a store whose power can be cut."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random as SeededChance
from typing import Any

import msgspec
import pytest

from littoral.core.errors import BadGateway, LimitReached, LittoralError, NotFound, Unavailable
from littoral.core.names import StreamName
from littoral.core.resources.app_events import QueueConsumer
from littoral.fleet.kv_fold import KvFold
from littoral.functions.event_messages import Batch, Settled
from littoral.functions.messages import Answer, EventKind
from littoral.iot.rule_engine import RuleEngine
from littoral.node.letter_desk import Filter, LetterDesk
from littoral.node.queue import NewMessage, NodeQueue
from littoral.node.queue_consumer import Consumer
from littoral.node.queue_log import (
    Stored,
    append_messages,
    decode_stored,
    queue_stream,
    read_rows,
    scope_of,
    write_rows,
)
from littoral.node.queue_state import Rows
from littoral.node.retriers import Retriers
from littoral.store.dead_letters import DeadLetter
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore, records_of

Handler = Callable[[Batch], Awaitable[Settled | None]]
"""What the app does with a batch; None: it raises."""


class Node:
    """A store, the queue `work`, and the app `shop` that gets its messages."""

    def __init__(self, handler: Handler | None = None, *, seed: int = 1, **limits: int) -> None:
        self.sim = SimStore(seed=seed, **limits)
        self.faults: list[BaseException] = []
        self.batches: list[list[str]] = []
        self.ids: dict[str, set[str]] = {}
        self.attempts: dict[str, list[int]] = {}
        self.handler = handler or self.do_nothing
        self.queues: dict[str, NodeQueue] = {}

    @staticmethod
    async def do_nothing(batch: Batch) -> Settled | None:
        return Settled()

    def queue(self, name: str = "work", **settings: Any) -> NodeQueue:
        queue = NodeQueue(
            name,
            self.sim.running(),
            self.sim.clock,
            self.sim.random.fork(f"queue {name} {self.sim.deaths}"),
            self.sim.limits,
            self.call,
            self.faults.append,
        )
        if settings.pop("is_served", True):
            queue.consumer = Consumer.of("shop", QueueConsumer(queue=name, **settings), self.sim.limits)
        queue.start()
        self.queues[name] = queue
        return queue

    async def call(self, app: str, kind: EventKind, subject: str, body: bytes) -> Answer:
        batch = msgspec.msgpack.decode(body, type=Batch)
        assert (app, kind, subject) == ("shop", "queue", batch.queue)
        self.batches.append([each.body.decode("latin-1") for each in batch.messages])
        for each in batch.messages:
            self.ids.setdefault(each.body.decode("latin-1"), set()).add(each.id)
            self.attempts.setdefault(each.body.decode("latin-1"), []).append(each.attempts)
        settled = await self.handler(batch)
        if settled is None:
            return Answer(1, error="exception", body=msgspec.msgpack.encode(Settled()))
        return Answer(1, 200, body=msgspec.msgpack.encode(settled))

    async def stop(self) -> None:
        for queue in self.queues.values():
            await queue.stop()
        self.queues.clear()

    async def end(self) -> None:
        await self.stop()
        await self.sim.close()
        assert not self.faults

    def letters(self) -> list[DeadLetter]:
        stream = StreamName(self.sim.node, "dead-letters")
        return [msgspec.json.decode(each, type=DeadLetter) for each in records_of(self.sim.running(), stream)]


def texts(*bodies: str, **options: Any) -> list[NewMessage]:
    return [NewMessage("text", body.encode(), **options) for body in bodies]


def test_messages_are_given_in_batches_and_are_gone_when_they_are_done() -> None:
    async def scenario() -> None:
        node = Node()
        queue = node.queue(max_batch_size=3, max_batch_timeout="5s", max_concurrency=1)
        await queue.send(texts("a", "b", "c", "d"))
        await asyncio.sleep(1)
        assert node.batches == [["a", "b", "c"]]
        assert queue.messages == 1
        await asyncio.sleep(5)
        assert node.batches == [["a", "b", "c"], ["d"]]
        assert queue.messages == 0
        assert node.sim.running().state("queue/work").keys() == {"read"}
        await node.end()

    run(scenario)


def test_a_consumer_says_what_is_done_and_what_comes_again() -> None:
    async def scenario() -> None:
        async def once(batch: Batch) -> Settled | None:
            return Settled(done=[0], again={1: 30, 2: None}) if len(batch.messages) == 4 else Settled()

        node = Node(once)
        queue = node.queue(max_batch_size=4, max_batch_timeout="0s")
        await queue.send(texts("done", "later", "soon", "silent"))
        await asyncio.sleep(0.9)
        assert node.batches == [["done", "later", "soon", "silent"]]
        await asyncio.sleep(1)
        assert node.batches[1:] == [["soon"]]
        await asyncio.sleep(30)
        assert node.batches[2:] == [["later"]]
        assert node.attempts == {"done": [1], "later": [1, 2], "soon": [1, 2], "silent": [1]}
        assert all(len(ids) == 1 for ids in node.ids.values())
        await node.end()

    run(scenario)


def test_what_a_consumer_fails_with_comes_again_ever_later_and_is_a_dead_letter_in_the_end() -> None:
    async def scenario() -> None:
        node = Node(queue_retry_seconds=3)
        times: list[float] = []

        async def fail(batch: Batch) -> None:
            times.append(round(asyncio.get_running_loop().time(), 1))

        node.handler = fail
        queue = node.queue(max_batch_timeout="0s", max_retries=4)
        await queue.send(texts("poison"))
        await asyncio.sleep(60)
        assert [round(after - before) for before, after in pairwise(times)] == [1, 2, 3, 3]
        assert queue.messages == 0
        (letter,) = node.letters()
        assert letter.by == "queue/work"
        assert letter.reason == "app shop did not handle it in 5 attempts"
        assert node.sim.running().state("queue/work").keys() == {"read"}
        await node.end()

    run(scenario)


def test_dead_letters_go_to_their_queue_whole_and_with_their_id() -> None:
    async def scenario() -> None:
        async def fail(batch: Batch) -> Settled | None:
            return None if batch.queue == "work" else Settled()

        node = Node(fail)
        node.queue("dead", max_batch_timeout="0s")
        queue = node.queue(max_batch_timeout="0s", max_retries=0, dead_letter_queue="dead")
        await queue.send(texts("poison"))
        await asyncio.sleep(1)
        assert node.batches == [["poison"], ["poison"]]
        assert len(node.ids["poison"]) == 1
        assert (queue.messages, node.queues["dead"].messages) == (0, 0)
        assert not node.letters()
        await node.end()

    run(scenario)


def test_a_dead_letter_queue_without_room_leaves_letters_where_they_are() -> None:
    async def scenario() -> None:
        async def fail(batch: Batch) -> Settled | None:
            return None

        node = Node(fail, queue_messages=1)
        dead = node.queue("dead", is_served=False)
        await dead.send(texts("full"))
        queue = node.queue(max_batch_timeout="0s", max_retries=0, dead_letter_queue="dead")
        await queue.send(texts("poison"))
        await asyncio.sleep(30)
        assert queue.messages == 1
        assert "it holds 1 messages" in queue.problem
        await dead.purge()
        await asyncio.sleep(60)
        assert (queue.messages, dead.messages) == (0, 1)
        await node.end()

    run(scenario)


def test_a_dead_letter_can_be_sent_again() -> None:
    async def scenario() -> None:
        async def fail(batch: Batch) -> Settled | None:
            return Settled() if len(node.batches) > 1 else None

        node = Node(fail)
        queue = node.queue(max_batch_timeout="0s", max_retries=0)
        await queue.send(texts("poison"))
        await asyncio.sleep(1)
        store, limits, wall_ms = node.sim.running(), node.sim.limits, node.sim.clock.wall_ms
        rules = RuleEngine(store, limits, wall_ms, node.faults.append)
        retriers = Retriers(store, KvFold(node.sim.node, ""), rules, limits)
        desk = LetterDesk(store, limits, retriers, wall_ms, lambda text: None)
        (letter,) = desk.page(0, 100, Filter()).letters
        assert await desk.retry(letter.offset) == "sent to queue work again"
        assert desk.open_count() == 0
        await asyncio.sleep(1)
        assert node.batches == [["poison"], ["poison"]]
        assert len(node.ids["poison"]) == 1
        await node.end()

    run(scenario)


def test_what_a_sender_was_told_is_sent_is_there_after_a_power_cut() -> None:
    async def scenario() -> None:
        node = Node()
        await node.queue(is_served=False).send(texts("a"))
        node.sim.cut_power()
        await node.stop()
        queue = node.queue(is_served=False)
        assert [stored.body for stored, _, _ in await queue.peek(10)] == [b"a"]
        await node.end()

    run(scenario)


def test_an_attempt_by_which_the_node_ends_is_counted() -> None:
    async def scenario() -> None:
        async def long(batch: Batch) -> Settled:
            await asyncio.sleep(100)
            return Settled()

        node = Node(long)
        await node.queue(max_batch_timeout="0s").send(texts("heavy"))
        for _ in range(3):
            await asyncio.sleep(10)
            node.sim.cut_power()
            await node.stop()
            node.queue(max_batch_timeout="0s", max_retries=3)
        await asyncio.sleep(300)
        assert node.attempts["heavy"] == [1, 2, 3, 4]
        assert len(node.ids["heavy"]) == 1
        await node.end()

    run(scenario)


def test_delays_are_kept_over_restarts_and_hold_nobody_up() -> None:
    async def scenario() -> None:
        node = Node()
        queue = node.queue(max_batch_timeout="0s")
        await queue.send([*texts("later", delay_s=100), *texts("now")])
        await asyncio.sleep(1)
        assert node.batches == [["now"]]
        node.sim.cut_power()
        await node.stop()
        node.queue(max_batch_timeout="0s")
        await asyncio.sleep(90)
        assert node.batches == [["now"]]
        await asyncio.sleep(10)
        assert node.batches == [["now"], ["later"]]
        await node.end()

    run(scenario)


def test_without_a_consumer_messages_wait() -> None:
    async def scenario() -> None:
        node = Node()
        queue = node.queue(is_served=False)
        await queue.send(texts("a"))
        await asyncio.sleep(100)
        assert (queue.messages, node.batches) == (1, [])
        queue.serve(Consumer.of("shop", QueueConsumer(queue="work", max_batch_timeout="0s"), node.sim.limits))
        await asyncio.sleep(1)
        assert (queue.messages, node.batches) == (0, [["a"]])
        await node.end()

    run(scenario)


@pytest.mark.parametrize("error", [Unavailable, NotFound])
def test_an_app_that_got_nothing_made_no_attempt(error: type[LittoralError]) -> None:
    async def scenario() -> None:
        async def away(batch: Batch) -> Settled:
            if len(node.batches) < 9:
                raise error("call app", "shop", "none of its workers is running, or it was taken away")
            return Settled()

        node = Node(away)
        queue = node.queue(max_batch_timeout="0s", max_retries=0)
        await queue.send(texts("a"))
        await asyncio.sleep(1)
        assert set(node.attempts["a"]) == {1}
        assert (queue.messages, queue.counters.dead, node.letters()) == (0, 0, [])
        await node.end()

    run(scenario)


def test_a_key_is_sent_once_also_after_a_restart_and_forgotten_in_time() -> None:
    async def scenario() -> None:
        node = Node(queue_keys=3, queue_key_seconds=1000)
        queue = node.queue(is_served=False)
        await queue.send([*texts("a", key="1"), *texts("b", key="1"), *texts("c", key="2")])
        assert (queue.messages, queue.counters.repeated) == (2, 1)
        node.sim.cut_power()
        await node.stop()
        queue = node.queue(is_served=False)
        await queue.send(texts("d", key="1"))
        assert (queue.messages, queue.counters.repeated) == (2, 1)
        await queue.send(texts("e", key="3"))
        await queue.send(texts("f", key="4"))
        await queue.send(texts("g", key="1"))
        assert queue.messages == 5, "of more keys than the limit the oldest is forgotten"
        await asyncio.sleep(1001)
        await queue.send(texts("h", key="4"))
        assert queue.messages == 6
        assert len(node.sim.running().state("queue-keys/work")) == 1
        await node.end()

    run(scenario)


@pytest.mark.parametrize(
    ("limits", "says"),
    [({"queue_messages": 3}, "it holds 3 messages.*limit queue-messages"), ({"queue_bytes": 560}, "limit queue-bytes")],
)
def test_a_full_queue_refuses_and_loses_nothing(limits: dict[str, int], says: str) -> None:
    async def scenario() -> None:
        node = Node(None, **limits)
        queue = node.queue(is_served=False)
        await queue.send([NewMessage("bytes", SeededChance(each).randbytes(100)) for each in range(3)])
        with pytest.raises(LimitReached, match=says):
            await queue.send(texts("d" * 100, key="again"))
        assert queue.messages == 3
        queue.serve(Consumer.of("shop", QueueConsumer(queue="work", max_batch_timeout="0s"), node.sim.limits))
        await asyncio.sleep(1)
        await queue.send(texts("d" * 100, key="again"))
        await asyncio.sleep(1)
        assert len(node.ids) == 4
        await node.end()

    run(scenario)


def test_what_is_done_gives_its_room_back() -> None:
    async def scenario() -> None:
        node = Node(queue_bytes=20_000)
        queue = node.queue(max_batch_timeout="0s")
        for number in range(200):
            await queue.send(texts(f"{number} " + "x" * 1000))
            await asyncio.sleep(0.1)
        assert queue.messages == 0
        assert queue.bytes < 2000
        await node.end()

    run(scenario)


def test_what_is_in_a_queue_can_be_looked_at_and_purged() -> None:
    async def scenario() -> None:
        node = Node()
        queue = node.queue(is_served=False)
        await queue.send(texts("a", "b", "c"))
        assert [(stored.body, attempts) for stored, attempts, _ in await queue.peek(2)] == [(b"a", 0), (b"b", 0)]
        assert await queue.purge() == 3
        assert (queue.messages, await queue.peek(10)) == (0, [])
        await queue.send(texts("d"))
        queue.serve(Consumer.of("shop", QueueConsumer(queue="work", max_batch_timeout="0s"), node.sim.limits))
        await asyncio.sleep(1)
        assert node.batches == [["d"]]
        await node.end()

    run(scenario)


def test_a_queue_that_was_full_takes_messages_again_once_it_is_purged() -> None:
    async def scenario() -> None:
        node = Node(None, queue_bytes=20_000)
        queue = node.queue(is_served=False)

        async def fill() -> None:
            for number in range(1000):
                await queue.send(texts(str(number)))

        with pytest.raises(LimitReached):
            await fill()
        held = queue.messages
        assert held > 200
        assert await queue.purge() == held
        assert queue.bytes == 0
        await queue.send(texts("a"))
        assert queue.messages == 1
        await node.end()

    run(scenario)


def test_a_batch_waits_for_no_more_than_its_timeout_and_so_many_are_with_the_consumer() -> None:
    async def scenario() -> None:
        most = [0, 0]

        async def work(batch: Batch) -> Settled:
            most[0] += 1
            most[1] = max(most)
            await asyncio.sleep(10)
            most[0] -= 1
            return Settled()

        node = Node(work)
        queue = node.queue(max_batch_size=1, max_concurrency=2)
        await queue.send(texts("a", "b", "c", "d", "e"))
        await asyncio.sleep(25)
        assert (len(node.batches), most[1]) == (5, 2)
        await node.end()

    run(scenario)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_crashes_no_acknowledged_message_is_lost_or_stuck(seed: int) -> None:
    """Power cuts, lost workers, refusals and failures at random: what `send` acknowledged is handled at last, or is a dead
    letter, each with one id."""

    async def scenario() -> None:
        chance = SeededChance(seed)
        node = Node(seed=seed)
        acknowledged: set[str] = set()
        handled: set[str] = set()
        calm = False

        async def work(batch: Batch) -> Settled | None:
            await asyncio.sleep(chance.random() * 3)
            fate = "well" if calm else chance.choice(["well", "well", "raises", "lost", "away", "some"])
            if fate == "lost":
                raise BadGateway("call app", "shop", "its worker died")
            if fate == "away":
                raise Unavailable("call app", "shop", "none of its workers is running")
            if fate == "raises":
                return None
            done = [place for place in range(len(batch.messages)) if fate == "well" or chance.random() < 0.5]
            handled.update(batch.messages[place].body.decode() for place in done)
            again = {place: chance.choice([None, 0, 2]) for place in range(len(batch.messages)) if place not in done}
            return Settled(done, again)

        async def live() -> None:
            node.queue(max_batch_size=4, max_batch_timeout="1s", max_retries=6)
            for _ in range(chance.randint(1, 12)):
                bodies = [f"{len(acknowledged)}-{chance.random()}" for _ in range(chance.randint(1, 4))]
                await node.queues["work"].send(texts(*bodies, delay_s=chance.choice([0, 0, 3])))
                acknowledged.update(bodies)
                await asyncio.sleep(chance.random() * 2)

        node.handler = work
        for _ in range(8):
            await live()
            node.sim.cut_power()
            await node.stop()
        calm = True
        await live()
        await asyncio.sleep(400)
        letters = {decode_stored(_record(each)).body.decode() for each in node.letters()}
        assert acknowledged <= handled | letters
        assert all(len(ids) == 1 for ids in node.ids.values())
        queue = node.queues["work"]
        assert (queue.messages, queue.state.taken, queue.state.known) == (0, 0, 0)
        assert node.sim.running().state("queue/work").keys() == {"read"}
        await node.end()

    run(scenario)


def _record(letter: DeadLetter) -> bytes:
    return msgspec.json.decode(msgspec.json.encode(letter.record), type=bytes)


def test_what_was_tried_in_vain_does_not_undo_what_came_after_it() -> None:
    async def scenario() -> None:
        node = Node()
        store = node.sim.running()

        def write(tx: Transaction) -> None:
            append_messages(tx, "work", [Stored(str(n), "text", b"", 0) for n in range(9)], node.sim.limits)
            write_rows(tx, "work", Rows(7))
            write_rows(tx, "work", Rows(3))

        await store.submit(write)
        info = store.stream(queue_stream(node.sim.node, "work"))
        assert info is not None
        assert read_rows(store.state(scope_of("work")), info)[0] == 7
        await node.end()

    run(scenario)
