"""A broker in a process that is killed again and again, with clients that go on."""

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.mqtt_peer import Peer
from tests.support.mqtt_promises import all_came, check_promises, numbered

ROOT = Path(__file__).parents[2]
RETRY_S = 0.02
LIFE_LEAST_S, LIFE_MOST_S = 0.0, 0.3
"""How long a process lives, from the first client that is connected to it."""
PUBLISH_EVERY_S = 0.002
ENOUGH_WAITING = 100
"""Publishes that wait for their acknowledgement: a publisher makes no more until there are fewer."""
HEAL_S = 60.0


class SocketWay(asyncio.Protocol):
    """A connection over a socket (`tests.support.mqtt_peer.Way`)."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer.connect(self)

    def data_received(self, data: bytes) -> None:
        self._peer.hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._peer.closed(self)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Kills:
    """A broker, its clients, and who kills it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.kills = 0
        self._directory = directory
        self._random = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._publishers = [Peer("first", 4), Peer("second", 5)]
        self._roaming = Peer("roaming", 4, "data/#")
        steady, once = Peer("steady", 5, "data/#"), Peer("once", 5, "data/#", qos=1)
        self._subscribers = [steady, self._roaming, once]
        self._process: asyncio.subprocess.Process | None = None
        self._number = 0

    @property
    def published(self) -> int:
        """Messages so far."""
        return 2 * self._number

    @property
    def received(self) -> int:
        """By all subscribers."""
        return sum(len(each.received) for each in self._subscribers)

    async def run(self, kills: int) -> None:
        """Kill it so many times, then let it heal, and check what was promised; may be called again."""
        peers = [*self._publishers, *self._subscribers]
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(self._tend(peer)) for peer in peers]
            if self._process is None:
                await self._start()
            await self._until(lambda: all(peer.subscribed for peer in self._subscribers))
            work.append(group.create_task(self._publish()))
            for _ in range(kills):
                await self._until(lambda: any(peer.open for peer in peers))
                await asyncio.sleep(self._random.uniform(LIFE_LEAST_S, LIFE_MOST_S))
                await self.stop()
                self.kills += 1
                await self._start()
            work.pop().cancel()
            await self._until(
                lambda: all(peer.idle for peer in peers) and all_came(self._publishers, self._subscribers)
            )
            for task in work:
                task.cancel()
        check_promises(self._publishers, self._subscribers)
        for publisher in self._publishers:
            assert len(publisher.promised) == self._number

    async def stop(self) -> None:
        """Kill it, and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await process.wait()

    def close(self) -> None:
        """Let go of the port."""
        self._listening.close()

    async def _start(self) -> None:
        descriptor = self._listening.fileno()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.mqtt_server",
            str(self._directory),
            str(descriptor),
            pass_fds=(descriptor,),
            cwd=ROOT,
            env=dict(os.environ),
        )

    async def _publish(self) -> None:
        first, second = self._publishers
        while True:
            if first.waiting < ENOUGH_WAITING and second.waiting < ENOUGH_WAITING:
                number = self._number
                first.publish(f"data/{number % 2}", numbered(first, number), 2, retain=True)
                second.publish("data/2", numbered(second, number), 1 + number % 2)
                self._number += 1
                if self._random.random() < 0.01:
                    self._roaming.leave()
            await asyncio.sleep(PUBLISH_EVERY_S)

    async def _tend(self, peer: Peer) -> None:
        """Connect a client whenever it is not."""
        loop, address = asyncio.get_running_loop(), self._listening.getsockname()
        while True:
            if peer.way is None:
                await loop.create_connection(lambda: SocketWay(peer), *address)
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * RETRY_S)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HEAL_S):
            while not condition():
                assert self._process is None or self._process.returncode is None, "the broker ended by itself"
                await asyncio.sleep(RETRY_S)
