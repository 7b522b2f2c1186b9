"""Tests for littoral.node.event_api and the queues behind it."""

import asyncio
import json
from typing import Any

import pytest

from littoral.core.errors import Forbidden, InvalidInput, LittoralError, MethodNotAllowed, NotFound, TooLarge
from littoral.core.http import Request
from littoral.core.limits import Limits
from littoral.core.resources.app import AppSpec
from littoral.core.resources.app_events import AppQueues, CronTrigger, QueueConsumer, QueueProducer
from littoral.functions.apps import PlacedApp
from littoral.functions.messages import Answer, BindingCall, EventKind
from littoral.node.cron import CronDesk
from littoral.node.event_api import EventApi
from littoral.node.event_metrics import cron_metrics, queue_metrics
from littoral.node.queue_desk import QueueDesk
from littoral.testing.loop import run
from littoral.testing.store import SimStore


def app(name: str, *, sends: str | None = None, gets: str | None = None) -> PlacedApp:
    producers = [QueueProducer(binding="Q", queue=sends)] if sends else []
    consumers = [QueueConsumer(queue=gets, max_batch_timeout="0s", dead_letter_queue="dead")] if gets else []
    spec = AppSpec(main="a.py", queues=AppQueues(producers=producers, consumers=consumers))
    return PlacedApp.from_spec(name, "1", "/nowhere", spec, Limits())


class Desks:
    """The desks of a node whose apps do everything well."""

    def __init__(self, **limits: int) -> None:
        self.sim = SimStore(cron_jitter_ms=0, **limits)
        self.called: list[str] = []
        self.faults: list[BaseException] = []
        parts = (self.sim.running(), self.sim.clock, self.sim.random, self.sim.limits, self.call, self.faults.append)
        self.crons, self.queues = CronDesk(*parts), QueueDesk(*parts)
        self.api = EventApi(self.crons, self.queues)

    async def call(self, app: str, kind: EventKind, subject: str, body: bytes) -> Answer:
        self.called.append(f"{app} {kind} {subject}")
        return Answer(1, 200)

    async def send(self, by: str, queue: str, *messages: Any) -> None:
        await self.queues.answer(by, BindingCall(1, "send", queue, [list(messages)], "queue"))

    async def ask(self, method: str, path: str, **query: str) -> Any:
        answer = await self.api.handle(Request(method, path, query, {}, b""))
        return json.loads(answer.body)

    async def end(self) -> None:
        await self.crons.stop()
        await self.queues.stop()
        await self.sim.close()
        assert not self.faults


def test_queues_are_listed_looked_into_and_purged() -> None:
    async def scenario() -> None:
        desks = Desks()
        desks.queues.apply([app("shop", sends="orders")])
        await desks.send("shop", "orders", ["text", b"one", 0, ""], ["json", b'{"a":1}', 30, "k"])
        (queue,) = await desks.ask("GET", "/v1/queues")
        assert (queue["queue"], queue["consumer"], queue["messages"], queue["sent"]) == ("orders", "", 2, 2)
        first, second = await desks.ask("GET", "/v1/queues/orders/peek")
        assert (first["head"], first["content_type"], first["size"], first["due_ms"]) == ("one", "text", 3, 0)
        assert second["due_ms"] == second["sent_ms"] + 30_000
        assert len(await desks.ask("GET", "/v1/queues/orders/peek", count="1")) == 1
        assert await desks.ask("POST", "/v1/queues/orders/purge") == {"messages": 2}
        assert await desks.ask("GET", "/v1/queues/orders/peek") == []
        await desks.end()

    run(scenario)


def test_a_consumer_that_comes_gets_what_waits_and_of_two_one_does() -> None:
    async def scenario() -> None:
        desks = Desks()
        desks.queues.apply([app("shop", sends="orders")])
        await desks.send("shop", "orders", ["text", b"one", 0, ""])
        desks.queues.apply([app("shop", sends="orders"), app("b", gets="orders"), app("a", gets="orders")])
        await asyncio.sleep(1)
        assert desks.called == ["a queue orders"]
        assert [each.queue for each in desks.queues.statuses()] == ["dead", "orders"]
        families = {each.name: each.samples[1].value for each in queue_metrics(desks.queues.statuses())}
        assert (families["littoral_queue_sent"], families["littoral_queue_messages"]) == (1, 0)
        await desks.end()

    run(scenario)


