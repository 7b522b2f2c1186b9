"""The main job in virtual time: devices at sites, a region, the root; and what must be true of it in the end.

Every node is supervised as by its operating system: when it dies it is started again, and what an operator or a device
was not answered is asked again. So a test only has to place the fault.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from littoral.core.names import StreamName
from littoral.core.resources import Namespace, Rule
from littoral.core.tasks import Tasks
from littoral.node.hub import Hub
from littoral.testing.supervision import UNTIL_S, Supervisor, insist
from littoral.testing.tree import SimNode, SimTree

SETTLE_S = 4.0
"""What would arrive a second time has arrived by then."""

READINGS = 46
EVERY = 6
"""Readings are published so many at a time."""
SPIKES = (17, 33)
WINDOWS = [(start, 10) for start in range(0, 40, 10)]
"""Readings are a second apart: those at 15, 25, 35 and 45 end the windows that began 15 s before."""

RULE = msgspec.convert(
    {
        "kind": "Rule",
        "apiVersion": "littoral/v1",
        "metadata": {"name": "temperature"},
        "spec": {
            "placement": {"tiers": ["site"]},
            "source": {"mqtt": {"topic": "factory/+/temperature"}},
            "value": {"path": "value"},
            "timestamp": {"path": "ts", "unit": "s"},
            "sequence": {"path": "n"},
            "window": {"tumbling": "10s", "allowedLateness": "5s"},
            "detect": {"zscore": {"window": 12, "threshold": 5}},
            "windows": [
                {"stream": {"name": "windows"}},
                {"kv": {"namespace": "lines", "key": "last/{key}"}},
            ],
            "alerts": [{"stream": {"name": "alerts", "lane": "alerts"}}],
        },
    },
    Rule,
)
LINES = msgspec.convert(
    {"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": "lines"}},
    Namespace,
)


class Vertical:
    """A tree, its supervision, and its workload."""

    def __init__(self, tree: SimTree, sites: int = 1) -> None:
        self.tree = tree
        self.root = self.tree.add("cloud", "cloud", None)
        self.region = self.tree.add("eu", "region", self.root)
        self.sites = [self.tree.add(f"plant-{letter}", "site", self.region) for letter in "abcd"[:sites]]
        self.written: dict[str, bytes] = {}
        """Key-value writes that were acknowledged, by key."""
        self.supervisor = Supervisor(tree)
        self._tasks = Tasks(self.supervisor.failures.append)

    # Life

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the workload; it must not fail."""
        self._tasks.start(work, "fault")

    async def until(self, condition: Callable[[], object], limit_s: float = UNTIL_S) -> None:
        await self.supervisor.until(condition, limit_s)

    async def rest(self) -> None:
        """Supervise no longer; the nodes go on."""
        await self._tasks.stop()
        await self.supervisor.stop()

    async def stop(self) -> None:
        await self.rest()
        await self.tree.stop()

    # Workload

    async def deploy(self) -> None:
        """Make rule and namespace desired, and wait until every site has begun with them."""
        await self.until(lambda: self.root.hub is not None)
        await insist(self.root, lambda hub: self.tree.apply(self.root, RULE, LINES))
        await self.until(lambda: all(_adopted(site.hub) for site in self.sites))

    async def publish(self) -> None:
        """Every site's device publishes all its readings."""
        devices = [site.device("press") for site in self.sites]
        for device in devices:
            device.connect()
        for first in range(0, READINGS, EVERY):
            for device in devices:
                for n in range(first, min(first + EVERY, READINGS)):
                    device.publish("factory/press/temperature", payload(n))
            await asyncio.sleep(0.2)
        await self.until(lambda: all(device.unacknowledged == 0 for device in devices))

    async def write(self, node: SimNode, key: str, value: bytes) -> None:
        """Put a key, again until it is acknowledged."""
        await insist(node, lambda hub: hub.keyvalue.put("lines", key, value))
        self.written[key] = value

    async def work(self) -> None:
        """All of it, from nothing to the end."""
        self.supervisor.watch_all()
        await self.use()

    async def use(self) -> None:
        """What operators and devices do, from the first rule to the last reading."""
        await self.deploy()
        await self.write(self.root, "recipe", b"one")
        await self.publish()
        await self.write(self.sites[0], "operator", b"ada")

    # What must be true

    async def settle(self) -> None:
        """Wait until everything has arrived everywhere, and then for what should not arrive."""
        await self.until(self.arrived)
        await asyncio.sleep(SETTLE_S)
        await self.until(self.arrived)

    def check(self) -> None:
        """Nothing acknowledged is lost, nothing is there twice."""
        for site in self.sites:
            assert set(readings_at(site)) == set(range(READINGS)), f"readings of {site.name}"
            assert windows_at(self.root, site) == WINDOWS, f"windows of {site.name}"
            assert alerts_at(self.root, site) == list(SPIKES), f"alerts of {site.name}"
            assert site.records(f"{site.name}/dead-letters") == []
        tables = [entries_of(node) for node in self.tree.nodes.values()]
        assert all(table == tables[0] for table in tables)
        for key, value in self.written.items():
            assert tables[0][key] == value, key

    def arrived(self) -> bool:
        """Whether all nodes are up, all results are at the root, and all tables are the same."""
        nodes = self.tree.nodes.values()
        if any(node.hub is None for node in nodes):
            return False
        if not all(
            len(windows_at(self.root, site)) >= len(WINDOWS) and len(alerts_at(self.root, site)) >= len(SPIKES)
            for site in self.sites
        ):
            return False
        tables = [entries_of(node) for node in nodes]
        keys = len(self.written) + 1
        return len(tables[0]) >= keys and all(table == tables[0] for table in tables)


def payload(n: int) -> bytes:
    value = 1000.0 if n in SPIKES else float(n % 5)
    return msgspec.json.encode({"n": n, "ts": n, "value": value})


def _adopted(hub: Hub | None) -> bool:
    """The rule has begun, and the namespace is known."""
    return (
        hub is not None
        and hub.store.state_value("rules", "rule/temperature") is not None
        and hub.desired.namespace("lines") is not None
    )


def readings_at(site: SimNode) -> Counter[int]:
    """How often each number is among the raw readings: a device that was not answered sends again."""
    records = [msgspec.msgpack.decode(record) for record in site.records(f"{site.name}/readings")]
    return Counter(msgspec.json.decode(payload)["n"] for _, payload, _ in records)


def windows_at(node: SimNode, site: SimNode) -> list[tuple[int, int]]:
    rows = [msgspec.json.decode(record) for record in node.records(f"{site.name}/windows")]
    return [(row["start"] // 1000, row["count"]) for row in rows]


def alerts_at(node: SimNode, site: SimNode) -> list[int]:
    return [msgspec.json.decode(record)["sequence"] for record in node.records(f"{site.name}/alerts")]


def entries_of(node: SimNode) -> dict[str, bytes | None]:
    return {entry.key: entry.value for entry in node.running.store.kv_entries("lines", "", 1000)}


def stream(text: str) -> StreamName:
    origin, _, path = text.partition("/")
    return StreamName(origin, path)
