"""The bridges of a node: those of its document, as it is now."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from littoral.core.disk import Disk
from littoral.core.errors import LittoralError
from littoral.core.resources.mqtt_bridge import MqttBridge
from littoral.core.tasks import Tasks
from littoral.iot.bridge_names import PREFIX, is_bridge
from littoral.iot.bridge_session import BridgeSession
from littoral.iot.bridge_terms import BridgeCounters
from littoral.node.bridge_memory import BridgeMemory
from littoral.node.bridge_metrics import bridge_metrics
from littoral.node.bridge_run import BridgeParts, BridgeRun
from littoral.node.mqtt_messages import BridgeState
from littoral.telemetry.metrics import Family

if TYPE_CHECKING:
    from littoral.node.hub import Hub


class Bridges:
    """Made once; `apply` may be called whenever the document has changed."""

    def __init__(self, parts: BridgeParts, tasks: Tasks) -> None:
        self._parts = parts
        self._tasks = tasks
        self._running: dict[str, tuple[BridgeRun, asyncio.Task[None]]] = {}

    def apply(self, wanted: Sequence[MqttBridge]) -> None:
        """Have these bridges and no others. One that is as it was goes on; one that is different begins anew, and what waits in its
        session stays; that of one that is gone goes with it."""
        configs = {each.name: each for each in wanted}
        counters = {name: run.counters for name, (run, _) in self._running.items()}
        for name, (run, task) in list(self._running.items()):
            if configs.get(name) != run.config:
                task.cancel()
                run.stop(forget=name not in configs or _session(configs[name]) != _session(run.config))
                del self._running[name]
        self._forget_others(set(configs))
        for name, config in configs.items():
            if name not in self._running:
                run = BridgeRun(config, self._parts, counters.get(name) or BridgeCounters())
                self._running[name] = run, self._tasks.start(run.run(), f"bridge {name}")

    def states(self) -> list[BridgeState]:
        """Of each."""
        return [run.state() for run, _ in self._running.values()]

    def families(self) -> Iterator[Family]:
        """As metrics."""
        return bridge_metrics(self.states())

    async def stop(self) -> None:
        """End all connections; sessions stay."""
        running, self._running = self._running, {}
        for run, task in running.values():
            task.cancel()
            run.stop(forget=False)

    def _forget_others(self, names: set[str]) -> None:
        parts = self._parts
        later = asyncio.get_running_loop().call_soon
        kept = [each.client_id for each in parts.broker.sessions if is_bridge(each.client_id)]
        gone = {client_id.removeprefix(PREFIX) for client_id in kept} - names
        for name in sorted(gone):
            BridgeSession(parts.broker, name, parts.pass_word, later).end()
        for name in set(parts.memory.names()) - names:
            try:
                parts.memory.forget(name)
            except LittoralError as error:
                parts.warn(str(error))


def _session(config: MqttBridge) -> tuple[str, str | None]:
    """Whose session it is at the other broker."""
    return config.address, config.client_id


def bridges_of(hub: "Hub", disk: Disk, tasks: Tasks) -> Bridges:
    """Those of a node; none of them has begun."""
    parts = BridgeParts(
        hub.name,
        hub.store.lineage,
        hub.broker,
        hub.bridge_pass_word,
        BridgeMemory(disk),
        hub.seams.random,
        hub.warn,
    )
    bridges = Bridges(parts, tasks)
    hub.mqtt_api.bridges = bridges.states
    hub.metrics.add(bridges.families)
    return bridges
