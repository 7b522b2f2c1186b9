"""What calls functions besides clients, with real workers: cron triggers, queues, other apps."""

import asyncio
import textwrap
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from littoral.core.errors import FunctionFailed, NotFound, TimedOut
from littoral.core.names import StreamName
from littoral.core.resources import App, Namespace
from littoral.core.resources.app import AppSpec, KvBinding
from littoral.core.resources.app_events import (
    AppQueues,
    CronTrigger,
    DatasetBinding,
    QueueConsumer,
    QueueProducer,
    ServiceBinding,
)
from littoral.core.resources.part import Metadata, RouteMatch
from littoral.fleet.bundles import pack_bundle
from littoral.functions.calls.client import FunctionRequest
from littoral.functions.event_messages import scheduled_body
from littoral.node.analytics_desk import DataPoint
from tests.support.functions_node import DEADLINE_S, FunctionNode
from tests.support.real_node import RealNode, call
from tests.support.stores import records_of

TICKS = """
    import time
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self):
            return Response(await self.env.KV.get("last") or "never")

        async def scheduled(self, controller, env, ctx):
            if controller.cron == "1 * * * *":
                raise ValueError("no luck")
            if controller.cron == "2 * * * *":
                while True:
                    pass
            ctx.waitUntil(env.KV.put("last", f"{controller.cron} {controller.scheduledTime}"))
    """


def run(scenario: Callable[[FunctionNode], Awaitable[None]], **options: int) -> None:
    async def main() -> None:
        async with FunctionNode(overrides=options) as node:
            await scenario(node)

    asyncio.run(main())


def test_a_cron_trigger_calls_the_app_after_a_restart_that_made_it_miss_its_time() -> None:
    async def scenario(node: FunctionNode) -> None:
        hourly = CronTrigger(cron="0 * * * *", missed="once")
        await node.deploy("ticks", TICKS, kv={"KV": "ticks"}, crons=[hourly])
        await node.until(lambda: node.events.crons.statuses()[0].next_ms)
        await node.stop_hub()
        node.clock.ahead_ms = 3 * 3_600_000
        await node.start_hub()
        await node.until(lambda: node.events.crons.statuses()[0].outcome == "done")
        (status,) = node.events.crons.statuses()
        assert status.last_ms is not None
        assert status.last_ms % 3_600_000 == 0
        await node.until(lambda: node.kv.values)
        assert (await node.get("/ticks")).body.decode() == f"0 * * * * {status.last_ms}"

    run(scenario, **{"cron-jitter-ms": 0})


def test_a_call_that_waits_for_a_worker_goes_on_when_other_apps_change() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.place("ticks", f"import time\ntime.sleep(0.5)\n{textwrap.dedent(TICKS)}", kv={"KV": "ticks"})
        request = FunctionRequest("scheduled", "once", [], scheduled_body("0 0 1 1 *", 1_000), "id", "scheduled")
        asked = asyncio.ensure_future(node.events.calls.ask("ticks", request))
        await asyncio.sleep(0)
        assert not node.pool("ticks").ready
        node.apply()
        assert (await asked).error == ""

    run(scenario)


def test_an_event_has_the_limits_and_the_log_that_requests_have() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("ticks", TICKS, kv={"KV": "ticks"}, crons=[CronTrigger(cron="0 0 1 1 *")])

        async def call(cron: str) -> None:
            await node.events.calls("ticks", "scheduled", cron, scheduled_body(cron, 1_000))

        with pytest.raises(FunctionFailed, match="its code raised an exception"):
            await call("1 * * * *")
        await node.until(lambda: "ValueError: no luck" in node.log())
        assert "exception in scheduled 1 * * * *" in node.log()
        with pytest.raises(TimedOut):
            await call("2 * * * *")
        await node.until(lambda: "computed past its wall time" in node.log())
        await call("3 * * * *")
        await node.until(lambda: node.kv.values)

    run(scenario, **{"event-wall-ms": 1000})


