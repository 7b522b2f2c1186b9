"""A tree of real nodes in virtual time: the hubs of `littoral.node`, on simulated disks, clocks and links.

async def main() -> None:
    tree = SimTree(seed=7)
    root = await tree.start_root("cloud")
    site = await tree.start_child("plant-a", "site", root)
    site.device("press-1").publish("factory/press-1", b'{"value": 3}', qos=1)
    await tree.until(lambda: root.records("plant-a/windows"))
    site.cut_power()
    await site.start()

run(main, seed=7)
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from littoral.core.http import Response
from littoral.core.limits import Limits
from littoral.core.names import parse_stream_name
from littoral.core.resources import Node, Tier
from littoral.core.resources.model import Bandwidth, Listen, NodeSpec, Parent, Storage, Ttl
from littoral.core.resources.mqtt import Mqtt
from littoral.core.resources.part import Metadata
from littoral.fleet.desired import Deployable, record_of, submit_desired
from littoral.node.hub import Hub, open_hub
from littoral.node.seams import Seams
from littoral.node.status import AppStatus, GatewayStatus, RouteStatus
from littoral.security.identity import Identity
from littoral.security.store_key import StoreKey
from littoral.testing.clock import SimClock
from littoral.testing.device import SimDevice
from littoral.testing.disk import SimDisk, assert_wal
from littoral.testing.disk_vfs import ENCRYPTING
from littoral.testing.loop import node_context, running_loop
from littoral.testing.net import SimNetwork
from littoral.testing.offload import at_once
from littoral.testing.random import SeededRandom
from littoral.testing.webhooks import SimWebhooks
from littoral.testing.writer import SimWriter
from littoral.wire.problem import fault_response

POLL_S = 0.05
UNTIL_S = 600.0
"""Virtual seconds that `until` waits unless told otherwise."""


class SimNode:
    """One node: its disk, its clock, and the hub that runs on them while it is up."""

    def __init__(self, tree: "SimTree", config: Node, random: SeededRandom) -> None:
        self.tree = tree
        self.config = config
        self.name = config.metadata.name
        self.random = random
        self.disk = SimDisk(random.fork("disk"))
        self.disk.on_cut = self._died
        self.spill_disk: SimDisk | None = None
        """What the node's document names as a place for spilled records. It loses power with the node."""
        if config.spec.storage.spill is not None:
            self.spill_disk = SimDisk(random.fork("spill disk"))
            self.spill_disk.on_cut = self.disk.cut_power
        self.clock = SimClock(asyncio.get_running_loop())
        self.disk.wall_ms = self.clock.wall_ms
        self.hub: Hub | None = None
        self._store_key: StoreKey | None = None
        self.deaths = 0
        self.renewals = 0
        """Certificates it got after its first."""
        self.down = asyncio.Event()
        """Set while no process of the node runs: what a supervisor waits for."""
        self.down.set()
        self._context = node_context(self.name)
        """Of all that runs here."""
        self._writer: SimWriter | None = None
        self._devices: list[SimDevice] = []

    @property
    def peer_url(self) -> str:
        """Where children reach it."""
        return f"https://{self.name}.peer"

    @property
    def join_url(self) -> str:
        """Where nodes enrol."""
        return f"https://{self.name}.join"

    @property
    def running(self) -> Hub:
        """The hub; the node must be up."""
        assert self.hub is not None, f"{self.name} is down"
        return self.hub

    @property
    def store_key(self) -> StoreKey | None:
        """What its store is encrypted with, from its next start on; what lies on the disk already is not changed by it."""
        return self._store_key

    @store_key.setter
    def store_key(self, key: StoreKey | None) -> None:
        plain = str(self.disk.vfs).removeprefix(ENCRYPTING)
        self._store_key = key
        self.disk.vfs = f"{ENCRYPTING}{plain}" if key is not None else plain

    def move_to(self, parent: "SimNode") -> None:
        """Name another parent in the node's document: from its next start on, which needs a token of that parent's."""
        spec = self.config.spec
        assert spec.parent is not None, f"{self.name} is the root"
        there = msgspec.structs.replace(spec.parent, url=parent.peer_url, join_url=parent.join_url)
        self.config = msgspec.structs.replace(self.config, spec=msgspec.structs.replace(spec, parent=there))

    async def start(self, token: str | None = None) -> Hub:
        """Switch the node on, or start its process again."""
        assert self.hub is None, f"{self.name} is up already"
        starting = running_loop().create_task(self._start(token), name=f"start {self.name}", context=self._context)
        return await starting

    async def _start(self, token: str | None) -> Hub:
        self.disk.power_on()
        if self.spill_disk is not None:
            self.spill_disk.power_on()
        network = self.tree.network
        seams = Seams(
            clock=self.clock,
            random=self.random.fork(f"hub{self.deaths}"),
            disk=self.disk,
            writer=self._make_writer,
            joining=lambda ca: network.transport(self.name),
            peers=lambda identity: network.transport(self.name),
            webhooks=SimWebhooks(network.transport(self.name)),
            store_key=self.store_key,
            offload=at_once,
            fault=self.fault,
            spill=self.spill_disk,
            renewed=self._renewed,
        )
        hub = await open_hub(self.config, seams, _Facts(self), token)
        assert_wal(hub.store.committer._connection, self.disk.vfs)  # noqa: SLF001 -- nobody else needs to see it
        hub.start(None)
        self.hub = hub
        self.down.clear()
        network.serve(self.peer_url, hub.answer_peer)
        network.serve(self.join_url, hub.answer_join)
        return hub

    async def switch_off(self) -> None:
        """End the process in an orderly way, and leave the disk to whoever asked for it."""
        self.tree.network.stop(self.peer_url)
        self.tree.network.stop(self.join_url)
        hub, self.hub = self.running, None
        await hub.stop()
        self.tree.check(hub)
        self.deaths += 1  # its next life draws other chances
        self.down.set()

    def pause(self) -> None:
        """Stop the process where it is, until `resume`: nobody notices but by its silence."""
        running_loop().pause(self.name)

    def resume(self) -> None:
        """Let the process go on, with what has come for it meanwhile first."""
        running_loop().resume(self.name)

    def kill(self) -> None:
        """The process dies; what it wrote to files stays, synced or not, for the system is still up."""
        self.disk.cut_power("kept")

    def cut_power(self) -> None:
        """The machine loses power: of what was not synced, some is lost."""
        self.disk.cut_power("seeded")

    @property
    def devices(self) -> Sequence[SimDevice]:
        """Those that publish here."""
        return self._devices

    def device(self, client_id: str) -> SimDevice:
        """A device that publishes here and sends again what was not acknowledged."""
        device = SimDevice(client_id, lambda: self.hub.broker if self.hub else None)
        self._devices.append(device)
        return device

    def forget_devices(self) -> None:
        """Those that publish here are heard of no more."""
        for device in self._devices:
            device.disconnected()
        self._devices.clear()

    def records(self, stream: str) -> list[bytes]:
        """All records of a stream as this node holds it; empty if it has none."""
        name = parse_stream_name(stream)
        hub = self.running
        info = hub.store.stream(name)
        if info is None:
            return []
        records: list[bytes] = []
        offset = info.first
        while offset < info.next:
            for batch in hub.store.read(name, offset, 1 << 20):
                records += batch.records()
                offset = batch.next
        return records

    def fault(self, method: str, path: str, error: Exception) -> Response:
        """A fault of ours ended a request that no network carried. What a process meets while it dies is none."""
        if self.hub is not None:
            self.tree.failures.append(error)
        return fault_response(method, path, "")

    def _make_writer(self, limits: Limits) -> SimWriter:
        self._writer = SimWriter(limits, self.random.fork(f"writer{self.deaths}"), self.disk)
        return self._writer

    def _renewed(self, identity: Identity) -> None:
        self.renewals += 1

    def _died(self) -> None:
        self.deaths += 1
        if self.spill_disk is not None:
            self.spill_disk.cut_power()
        self.tree.network.stop(self.peer_url)
        self.tree.network.stop(self.join_url)
        if self._writer is not None:
            self._writer.kill()
        hub, self.hub = self.hub, None
        if hub is not None:
            self.tree.check(hub)
            self.tree.on_death(self, hub)
            # Not here: the cut may have come in the middle of an operation of SQLite's, which has to return first.
            asyncio.get_running_loop().call_soon(hub.abandon)
        # A dead process is not paused any more, and its tasks, which are cancelled by then, can end.
        asyncio.get_running_loop().call_soon(self.resume)
        for device in self._devices:
            device.disconnected()
        self.down.set()


