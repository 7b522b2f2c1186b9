"""What follows the node's document while the node runs: its bridges, and the further listeners of its MQTT broker."""

import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from littoral.core.disk import Disk
from littoral.core.resources import Node
from littoral.core.tasks import Tasks
from littoral.drivers.listeners import adopt_listener
from littoral.drivers.mqtt import MqttListener
from littoral.node.bridges import bridges_of
from littoral.node.document_watch import DocumentWatch, waits_for_a_start
from littoral.node.handover import hand_over
from littoral.node.mqtt_listeners import MqttListeners
from littoral.node.mqtt_sockets import MqttSockets

if TYPE_CHECKING:
    from littoral.node.hub import Hub

_MAIN = "mqtt"


class DocumentParts:
    """Made once, when the hub is there; then `follow`, then `listen`."""

    def __init__(
        self, hub: "Hub", disk: Disk, tasks: Tasks, descriptors: Mapping[str, int], handover: int | None
    ) -> None:
        """descriptors: of all sockets that the process inherited, by name. handover: by which the supervisor is given others; None
        if there is no supervisor."""
        self._hub = hub
        self._tasks = tasks
        self._bridges = bridges_of(hub, disk, tasks)
        self._broker = MqttListener(hub.broker)
        self._main = descriptors.get(_MAIN)
        tell = None if handover is None else partial(hand_over, socket.socket(fileno=handover))
        inherited = {name: each for name, each in descriptors.items() if name.startswith(f"{_MAIN}-")}
        self._sockets = MqttSockets(inherited, hub.config.spec.mqtt, tell)
        self._listeners = MqttListeners(self._broker, self._sockets, tasks, hub.warn)

    def addresses(self, all_addresses: Mapping[str, str]) -> Mapping[str, str]:
        """Listener -> "host:port" as it is now. all_addresses: as it was at the node's start."""
        others = {name: each for name, each in all_addresses.items() if not name.startswith(f"{_MAIN}-")}
        return others | self._sockets.addresses()

    def follow(self, document: Path | None, seen: str) -> None:
        """document: the file that describes the node, which is looked at again; it may be another one than at the node's start, when
        `seen` was said of it (see ChangedFile)."""
        watch = None
        if document is not None:
            watch = DocumentWatch(document, self._hub.name, self._take, self._hub.warn, seen)
            self._tasks.start(watch.run(), "document")
        if watch is None or not watch.look():
            self._have(self._hub.config)

    async def listen(self) -> None:
        """Take clients of the MQTT broker."""
        if self._main is not None:
            await self._broker.start(adopt_listener(self._main))
        await self._listeners.apply()
        self._tasks.start(self._listeners.run(), "mqtt listeners")

    async def stop(self) -> None:
        """Close all clients and end all bridges; sessions stay."""
        await self._broker.stop()
        await self._bridges.stop()

    def _take(self, node: Node) -> None:
        self._have(node)
        if waiting := waits_for_a_start(self._hub.config, node):
            self._hub.warn(f"changes of {', '.join(waiting)} take effect when the node is started again")

    def _have(self, node: Node) -> None:
        self._bridges.apply(node.spec.mqtt.bridges)
        self._listeners.want(node.spec.mqtt.listeners)
