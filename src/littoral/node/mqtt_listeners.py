"""The further listeners of a node's MQTT broker: TLS, client certificates, WebSocket. They follow the node's document while it runs.

added      its socket is bound, and given to the supervisor, which keeps it for the hubs to come (node/handover)
changed    who connects meanwhile waits in the socket; clients stay, unless who may come by it is decided otherwise now
removed    its clients are closed, and who connects is refused
wrong      what was there before goes on, the log says what is wrong, and it is tried again
"""

import asyncio
from collections.abc import Callable, Iterable

from msgspec import Struct

from littoral.core.errors import LittoralError
from littoral.core.resources import mqtt
from littoral.core.tasks import Tasks
from littoral.drivers.mqtt import Acceptor, MqttClient, MqttListener
from littoral.iot.channel import Channel
from littoral.iot.endings import LISTENER
from littoral.node.mqtt_sockets import MqttSockets, Place, certificates_of, listener_places

AGAIN_S = 5.0
"""How soon a listener that could not be opened is tried again."""


class _Open(Struct, frozen=True):
    config: mqtt.MqttListener
    acceptor: Acceptor
    keeper: "asyncio.Task[None] | None"


class MqttListeners:
    """Made once; `want` may be called whenever the document has changed."""

    def __init__(self, server: MqttListener, sockets: MqttSockets, tasks: Tasks, warn: Callable[[str], None]) -> None:
        """warn: told why a listener is not as the document says, once."""
        self._server = server
        self._sockets = sockets
        self._tasks = tasks
        self._warn = warn
        self._wanted: dict[Place, mqtt.MqttListener] = {}
        self._open: dict[Place, _Open] = {}
        self._wrong: dict[Place, str] = {}
        self._changed = asyncio.Event()

    def want(self, listeners: Iterable[mqtt.MqttListener]) -> None:
        """Have these and no others, as soon as `run` comes to it."""
        self._wanted = listener_places(listeners)
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            await self.apply()
            try:
                async with asyncio.timeout(AGAIN_S if self._wrong else None):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def apply(self) -> None:
        """Bring about what is wanted, as far as that can be done."""
        wanted = self._wanted
        for place in [each for each in self._sockets.places() if each not in wanted]:
            self._close(place)
        for place in [each for each in self._wrong if each not in wanted]:
            del self._wrong[place]
        for place, config in wanted.items():
            known = self._open.get(place)
            if known is not None and known.config == config:
                self._wrong.pop(place, None)
                continue
            try:
                await self._serve(place, config)
            except (LittoralError, OSError) as error:
                self._failed(place, known, str(error))
            else:
                self._wrong.pop(place, None)

    def _failed(self, place: Place, known: _Open | None, error: str) -> None:
        if self._wrong.get(place) != error:
            rest = "It is as it was before" if known is not None else "It is tried again"
            self._warn(f"the MQTT listener {place[0]} is not as the document says: {error}. {rest}")
        self._wrong[place] = error

    async def _serve(self, place: Place, config: mqtt.MqttListener) -> None:
        """Raises LittoralError, OSError, and then changes nothing."""
        certificates = certificates_of(config)
        listening = self._sockets.take(place).dup()
        known = self._open.pop(place, None)
        if known is not None:
            self._leave(known)
        # TLS and WebSocket take longer to import than the broker, and few nodes listen so.
        from littoral.node.mqtt_door import serve  # noqa: PLC0415

        acceptor = await serve(config, listening, self._server, certificates)
        keeper = None
        if certificates is not None:
            keeping = certificates.keep(self._warn, self._server.broker.clock)
            keeper = self._tasks.start(keeping, f"certificates of {place[0]}")
        self._open[place] = _Open(config, acceptor, keeper)
        if known is not None and _lets_in_others(known.config, config):
            self._end(place[0], "who may come by its listener is decided otherwise now")

    def _close(self, place: Place) -> None:
        known = self._open.pop(place, None)
        if known is not None:
            self._leave(known)
            self._end(place[0], "its listener is not there any more")
        try:
            self._sockets.give_up(place)
        except OSError as error:
            self._warn(f"the MQTT listener {place[0]} is closed, and the supervisor does not know it: {error}")

    def _leave(self, known: _Open) -> None:
        self._server.remove(known.acceptor)
        if known.keeper is not None:
            known.keeper.cancel()

    def _end(self, address: str, why: str) -> None:
        def is_its(channel: Channel) -> bool:
            return isinstance(channel, MqttClient) and channel.came_to == address

        self._server.broker.end(is_its, LISTENER, why)


def _lets_in_others(before: mqtt.MqttListener, now: mqtt.MqttListener) -> bool:
    """Whether one who came by it as it was might not get in as it is."""
    return bool(before.certificates) != bool(now.certificates) or before.client_certificates != now.client_certificates