ORDERS = """
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            queue = self.env.ORDERS
            match request.query.get("do"):
                case "batch":
                    await queue.sendBatch([{"body": "one", "contentType": "text"}, {"body": {"a": [1]}}])
                case "bytes":
                    await queue.send(b"\\x00\\xff", contentType="bytes", idempotencyKey="k")
                case "other":
                    return Response(str(await self.tried(queue.send(object()))))
                case "foreign":
                    queue._name = "secret"
                    return Response(str(await self.tried(queue.send("x"))))
                case "large":
                    return Response(str(await self.tried(queue.send("x" * 131_072))))
            return Response("sent")

        async def tried(self, work):
            try:
                return await work
            except Exception as error:
                return f"{type(error).__name__}: {error}"

        async def queue(self, batch, env, ctx):
            for message in batch.messages:
                body = message.body
                if body == "one" and message.attempts == 1:
                    message.retry(delay_seconds=0)
                    continue
                text = body.a[0] if isinstance(body, dict) else body
                await env.KV.put(f"{batch.queue} {text} {message.attempts}", message.id)
            if len(batch.messages) == 2:
                batch.messages[1].ack()
                raise ValueError("after what was said")
    """


def test_an_app_sends_messages_and_another_gets_them() -> None:
    async def scenario(node: FunctionNode) -> None:
        queues = AppQueues(
            producers=[QueueProducer(binding="ORDERS", queue="orders")],
            consumers=[QueueConsumer(queue="orders", max_batch_timeout="0s", retry_delay="0s")],
        )
        await node.deploy("shop", ORDERS, kv={"KV": "lines"}, queues=queues)
        assert (await node.get("/shop?do=batch")).body == b"sent"
        await node.until(lambda: len(node.kv.values) == 2)
        assert sorted(key for _, key in node.kv.values) == ["orders 1 1", "orders one 2"]
        await node.until(lambda: "ValueError: after what was said" in node.log())
        for _ in range(2):
            assert (await node.get("/shop?do=bytes")).body == b"sent"
        await node.until(lambda: len(node.kv.values) == 3 and not node.events.queues.statuses()[0].messages)
        status = node.events.queues.statuses()[0]
        assert (status.consumer, status.messages, status.sent) == ("shop", 0, 3)
        refused = (await node.get("/shop?do=other")).body.decode()
        assert refused.startswith("QueueError: a body of content type json must be what JSON holds")
        assert "at most 131072 are allowed" in (await node.get("/shop?do=large")).body.decode()
        refused = (await node.get("/shop?do=foreign")).body.decode()
        assert refused == (
            "QueueError: cannot send to queue secret: app shop is no producer of it. "
            "Add it under spec.queues.producers of the app"
        )

    run(scenario)


COUNTING = """
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            await self.env.WORK.sendBatch([{"body": body} for body in await request.json()])
            return Response("sent")

        async def queue(self, batch, env, ctx):
            for message in batch.messages:
                await env.KV.put(f"{message.body}", message.id)
    """


def test_kill_9_of_hub_and_workers_loses_no_message_and_leaves_none_stuck() -> None:
    app = App(
        api_version="littoral/v1",
        metadata=Metadata(name="count"),
        spec=AppSpec(
            main="main.py",
            routes=[RouteMatch(path="/*")],
            kv=[KvBinding(binding="KV", namespace="seen")],
            queues=AppQueues(
                producers=[QueueProducer(binding="WORK", queue="work")],
                consumers=[QueueConsumer(queue="work", max_batch_timeout="0s", max_retries=100, retry_delay="0s")],
            ),
        ),
    )
    namespace = Namespace(api_version="littoral/v1", metadata=Metadata(name="seen"))
    with RealNode("edge", listen={"gateway": "127.0.0.1:0"}) as node:
        node.start()
        node.apply(namespace)
        node.apply(app, pack_bundle("count", {"main.py": textwrap.dedent(COUNTING).encode()}))
        node.until(lambda: call(f"{node.url('gateway')}/", "POST", b'["first"]').status == 200)
        acknowledged = {"first"}
        for round_ in range(3):
            for number in range(5):
                bodies = [f"{round_}-{number}-{each}" for each in range(20)]
                sent = call(f"{node.url('gateway')}/", "POST", msgspec.json.encode(bodies))
                acknowledged |= set(bodies) if sent.status == 200 else set()
            if round_ % 2:
                # The worker dies with the zygote that holds it.
                node.kill("functions")
            else:
                node.kill_hub()
        assert len(acknowledged) > 100, node.log()

        def seen() -> set[str]:
            return set(node.api("GET", "/v1/kv/seen?limit=1000").json()["keys"])

        node.until(lambda: acknowledged <= seen())
        node.until(lambda: node.api("GET", "/v1/queues").json()[0]["messages"] == 0)
        (status,) = node.api("GET", "/v1/queues").json()
        assert (status["queue"], status["consumer"], status["taken"]) == ("work", "count", 0)


