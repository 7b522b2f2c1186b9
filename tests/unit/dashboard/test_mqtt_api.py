"""The brokers of this node and of one below, through the operator API of this one."""

from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import Forbidden, NotFound
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.mqtt_api import MqttApi
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.direct import Direct


def play(story: Callable[[SimNode, MqttApi], Awaitable[None]], seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        hub = HubApi(Direct(root), "http://cloud", lambda: root.running.operator_token)
        await story(site, MqttApi(hub, "cloud"))
        await tree.stop()

    run(main, seed=seed)


def test_a_node_below_is_asked_itself_and_lets_nobody_be_kicked(seed: int) -> None:
    async def story(site: SimNode, mqtt: MqttApi) -> None:
        broker = site.running.broker
        for topic in ("plant/a/x", "plant/b", "office"):
            broker.publish(topic, b"1")
        assert (await mqtt.tree("cloud", (), 10)).topics == []
        page = await mqtt.tree("plant-a", (), 10)
        assert [(each.topic, each.topics) for each in page.topics] == [("office", 1), ("plant", 2)]
        page = await mqtt.tree("plant-a", ("plant", "plant/a"), 10)
        assert [each.topic for each in page.topics] == ["office", "plant", "plant/a", "plant/a/x", "plant/b"]
        assert [each.topic for each in (await mqtt.topics("plant-a", "/B", 10)).topics] == ["plant/b"]
        assert (await mqtt.clients("plant-a", "", "", 0, 10)).found == 0
        with pytest.raises(NotFound, match="it is not connected"):
            await mqtt.kick("cloud", "press")
        with pytest.raises(Forbidden, match=r"spec\.parent\.requests"):
            await mqtt.kick("plant-a", "press")

    play(story, seed)
