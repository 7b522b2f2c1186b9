"""What becomes of a client that publishes too fast."""

import asyncio
import sys
from typing import TYPE_CHECKING

from littoral.core.mqtt_limits import MQTT_MESSAGE_RATE
from littoral.iot.bridge_names import is_bridge
from littoral.iot.endings import MESSAGE_RATE
from littoral.iot.rates import MessageRate

if TYPE_CHECKING:
    from littoral.iot.broker import Broker
    from littoral.iot.connection import Connection

OVER_RATE = 4
"""See Connection.hold."""
_LOOKS_PER_S = 64
"""At the clock, of a client that is as fast as it may be: a read with one message must not pay for it."""


class Pace:
    """That of one connection."""

    __slots__ = ("_broker", "_connection", "_rate", "_resting", "count", "look_at")

    def __init__(self, broker: "Broker", connection: "Connection", client_id: str) -> None:
        most = broker.limits[MQTT_MESSAGE_RATE]
        self._broker = broker
        self._connection = connection
        self._rate = MessageRate(broker.clock, most)
        self.count = 0
        """Publishes since it looked last."""
        self.look_at = sys.maxsize if is_bridge(client_id) else most // _LOOKS_PER_S
        """How many may come until then. The node's own bridges may be as fast as they like: the messages are other clients'."""
        self._resting = False

    def took(self, count: int) -> None:
        """So many publishes have come in one read."""
        self.count += count
        if self.count >= self.look_at:
            self.look()

    def look(self) -> None:
        """Whether it is too fast."""
        rest_s = self._rate.rest_s(self.count)
        self.count = 0
        if not rest_s or self._resting:
            return
        broker = self._broker
        broker.limits.hit(MQTT_MESSAGE_RATE)
        if broker.rates.messages == "disconnect":
            most = broker.limits[MQTT_MESSAGE_RATE]
            self._connection.close(MESSAGE_RATE, f"it publishes more than {most} messages a second")
            return
        self._resting = True
        self._connection.hold(OVER_RATE)
        broker.tasks.start(self._rest(rest_s), "mqtt rate")

    async def _rest(self, rest_s: float) -> None:
        await asyncio.sleep(rest_s)
        self._resting = False
        self._connection.go(OVER_RATE)