def test_queues_of_which_no_app_tells_any_more_are_there_as_long_as_they_are_kept() -> None:
    async def scenario() -> None:
        desks = Desks()
        desks.queues.apply([app("shop", sends="orders")])
        await desks.send("shop", "orders", ["text", b"one", 0, ""])
        await desks.queues.stop()
        desks.queues.apply([])
        await asyncio.sleep(1)
        assert [(each.queue, each.messages) for each in desks.queues.statuses()] == [("orders", 1)]
        with pytest.raises(Forbidden, match="app shop is no producer of it"):
            await desks.send("shop", "orders", ["text", b"one", 0, ""])
        await desks.end()

    run(scenario)


@pytest.mark.parametrize(
    ("messages", "error", "says"),
    [
        ([["text", b"x", 0]], InvalidInput, "this is no message"),
        ([], InvalidInput, "0 messages at once"),
        ([["text", b"x", 0, ""]] * 101, InvalidInput, "101 messages at once"),
        ([["v8", b"x", 0, ""]], InvalidInput, "content type 'v8' is not known"),
        ([["text", b"x", 43_201, ""]], InvalidInput, "a delay of 43201 s; at most 43200 s"),
        ([["text", b"x", -1, ""]], InvalidInput, "a delay of -1 s"),
        ([["text", b"x" * 101, 0, ""]], TooLarge, "a body of 101 bytes; at most 100"),
        ([["text", b"x" * 90, 0, ""]] * 3, TooLarge, "bodies of 270 bytes together; at most 200"),
    ],
)
def test_what_is_no_message_is_refused(messages: list[Any], error: type[LittoralError], says: str) -> None:
    async def scenario() -> None:
        desks = Desks(queue_message_bytes=100, queue_batch_bytes=200)
        desks.queues.apply([app("shop", sends="orders")])
        with pytest.raises(error, match=says):
            await desks.send("shop", "orders", *messages)
        with pytest.raises(InvalidInput, match="It takes send"):
            await desks.queues.answer("shop", BindingCall(1, "drop", "orders", [], "queue"))
        await desks.end()

    run(scenario)


def test_crons_are_listed() -> None:
    async def scenario() -> None:
        desks = Desks()
        spec = AppSpec(main="a.py", crons=["* * * * *", CronTrigger(cron="0 0 1 1 *", missed="once")])
        desks.crons.apply([PlacedApp.from_spec("shop", "1", "/nowhere", spec, Limits())], {"shop"})
        await asyncio.sleep(60)
        first, second = await desks.ask("GET", "/v1/crons")
        assert (first["cron"], first["outcome"], first["done"]) == ("* * * * *", "done", 1)
        assert (second["cron"], second["missed"], second["outcome"]) == ("0 0 1 1 *", "once", None)
        (family,) = cron_metrics(desks.crons.statuses())
        assert [sample.value for sample in family.samples] == [1, 0, 0, 0]
        await desks.end()

    run(scenario)


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("POST", "/v1/crons", MethodNotAllowed),
        ("DELETE", "/v1/queues", MethodNotAllowed),
        ("POST", "/v1/queues/orders/peek", MethodNotAllowed),
        ("GET", "/v1/queues/orders/purge", MethodNotAllowed),
        ("GET", "/v1/queues/none/peek", NotFound),
        ("GET", "/v1/queues/orders/other", NotFound),
    ],
)
def test_what_is_not_there_is_said(method: str, path: str, error: type[LittoralError]) -> None:
    async def scenario() -> None:
        desks = Desks()
        desks.queues.apply([app("shop", sends="orders")])
        with pytest.raises(error):
            await desks.ask(method, path)
        with pytest.raises(InvalidInput, match="Ask for 1 to 100"):
            await desks.ask("GET", "/v1/queues/orders/peek", count="101")
        await desks.end()

    run(scenario)
