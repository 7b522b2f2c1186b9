"""The session of a bridge at this node's broker: its beginning, before there is a connection to the other broker, and its end.

What is to go out waits in it from then on.
"""

import asyncio
from collections.abc import Callable, Sequence

from littoral.core.errors import Unavailable
from littoral.iot.bridge_near import BridgeNear
from littoral.iot.broker import Broker
from littoral.wire import mqtt
from littoral.wire.mqtt import Packet, Subscription

_SUBSCRIBE_ID = 1


class BridgeSession:
    """Implements `NearHost`."""

    def __init__(
        self, broker: Broker, name: str, pass_word: str, later: Callable[[Callable[[], None]], object]
    ) -> None:
        """name: of the bridge. pass_word, later: see BridgeNear."""
        self._name = name
        self._near = BridgeNear(broker, name, pass_word, self, later)
        self._wanted: Sequence[Subscription] = ()
        self._was_there = False
        self._begun: asyncio.Future[bool] | None = None

    async def begin(self, wanted: Sequence[Subscription]) -> bool:
        """Have a session with these subscriptions and no others, on disk; whether there was a session before. Raises
        Unavailable."""
        self._wanted = wanted
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._begun = begun
        # It takes no messages: they are sent when there is somewhere to send them to.
        self._near.connect(1)
        try:
            return await begun
        finally:
            self._near.leave()

    def end(self) -> None:
        """Forget the session, and what waits in it."""
        self._near.connect(1, forget=True)
        self._near.leave()

    # --- NearHost

    def from_near(self, packet: Packet) -> None:
        """See NearHost."""
        match packet:
            case mqtt.ConnAck():
                self._was_there = packet.session_present
                if packet.reason:
                    self._refused(packet.reason.name)
                elif not self._near.subscribe(_SUBSCRIBE_ID, self._wanted):
                    self._done()
            case mqtt.SubAck() if any(reason.failed for reason in packet.reasons):
                self._refused("there is no room for its subscriptions (limit mqtt-subscriptions)")
            case mqtt.SubAck():
                self._done()
            case _:
                pass

    def near_flushed(self) -> None:
        """See NearHost."""

    def near_closed(self, why: str) -> None:
        """See NearHost."""
        self._refused(why)

    def pause_far(self, *, paused: bool) -> None:
        """See NearHost."""

    def _done(self) -> None:
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(self._was_there)

    def _refused(self, why: str) -> None:
        if self._begun is not None and not self._begun.done():
            cause, remedy = (
                f"this node's broker refused it: {why}",
                "Raise the limit that it names; the log may say more",
            )
            self._begun.set_exception(Unavailable("begin bridge", self._name, cause, remedy))
