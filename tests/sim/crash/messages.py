"""Messages of MQTT clients at both ends of a link, for those at the other end."""

from littoral.node.hub import Hub
from littoral.testing.crash import Crash
from littoral.testing.supervision import insist
from littoral.testing.tree import SimNode
from tests.support.global_topics import global_topics
from tests.support.mqtt_peer import MemoryWay, Peer
from tests.support.mqtt_promises import numbered

ORDERS = global_topics("orders", "orders/#")
PUBLISHES = 4


class Clients:
    """Of one node: a writer and a reader at QoS 2, whose sessions outlive it. They come back whenever it does."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.writer = Peer(f"writer-{node.name}", 5)
        self.reader = Peer(f"reader-{node.name}", 5, "orders/#")
        self._at: Hub | None = None

    def tend(self) -> bool:
        """Connect who is not connected; whether both are."""
        hub = self.node.hub
        if hub is not self._at:
            for peer in (self.writer, self.reader):
                if isinstance(way := peer.way, MemoryWay):
                    way.cut()
                    peer.closed(way)
            self._at = hub
        for peer in (self.writer, self.reader):
            if hub is not None and peer.way is None:
                peer.connect(MemoryWay(hub.broker, peer))
        return self.writer.open and self.reader.open and self.reader.subscribed

    @property
    def has_all(self) -> bool:
        """Whether all is acknowledged, and as many messages have come as there are."""
        return self.writer.idle and len(self.reader.received) >= 2 * PUBLISHES

    def publish(self, number: int) -> None:
        self.writer.publish("orders/1", numbered(self.writer, number), 2, retain=number % 2 == 0)


async def messages(crash: Crash) -> None:
    """All that was published at one end comes to the readers of both, once and in order."""
    tree = crash.tree()
    root = tree.add("cloud", "cloud", None, status_interval="1h")
    site = tree.add("plant-a", "site", root, status_interval="1h")
    supervisor = crash.supervise(tree)
    await supervisor.until(lambda: root.hub is not None)
    await insist(root, lambda hub: tree.apply(root, ORDERS))
    ends = [Clients(root), Clients(site)]
    await supervisor.until(lambda: _all_connected(ends) and _follows(site))
    crash.count_from_here()
    for number in range(PUBLISHES):
        for end in ends:
            end.publish(number)
        if number % 2:  # two together, and then what comes behind them
            await supervisor.until(lambda: _all_connected(ends) and all(end.writer.idle for end in ends))
    wanted = {end.writer: [numbered(end.writer, number) for number in range(PUBLISHES)] for end in ends}
    await supervisor.until(lambda: _all_connected(ends) and all(end.has_all for end in ends))
    for end in ends:
        for writer, payloads in wanted.items():
            own = [each for each in end.reader.payloads if each in payloads]
            assert own == payloads, f"{end.reader.client_id} got {own} of {writer.client_id}"
        assert end.reader.faults == []
    await supervisor.until(lambda: _all_connected(ends) and _retain_the_same(root, site))


def _all_connected(ends: list[Clients]) -> bool:
    """Tend all of them, whatever has become of the first."""
    return False not in [end.tend() for end in ends]


def _follows(site: SimNode) -> bool:
    return site.hub is not None and any(str(info.name) == "cloud/mqtt-tree/orders" for info in site.hub.store.streams())


def _retain_the_same(root: SimNode, site: SimNode) -> bool:
    if root.hub is None or site.hub is None:
        return False
    held = [node.running.broker.retained.get("orders/1") for node in (root, site)]
    return None not in held and len({each.payload for each in held if each is not None}) == 1
