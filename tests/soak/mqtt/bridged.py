"""A node with bridges to a mosquitto, which is not killed: what is published at either side comes to the other."""

import asyncio
import tempfile
from pathlib import Path
from typing import Literal, Self

from littoral.core.resources.mqtt_bridge import MqttBridge, MqttBridgeTopic
from tests.soak.mqtt.clients import Client, Work
from tests.soak.mqtt.scene import Scene
from tests.soak.mqtt.tally import Tally
from tests.soak.mqtt.voices import Heard, Voice
from tests.support.mosquitto import Mosquitto

LEVELS = {"five": 5, "three": 4}
"""Bridges, and the version of MQTT that they and their clients speak."""


class BridgedScene(Scene):
    """One bridge for each version of MQTT, both ways."""

    def __init__(self, name: str, seed: int, tally: Tally) -> None:
        super().__init__(name, seed, tally)
        self._folder = tempfile.TemporaryDirectory(prefix="mosquitto")
        # A line for each packet would fill the disk.
        self._other = Mosquitto(Path(self._folder.name), "log_type none")

    def __enter__(self) -> Self:
        self._other.start()
        self.node.describe(bridges=[self._bridge(name) for name in LEVELS])
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._other.stop()
        self._folder.cleanup()

    async def begin(self) -> None:
        """... until its bridges have subscribed over there."""
        await super().begin()
        await asyncio.to_thread(self.node.until, self._is_bridged)

    def cast(self) -> list[Client]:
        """A publisher and a subscriber at either side of each bridge."""
        return [
            client
            for name in LEVELS
            for client in (
                *_pair(name, "out", (self.node.port("mqtt"), "here"), (self._other.port, "there")),
                *_pair(name, "in", (self._other.port, "there"), (self.node.port("mqtt"), "here")),
            )
        ]

    def _is_bridged(self) -> bool:
        bridges = self.node.api("GET", "/v1/mqtt/bridges").json()["bridges"]
        return len(bridges) == len(LEVELS) and all(each["state"] == "connected" for each in bridges)

    def _bridge(self, name: str) -> MqttBridge:
        ways: list[Literal["out", "in"]] = ["out", "in"]
        topics = [
            MqttBridgeTopic(
                filter=f"{name}-{way}/#", direction=way, qos=2, local_prefix="here/", remote_prefix="there/"
            )
            for way in ways
        ]
        address = f"127.0.0.1:{self._other.port}"
        return MqttBridge(name=name, address=address, version="5" if LEVELS[name] == 5 else "3.1.1", topics=topics)


def _pair(name: str, way: str, source: tuple[int, str], target: tuple[int, str]) -> tuple[Client, Client]:
    """Who publishes at one broker, and who subscribes at the other; each with its port and what topics begin with there."""
    (port, prefix), (other_port, other_prefix) = source, target
    voice = Voice(f"{name}-{way}")
    topics = ((f"{prefix}/{voice.name}/exactly", 2, False), (f"{prefix}/{voice.name}/at-least", 1, False))
    writer = Client(f"{voice.name}-writer", LEVELS[name], port, Work(voice, topics))
    heard = Heard(f"{voice.name}-reader", [voice])
    return writer, Client(heard.name, LEVELS[name], other_port, Work(heard=heard), f"{other_prefix}/{voice.name}/#")
