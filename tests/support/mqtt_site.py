"""A store with a broker on it in virtual time, begun anew whenever its power was gone, and its clients."""

import asyncio
from collections.abc import Callable

from littoral.core.tasks import Tasks
from littoral.iot.access import LoginOnly
from littoral.iot.broker import Broker
from littoral.iot.durable_sessions import DurableSessions
from littoral.iot.rule_engine import RuleEngine
from littoral.testing.store import SimStore
from tests.support.mqtt_peer import MemoryWay, Peer

TEND_EVERY_S = 0.004
LIMIT_S = 600.0
SWEEP_S = 1.0


class MqttSite:
    """Connects its clients whenever they are not, but for those in `away`."""

    def __init__(self, sim: SimStore, *peers: Peer, reject_new: bool = False) -> None:
        """reject_new: as of Broker."""
        self.sim = sim
        self.peers = list(peers)
        self.away: set[Peer] = set()
        self.failures: list[BaseException] = []
        self._reject_new = reject_new
        self._open()

    def _open(self) -> None:
        sim = self.sim
        self.store = sim.running()
        self._deaths = sim.deaths
        self.tasks = Tasks(self.failures.append)
        rules = RuleEngine(self.store, sim.limits, sim.clock.wall_ms, self.failures.append)
        self.sessions = DurableSessions(self.store, rules)
        access = LoginOnly(lambda *_: True)
        self.broker = Broker(
            rules, sim.clock, sim.limits, access, self.tasks, self.sessions, reject_new=self._reject_new
        )
        self.broker.restore()
        self.tasks.start(self.sessions.run(), "mqtt sessions")
        self.tasks.start(self._sweep(), "sweep")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.broker.sweep()

    def tend(self) -> None:
        """Begin anew what died, and connect who is not."""
        assert self.failures == []
        if self.sim.deaths > self._deaths or self.sim.store is None:
            self.tasks.abandon()
            for peer in self.peers:
                if isinstance(way := peer.way, MemoryWay):
                    way.cut()
                    peer.closed(way)
            self._open()
        for peer in self.peers:
            if peer.way is None and peer not in self.away:
                peer.connect(MemoryWay(self.broker, peer))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Go on until it is so."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                self.tend()
                if condition():
                    return
                await asyncio.sleep(TEND_EVERY_S)

    async def wait(self, seconds: float) -> None:
        """Go on for so long."""
        end_s = self.sim.clock.monotonic_s() + seconds
        while (left_s := end_s - self.sim.clock.monotonic_s()) > 0:
            self.tend()
            await asyncio.sleep(min(left_s, 10 * TEND_EVERY_S))

    def leave(self, peer: Peer) -> None:
        """A client vanishes, and stays away."""
        self.away.add(peer)
        peer.leave()

    def come(self, peer: Peer) -> None:
        """It may come again."""
        self.away.discard(peer)

    async def stop(self) -> None:
        """End what runs beside the broker."""
        await self.tasks.stop()