PRICES = """
    from datetime import datetime
    from workers import ReadableStream, Response, WorkerEntrypoint

    class Strange(Exception):
        pass

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response(await request.text() + " seen", status=201, headers={"x-method": request.method})

        def quote(self, name, *, amount=1):
            return {"name": name, "total": amount * 2.5, "at": datetime(2026, 11, 22), "raw": b"\\x00", "who": self.ctx.props}

        async def refuse(self, kind):
            raise {"value": ValueError, "own": Strange}[kind]("not so")

        async def slow(self):
            while True:
                pass

        def large(self):
            return "x" * (2 << 20)

        async def shout(self, body):
            async def pieces():
                async for piece in body:
                    yield piece.to_bytes().upper()

            return {"said": ReadableStream(pieces())}

        async def own(self):
            return await self.ctx.exports.Admin(props={"role": "itself"}).purge()

        def odd(self):
            return object()

        def _secret(self):
            return "no"

        async def again(self, depth):
            return await self.env.SELF.again(depth + 1)

    class Admin(WorkerEntrypoint):
        async def purge(self):
            return f"purged by {self.ctx.props['role']}"
    """
SHOP = """
    import json
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            prices = self.env.PRICES
            match request.query.get("do"):
                case "quote":
                    found = await prices.quote("tea", amount=2)
                    return Response(repr(found))
                case "fetch":
                    answer = await prices.fetch("https://prices/x", method="POST", body="body")
                    return Response(f"{answer.status} {answer.headers['x-method']} {await answer.text()}")
                case "stream":
                    return Response((await prices.shout(request.body))["said"])
                case "admin":
                    return Response(await self.env.ADMIN.purge())
                case "secret":
                    return Response(await self.tried(getattr(prices, "_secret", None)))
                case "forged":
                    return Response(await self.tried(lambda: prices._call("call", "PRICES", ["_secret", b"\\x92\\x90\\x80", 0])))
                case "unbound":
                    return Response(await self.tried(lambda: prices._call("call", "OTHER", ["x", b"", 0])))
                case "absent":
                    return Response(await self.tried(lambda: self.env.ABSENT.quote()))
                case act:
                    name, _, argument = act.partition(" ")
                    arguments = [json.loads(argument)] if argument else []
                    return Response(await self.tried(lambda: getattr(prices, name)(*arguments)))

        async def tried(self, call):
            try:
                return repr(await call())
            except Exception as error:
                return f"{type(error).__name__}: {error}"
    """


