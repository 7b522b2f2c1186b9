"""The broker of a node that only its parent can be asked for."""

import asyncio

import msgspec

from littoral.core.resources.model import Requests
from littoral.dashboard.hub_api import HubApi
from littoral.node.mqtt_messages import PUBLISH, WATCHES, Published, PublishOrder, Watching, WatchOrder, WatchPage
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.direct import Direct


def allow(node: SimNode, requests: Requests) -> None:
    spec = node.config.spec
    assert spec.parent is not None
    parent = msgspec.structs.replace(spec.parent, requests=requests)
    node.config = msgspec.structs.replace(node.config, spec=msgspec.structs.replace(spec, parent=parent))


def test_topics_are_followed_and_published_to_by_way_of_the_parent(seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = tree.add("plant-a", "site", root)
        allow(site, "all")
        await site.start(await tree.token(root, "plant-a"))
        hub = HubApi(Direct(root), "http://cloud", lambda: root.running.operator_token)
        order = msgspec.json.encode(WatchOrder(["plant/#"]))
        name = (await hub.ask(Watching, "POST", WATCHES, {}, "plant-a", order)).watch
        path = f"{WATCHES}/{name}"
        waiting = asyncio.ensure_future(hub.ask(WatchPage, "GET", path, {"wait": "10"}, "plant-a"))
        message = msgspec.json.encode(PublishOrder("plant/a", b"x" * 200_000, 1))
        assert (await hub.ask(Published, "POST", PUBLISH, {}, "plant-a", message)).stored
        for _ in range(9):
            site.running.broker.publish("plant/b", b"y" * 200_000)
        page = await waiting
        while len(page.messages) < 10:
            following = await hub.ask(WatchPage, "GET", path, {"after": str(page.next), "wait": "10"}, "plant-a")
            page = WatchPage([*page.messages, *following.messages], following.next, following.dropped, False)
        assert [each.topic for each in page.messages] == ["plant/a"] + ["plant/b"] * 9
        await hub.ask(Watching, "DELETE", path, {}, "plant-a")
        assert not site.running.broker.watches
        await tree.stop()

    run(main, seed=seed)
