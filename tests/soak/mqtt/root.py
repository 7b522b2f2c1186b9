"""A site below a root: what clients publish at the site on global topics comes to those of the root, whichever hub is killed, and
while the link between them breaks."""

import asyncio

from msgspec import structs

from littoral.core.limits import Limits
from littoral.core.resources.model import Parent
from littoral.drivers.clock import SystemClock
from littoral.drivers.link import Target, WanLink
from tests.soak.mqtt.clients import Client, Work
from tests.soak.mqtt.scene import Scene, real_node
from tests.soak.mqtt.tally import Tally
from tests.soak.mqtt.voices import Heard, Voice
from tests.support.global_topics import global_topics
from tests.support.real_node import RealNode

WHOLE_MOST_S, CUT_MOST_S = 6.0, 2.0
"""How long the link is whole at most, and cut."""
ABOVE = "up/#"


class RootScene(Scene):
    """Two nodes."""

    def __init__(self, name: str, seed: int, tally: Tally) -> None:
        super().__init__(name, seed, tally)
        self.root = real_node(f"{name}-root", "cloud")
        self.link: WanLink | None = None

    @property
    def nodes(self) -> list[RealNode]:
        """The site, and the root."""
        return [self.node, self.root]

    async def begin(self) -> None:
        """... until the site knows which topics are global."""
        await asyncio.to_thread(self.root.start)
        targets = [Target(name, "127.0.0.1", self.root.port(name)) for name in ("peer", "join")]
        self.link = WanLink(self.name, targets, SystemClock(), Limits(), self._failed)
        await self.link.start()
        peer, join = (f"https://127.0.0.1:{self.link.port(name)}" for name in ("peer", "join"))
        spec = structs.replace(self.node.config.spec, parent=Parent(url=peer, join_url=join))
        self.node.config = structs.replace(self.node.config, spec=spec)
        self.root.apply(global_topics("above", ABOVE, to="root"))
        await asyncio.to_thread(self.node.start, self.root.token(self.name))
        await asyncio.to_thread(self.node.until, self._is_known)

    async def end(self) -> None:
        """Give the link's ports back."""
        if self.link is not None:
            await self.link.stop()

    async def disturb(self) -> None:
        """Cut the link now and then, with a word to both ends or without."""
        assert self.link is not None
        while True:
            await asyncio.sleep(self._random.uniform(0.0, WHOLE_MOST_S))
            if not self.is_calm:
                await self.link.cut(self._random.choice(("refuse", "blackhole")))
                await asyncio.sleep(self._random.uniform(0.0, CUT_MOST_S))
                await self.link.restore()
                self.tally.count("cuts of a link", 1)

    def cast(self) -> list[Client]:
        """Publishers at the site, subscribers at both."""
        site, root = self.node.port("mqtt"), self.root.port("mqtt")
        voices = [Voice(name) for name in ("first", "second", "third")]
        first, second, third = voices
        return [
            Client("first", 4, site, Work(first, (("up/0", 2, False), ("up/0-once", 1, False)))),
            Client("second", 5, site, Work(second, (("up/1", 2, False), ("up/1-kept", 2, True)))),
            Client("third", 5, site, Work(third, (("up/2", 2, False), ("up/2-once", 1, False)), restless=True)),
            Client("near", 5, site, Work(heard=Heard("near", voices)), ABOVE),
            Client("steady", 5, root, Work(heard=Heard("steady", voices)), ABOVE),
            Client("roaming", 4, root, Work(heard=Heard("roaming", voices), restless=True), ABOVE),
        ]

    def _is_known(self) -> bool:
        reply = self.node.api("GET", "/v1/resources")
        return reply.status == 200 and b"above" in reply.body

    def _failed(self, error: BaseException) -> None:
        self.tally.violated(f"{self.name}: the link's relay failed: {error!r}")