def test_an_app_calls_another() -> None:
    async def scenario(node: FunctionNode) -> None:
        again = [ServiceBinding(binding="SELF", service="prices")]
        await node.deploy("prices", PRICES, wall_ms=1500, services=again, workers=2)
        services = [
            ServiceBinding(binding="PRICES", service="prices", props={"id": 7}),
            ServiceBinding(binding="ADMIN", service="prices", entrypoint="Admin", props={"role": "boss"}),
            ServiceBinding(binding="ABSENT", service="nowhere"),
        ]
        await node.deploy("shop", SHOP, services=services)

        async def said(act: str) -> str:
            return (await node.get(f"/shop?do={act}")).body.decode()

        assert (await node.get("/shop?do=stream", method="POST", body=b"all of it")).body == b"ALL OF IT"
        assert await said("own") == "'purged by itself'"
        assert await said("quote") == (
            "{'name': 'tea', 'total': 5.0, 'at': datetime.datetime(2026, 11, 22, 0, 0), 'raw': b'\\x00', 'who': {'id': 7}}"
        )
        assert await said("fetch") == "201 POST body seen"
        assert await said("admin") == "purged by boss"
        assert await said("refuse%20%22value%22") == "ValueError: not so"
        assert await said("refuse%20%22own%22") == "ServiceError: Strange: not so"
        assert "TypeError: odd returned what cannot be passed on" in await said("odd")
        assert await said("secret") == "TypeError: 'NoneType' object is not callable"
        for name in ("forged", "nothing"):
            assert "the app has no method" in await said(name)
        assert await said("unbound") == (
            "ServiceError: cannot call service OTHER: app shop has no binding for it. Add it under spec.services of the app"
        )
        assert "app nowhere is not placed at this node. Place it wherever app shop is" in await said("absent")
        assert "TooLarge" not in await said("large")
        assert "at most 1048576 are passed on" in await said("large")
        assert "did not answer within" in await said("slow")
        assert "16 apps have called each other for this" in await said("again%200")

    run(scenario)


EVENTS = """
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            self.env.VISITS.writeDataPoint({"indexes": ["a"], "blobs": ["tea"], "doubles": [1, 2.5]})
            self.env.VISITS.writeDataPoint(blobs=["milk"])
            return Response("written")
    """


def test_data_points_are_records_of_a_stream() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("shop", EVENTS, datasets=[DatasetBinding(binding="VISITS", dataset="visits")])
        assert (await node.get("/shop")).body == b"written"
        stream = StreamName("edge", "analytics/visits")
        await node.until(lambda: len(records_of(node.store, stream)) == 2)
        first, second = [msgspec.json.decode(each, type=DataPoint) for each in records_of(node.store, stream)]
        assert (first.app, first.indexes, first.blobs, first.doubles) == ("shop", ["a"], ["tea"], [1.0, 2.5])
        assert (second.indexes, second.blobs) == ([], ["milk"])

    run(scenario)


LONG = """
    import asyncio
    from pathlib import Path
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self):
            return Response("REVISION")

        async def scheduled(self, controller, env, ctx):
            await env.KV.put("begun", "REVISION")
            while await env.KV.get("go on") is None:
                await asyncio.sleep(0.01)
            await env.KV.put("ended", "REVISION")
    """


def test_an_event_ends_on_its_worker_while_another_revision_takes_over() -> None:
    async def scenario(node: FunctionNode) -> None:
        crons = [CronTrigger(cron="0 0 1 1 *")]
        await node.deploy("long", LONG.replace("REVISION", "1"), kv={"KV": "x"}, crons=crons)
        work = asyncio.ensure_future(node.events.calls("long", "scheduled", "x", scheduled_body("x", 0)))
        await node.until(lambda: ("x", "begun") in node.kv.values)
        await node.place("long", LONG.replace("REVISION", "2"), revision="2", kv={"KV": "x"}, crons=crons)
        async with asyncio.timeout(DEADLINE_S):
            while (await node.get("/long")).body != b"2":
                await asyncio.sleep(0.01)
        assert not work.done()
        await node.kv.put("x", "go on", b"")
        assert (await work).status == 200
        assert node.kv.values["x", "ended"] == b"1"

    run(scenario)


def test_an_app_that_nothing_calls_can_be_called_all_the_same() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("ticks", TICKS, kv={"KV": "ticks"})
        await node.events.calls("ticks", "scheduled", "now", scheduled_body("3 * * * *", 1_000))
        await node.until(lambda: node.kv.values)
        with pytest.raises(NotFound, match="it is not placed at this node"):
            await node.events.calls("nowhere", "scheduled", "now", scheduled_body("3 * * * *", 1_000))

    run(scenario)
