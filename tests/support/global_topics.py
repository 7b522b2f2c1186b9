"""A tree whose sites send each other messages."""

import asyncio
from functools import partial

import msgspec

from littoral.core.names import parse_stream_name
from littoral.core.resources import GlobalTopics
from littoral.testing.tree import SimNode, SimTree
from tests.support.mqtt_peer import MemoryWay, Peer


def global_topics(name: str, *topics: str, to: str = "tree", **placement: list[str]) -> GlobalTopics:
    """The resource; placement: its lists, none for all nodes."""
    spec = {"topics": topics, "to": to, "placement": placement}
    document = {"kind": "GlobalTopics", "apiVersion": "littoral/v1", "metadata": {"name": name}, "spec": spec}
    return msgspec.convert(document, GlobalTopics)


class Sites:
    """plant-a below eu, plant-b below us, both below cloud."""

    def __init__(self, seed: int) -> None:
        self.tree = SimTree(seed)
        self._homes: dict[Peer, SimNode] = {}
        self.cloud: SimNode
        self.eu: SimNode
        self.us: SimNode
        self.plant_a: SimNode
        self.plant_b: SimNode

    async def start(self, *resources: GlobalTopics) -> None:
        tree = self.tree
        self.cloud = await tree.start_root("cloud")
        self.eu = await tree.start_child("eu", "region", self.cloud)
        self.us = await tree.start_child("us", "region", self.cloud)
        self.plant_a = await tree.start_child("plant-a", "site", self.eu)
        self.plant_b = await tree.start_child("plant-b", "site", self.us)
        await self.apply(*resources)

    async def apply(self, *resources: GlobalTopics) -> None:
        """Until every node knows, and follows its parent's stream where there is to be one."""
        await self.tree.apply(self.cloud, *resources)
        for resource in resources:
            for node in self.tree.nodes.values():
                await self.tree.until(partial(self._is_ready, node, resource))

    def _is_ready(self, node: SimNode, resource: GlobalTopics) -> bool:
        name = resource.metadata.name
        known = node.running.desired.topic_group(name) == resource
        above = {"eu": "cloud", "us": "cloud", "plant-a": "eu", "plant-b": "us"}.get(node.name)
        placed = node.running.desired.is_here(resource.spec.placement)
        if above is None or resource.spec.to == "root" or not placed:
            return known
        return known and any(str(info.name) == f"{above}/mqtt-tree/{name}" for info in node.running.store.streams())

    async def peer(self, node: SimNode, client_id: str, *filters: str, qos: int = 2) -> Peer:
        """A client of MQTT 5 that is connected."""
        peer = Peer(client_id, 5, *filters, qos=qos)
        self._homes[peer] = node
        await self.back(peer)
        return peer

    async def back(self, peer: Peer) -> None:
        """Connect it (again)."""
        peer.connect(MemoryWay(self._homes[peer].running.broker, peer))
        await self.tree.until(lambda: peer.open and peer.subscribed)

    async def got(self, peer: Peer, count: int) -> None:
        """Until so many messages have come to it."""
        await self.tree.until(lambda: len(peer.received) >= count)

    async def kill_and_start(self, node: SimNode) -> None:
        """Cut a node's power, and switch it on again; its clients come back."""
        there = [peer for peer, home in self._homes.items() if home is node]
        for peer in there:
            assert isinstance(peer.way, MemoryWay)
            peer.way.cut()
        node.cut_power()
        await node.start()
        for peer in there:
            await self.back(peer)

    async def forget(self, node: SimNode, stream: str) -> None:
        """Drop what a stream holds there, as retention would."""
        name = parse_stream_name(stream)
        store = node.running.store
        now_ms = node.clock.wall_ms()
        while await store.submit(lambda tx: tx.retain(name, now_ms, 1_000, 0)):
            pass

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def cut(self, child: SimNode, parent: SimNode) -> None:
        for url in (parent.peer_url, parent.join_url):
            self.tree.network.link(child.name, url).cut("both", reset=False)

    def restore(self, child: SimNode, parent: SimNode) -> None:
        for url in (parent.peer_url, parent.join_url):
            self.tree.network.link(child.name, url).restore()

    async def settle(self) -> None:
        """Let as much time pass as anything that is still on its way may take."""
        await asyncio.sleep(60.0)
        self.tree.raise_failures()
