"""One run of a small tree under faults, as a program: prints what happened, and a digest of all that is on the disks.

`python -m tests.support.repeated_run SEED`
"""

import asyncio
import hashlib
import sys
from collections.abc import Iterator

from littoral.testing.disk import CutAt
from littoral.testing.loop import run
from littoral.testing.net import Traffic
from littoral.testing.tree import SimNode, SimTree

READINGS = 60
PUT_EVERY_S = 0.05


class Repeated:
    """A root, a region and two sites, with devices, on bad links; one site loses its power, the region is paused."""

    def __init__(self, seed: int) -> None:
        self.tree = SimTree(seed)
        self.seed = seed
        self.lines: list[str] = []
        self.tree.network.observe = self._note

    def _note(self, traffic: Traffic) -> None:
        self.lines.append(
            f"{traffic.at_s!r} {traffic.number} {traffic.source} {traffic.target} {traffic.event} {traffic.method}"
            f" {traffic.path} {traffic.size_bytes}"
        )

    async def work(self) -> None:
        """All of it."""
        root = await self.tree.start_root("cloud")
        region = await self.tree.start_child("eu", "region", root)
        sites = [await self.tree.start_child(f"plant-{letter}", "site", region) for letter in "ab"]
        for node in (region, *sites):
            for link in self.tree.network.links(node.name):
                link.delay_s, link.jitter_s, link.bytes_per_s = 0.02, 0.05, 20_000
                link.loss, link.duplication, link.reordering = 0.05, 0.2, 0.2
        devices = [site.device("press") for site in sites]
        for device in devices:
            device.connect()
        for number in range(READINGS):
            for device in devices:
                device.publish("factory/press/temperature", b'{"value": %d}' % number)
            await asyncio.sleep(PUT_EVERY_S)
            if number == READINGS // 3:
                region.pause()
            elif number == READINGS // 2:
                region.resume()
                # Inside a commit, so that chance decides what of it is left.
                sites[0].disk.schedule_cut(CutAt(sites[0].disk.points + 5))
                await sites[0].down.wait()
                await sites[0].start()
                devices[0].connect()
        await self.tree.until(lambda: all(device.unacknowledged == 0 for device in devices))
        await asyncio.sleep(60)
        for node in self.tree.nodes.values():
            node.cut_power()

    def report(self) -> Iterator[str]:
        """What happened, then the state that it left."""
        yield from self.lines
        for node in self.tree.nodes.values():
            yield from self._left_by(node)

    def _left_by(self, node: SimNode) -> Iterator[str]:
        for point in node.disk.log:
            yield f"{node.name} {point.number} {point.kind} {point.path} {point.offset} {point.length}"
        yield f"{node.name} {sorted(node.disk.hits.items())}"
        node.disk.power_on()
        for path in node.disk.paths():
            image = node.disk.read(path)
            assert image is not None
            yield f"{node.name} {path} {len(image)} {hashlib.sha256(image).hexdigest()}"


def main(seed: int) -> Iterator[str]:
    """The report of the run."""

    async def work() -> Repeated:
        repeated = Repeated(seed)
        await repeated.work()
        return repeated

    return run(work, seed=seed).report()


if __name__ == "__main__":
    sys.stdout.write("\n".join(main(int(sys.argv[1]))) + "\n")