class SimTree:
    """All nodes of a simulation, and what lies between them."""

    def __init__(self, seed: int | str) -> None:
        self.random = SeededRandom(seed)
        self.network = SimNetwork(self.random.fork("network"))
        self.nodes: dict[str, SimNode] = {}
        self.failures: list[BaseException] = []
        self.on_death: Callable[[SimNode, Hub], None] = lambda node, hub: None
        """Told of each node that dies, and of what ran there; must not touch its disk."""

    async def start_root(self, name: str, **limits: int) -> SimNode:
        """Make and start the root."""
        node = self.add(name, "cloud", None, limits=limits)
        await node.start()
        return node

    async def start_child(
        self, name: str, tier: Tier, parent: SimNode, bandwidth: Bandwidth | None = None, /, **limits: int
    ) -> SimNode:
        """Make a node, enrol it under `parent`, and start it. bandwidth: of its link to `parent`."""
        node = self.add(name, tier, parent, bandwidth=bandwidth, limits=limits)
        await node.start(await self.token(parent, name))
        return node

    async def token(self, parent: SimNode, name: str) -> str:
        """A join token."""
        hub = parent.running
        return await hub.create_token(name, 3_600_000)

    async def apply(self, root: SimNode, *resources: Deployable) -> None:
        """Change the desired state at the root."""
        records = [record_of(resource, None) for resource in resources]
        await root.running.store.submit(lambda tx: submit_desired(tx, records))

    async def until(self, condition: Callable[[], object], limit_s: float = UNTIL_S) -> None:
        """Let time pass until `condition` holds. Raises TimeoutError after `limit_s` virtual seconds."""
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(POLL_S)
                self.raise_failures()

    async def stop(self) -> None:
        """Stop every node that is up, in an orderly way; raise what failed meanwhile."""
        for node in self.nodes.values():
            if node.hub is not None:
                await node.hub.stop()
                self.check(node.hub)
                node.hub = None
        self.raise_failures()

    def check(self, hub: Hub) -> None:
        """Take note of what failed in a hub."""
        self.failures += hub.failures

    def raise_failures(self) -> None:
        """Raise the first unexpected exception of any background task."""
        failures = [*self.failures, *self.network.failures]
        for node in self.nodes.values():
            if node.hub is not None:
                failures += node.hub.failures
        if failures:
            raise failures[0]

    def add(
        self,
        name: str,
        tier: Tier,
        parent: SimNode | None,
        *,
        status_interval: str = "5s",
        bandwidth: Bandwidth | None = None,
        ttl: Ttl | None = None,
        storage: Storage | None = None,
        limits: Mapping[str, int] = MappingProxyType({}),
    ) -> SimNode:
        """Make a node that is still switched off. bandwidth, ttl: of the link to its parent. storage: what bounds its
        streams. limits: those that are not the
        defaults; "_" may stand for "-"."""
        spec = NodeSpec(
            tier=tier,
            parent=_parent(parent, bandwidth, ttl),
            storage=storage or Storage(),
            listen=Listen(peer="127.0.0.1:1", join="127.0.0.1:2", mqtt="127.0.0.1:3"),
            mqtt=Mqtt(anonymous=True),
            status_interval=status_interval,
            limits={key.replace("_", "-"): value for key, value in limits.items()},
        )
        config = Node(api_version="littoral/v1", metadata=Metadata(name=name), spec=spec)
        node = self.nodes[name] = SimNode(self, config, self.random.fork(name))
        return node


def _parent(parent: SimNode | None, bandwidth: Bandwidth | None, ttl: Ttl | None) -> Parent | None:
    if parent is None:
        return None
    return Parent(url=parent.peer_url, join_url=parent.join_url, bandwidth=bandwidth, ttl=ttl or Ttl())


class _Facts:
    """What the process would know; there is none."""

    def __init__(self, node: SimNode) -> None:
        self._node = node

    def memory_bytes(self) -> int:
        return 0

    def apps(self) -> Mapping[str, AppStatus]:
        return {}

    def routes(self) -> Mapping[str, RouteStatus]:
        return {}

    def gateway(self) -> GatewayStatus | None:
        return None

    def addresses(self) -> Mapping[str, str]:
        return {
            "join": self._node.join_url.removeprefix("https://"),
            "peer": self._node.peer_url.removeprefix("https://"),
        }
