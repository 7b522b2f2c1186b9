"""Subscriptions in a tree: what a plant appends wakes a worker at the cloud, whatever happens on the way."""

import asyncio
import json

from littoral.core.http import Request, Response
from littoral.core.names import StreamName
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire.durable_streams import format_offset
from tests.support.neighbours import uplink_of
from tests.support.subscribed import OPERATOR

WORKER = "https://worker.example"
ADDRESS = "/v1/streams/__ds/subscriptions/alerts"
ALERTS = StreamName("plant-a", "alerts")


class Worker:
    """Serves webhooks at WORKER, and takes note of what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []

    async def handle(self, request: Request) -> Response:
        body = json.loads(request.body)
        self.told.append({each["path"]: each["tail_offset"] for each in body["streams"]})
        return Response(200, (), b'{"done": true}')


async def ask(node: SimNode, method: str, body: object = None) -> Response:
    request = Request(method, ADDRESS, {}, {"host": "cloud"}, b"" if body is None else json.dumps(body).encode())
    return await node.running.subscriptions.api.handle(request, lambda: OPERATOR)


def alert(tx: Transaction) -> None:
    tx.open_stream(ALERTS, lane="alerts")
    tx.append(ALERTS, [b"{}"])


def test_what_a_plant_appends_wakes_a_worker_at_the_cloud(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        cloud = await tree.start_root("cloud")
        plant = await tree.start_child("plant-a", "site", cloud)
        await tree.until(lambda: uplink_of(plant).state.connected)
        worker = Worker()
        tree.network.serve(WORKER, worker.handle)
        body = {"type": "webhook", "pattern": "*/alerts", "webhook": {"url": f"{WORKER}/hook"}}
        assert (await ask(cloud, "PUT", body)).status == 201
        await plant.running.store.submit(alert)
        await tree.until(lambda: worker.told[-1:] == [{"plant-a/alerts": format_offset(1)}])

        # The worker is away, and then the power goes at the cloud.
        tree.network.stop(WORKER)
        await plant.running.store.submit(alert)
        await tree.until(lambda: cloud.running.subscriptions.state().failing)
        status = cloud.running.report.now().subscriptions
        assert status is not None
        assert (status.count, status.failing, list(status.failures)) == (1, 1, ["tree/alerts"])
        assert b"littoral_subscriptions_failing 1" in cloud.running.metrics.text()
        cloud.cut_power()
        await asyncio.sleep(5)
        await cloud.start()
        tree.network.serve(WORKER, worker.handle)
        await tree.until(lambda: worker.told[-1:] == [{"plant-a/alerts": format_offset(2)}])
        await tree.until(lambda: not cloud.running.subscriptions.state().failing)

        # What comes while the plant is cut off is told of afterwards.
        tree.network.link("plant-a", cloud.peer_url).cut(reset=True)
        await plant.running.store.submit(alert)
        await asyncio.sleep(60)
        tree.network.link("plant-a", cloud.peer_url).restore()
        await tree.until(lambda: worker.told[-1:] == [{"plant-a/alerts": format_offset(3)}])
        await asyncio.sleep(60)
        shown = json.loads((await ask(cloud, "GET")).body)
        assert shown["streams"] == [{"path": "plant-a/alerts", "link_type": "glob", "acked_offset": format_offset(3)}]
        assert tree.network.failures == []
        await tree.stop()

    run(main, seed)
