"""Sensors: MQTT clients that number their readings, and send again what was not acknowledged."""

import asyncio
import logging
import random
from collections import deque
from dataclasses import dataclass

import aiomqtt
import msgspec

from tests.soak.workload import RETRY_S, Client, seconds

_log = logging.getLogger("soak.mqtt")
_log.disabled = True  # Connections are there to break.
RATE_PER_S = 20
BATCH = 40
"""Readings under way at once. In event time this is less than the rule's lateness: what overtakes is not late."""
ANSWER_S = 20.0
CONNECT_S = 10.0
"""A broker that is killed before it has answered CONNECT is given up after this only."""
TICK_S = 0.1
BEGIN_S = 1_700_000_000
"""Event time of the reading number 0, since the epoch; the others follow by the second."""


class Reading(msgspec.Struct, frozen=True):
    """As it is published. The device comes first: readings are found by it in what the site has stored."""

    device: str
    n: int
    ts: int
    value: float


@dataclass(frozen=True, slots=True)
class Login:
    """How a device gets in."""

    host: str
    port: int
    username: str
    password: str


class Device(Client):
    """One sensor of one site."""

    def __init__(self, site: str, line: str, login: Login, seed: int) -> None:
        super().__init__(f"{site}/{line}")
        self.site = site
        self.topic = f"soak/{site}/{line}"
        self.published: list[Reading] = []
        self.acknowledged: set[int] = set()
        self._login = login
        self._random = random.Random(f"{seed} {self.topic}")
        self._pending: deque[Reading] = deque()
        self._started_s = seconds()

    async def step(self) -> None:
        await self._connected()

    async def finish(self) -> None:
        self._draw_due()
        while self._pending:
            await self._connected()

    async def _connected(self) -> None:
        """Publish on one connection, for as long as it holds."""
        login = self._login
        client = aiomqtt.Client(
            login.host,
            login.port,
            username=login.username,
            password=login.password,
            identifier=self.name.replace("/", "-"),
            keepalive=10,
            timeout=CONNECT_S,
            logger=_log,
        )
        client.pending_calls_threshold = BATCH
        try:
            async with client:
                while self._pending or not self.ending:
                    await self._publish_due(client)
        except aiomqtt.MqttError as error:
            self.last_refusal = str(error)
            self.retries += 1
            await asyncio.sleep(RETRY_S)

    async def _publish_due(self, client: aiomqtt.Client) -> None:
        if not self.ending:
            self._draw_due()
        batch = [self._pending[index] for index in range(min(BATCH, len(self._pending)))]
        if not batch:
            await asyncio.sleep(TICK_S)
            return
        results = await asyncio.gather(*(self._publish(client, each) for each in batch), return_exceptions=True)
        answered = {each.n for each, result in zip(batch, results, strict=True) if result is None}
        self.acknowledged |= answered
        self._pending = deque(each for each in self._pending if each.n not in answered)
        for result in results:
            if result is not None:
                raise result

    async def _publish(self, client: aiomqtt.Client, reading: Reading) -> None:
        await client.publish(self.topic, msgspec.json.encode(reading), qos=1, timeout=ANSWER_S)

    def _draw_due(self) -> None:
        """The readings that the sensor has made by now, whether or not anybody takes them."""
        while len(self.published) < (seconds() - self._started_s) * RATE_PER_S:
            n = len(self.published)
            reading = Reading(self.name, n, BEGIN_S + n, round(self._random.gauss(20, 3), 3))
            self.published.append(reading)
            self._pending.append(reading)
