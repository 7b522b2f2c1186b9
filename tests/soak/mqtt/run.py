"""One run: several nodes at a time, for so long or so many kills."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.soak.mqtt.bridged import BridgedScene
from tests.soak.mqtt.plain import PlainScene
from tests.soak.mqtt.root import RootScene
from tests.soak.mqtt.scene import Scene
from tests.soak.mqtt.tally import Tally
from tests.soak.workload import seconds

SAY_S = 30.0
SCENES: dict[str, Callable[[str, int, Tally], Scene]] = {
    "plain": PlainScene,
    "bridge": BridgedScene,
    "root": RootScene,
}
"""By what clients of the node exchange messages with: each other, those of a mosquitto, those of the root."""


class Run:
    """Of a given length."""

    def __init__(self, seed: int, length_s: float, kills: int, keep: Path) -> None:
        """keep: a folder for what is to be looked at, if something is wrong."""
        self.tally = Tally()
        self._seed = seed
        self._length_s = length_s
        self._kills = kills
        self._keep = keep
        self._end_s = 0.0

    async def run(self, nodes: int, kind: str) -> None:
        """Do it, and note what should not have been."""
        began_s = seconds()
        self._end_s = began_s + self._length_s
        with ExitStack() as stack:
            scenes = [stack.enter_context(self._scene(number, kind)) for number in range(nodes)]
            async with asyncio.TaskGroup() as group:
                saying = group.create_task(self._say(began_s))
                async with asyncio.TaskGroup() as work:
                    for scene in scenes:
                        work.create_task(scene.run(self._goes_on, self._keep))
                saying.cancel()

    def _scene(self, number: int, kind: str) -> Scene:
        return SCENES[kind](f"plant-{number}", self._seed * 1000 + number, self.tally)

    def _goes_on(self) -> bool:
        return seconds() < self._end_s and self.tally.kills.total() < self._kills

    async def _say(self, began_s: float) -> None:
        while True:
            await asyncio.sleep(SAY_S)
            acknowledged = self.tally.counts["publishes acknowledged"]
            print(
                f"{seconds() - began_s:7.1f} s  {self.tally.kills.total()} kills, {acknowledged} acknowledged",
                flush=True,
            )
