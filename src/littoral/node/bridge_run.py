"""One bridge of the node's document: connected, and connected again."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from littoral.core.backoff import Backoff
from littoral.core.errors import LittoralError, Unavailable
from littoral.core.limits import RETRY_DELAY_MS
from littoral.core.mqtt_limits import MQTT_CONNECT_S
from littoral.core.random import Random
from littoral.core.resources.mqtt_bridge import MqttBridge
from littoral.core.resources.units import parse_duration_ms
from littoral.drivers.mqtt_client import MqttClientConnection, MqttTls, connect, read_password
from littoral.iot.bridge import Bridge
from littoral.iot.bridge_names import bridge_client
from littoral.iot.bridge_session import BridgeSession
from littoral.iot.bridge_terms import BridgeCounters, BridgeTerms
from littoral.iot.bridge_topics import BridgeTopics
from littoral.iot.broker import Broker
from littoral.node.bridge_memory import BridgeMemory, Remembered
from littoral.node.mqtt_messages import BridgeState
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5

WELL_S = 10.0
"""A connection that was open for so long was well; one that ends sooner is tried again after a wait that grows."""
SILENCES = 3
"""Connections in a row that another broker of MQTT 3.1.1 ends when it is told of a bridge, until it is not told any more."""
_log = logging.getLogger("littoral.hub")


class BridgeParts(msgspec.Struct, frozen=True):
    """What bridges share."""

    node: str
    lineage: str
    """Of the node's store; it marks the messages that have been here."""
    broker: Broker
    pass_word: str
    """See BridgeAccess."""
    memory: BridgeMemory
    random: Random
    warn: Callable[[str], None]


class BridgeRun:
    """Implements `BridgeHost`."""

    def __init__(self, config: MqttBridge, parts: BridgeParts, counters: BridgeCounters) -> None:
        """counters: those of the bridge of this name, which there may have been before."""
        self.config = config
        self.counters = counters
        self._parts = parts
        self._topics = BridgeTopics(config.topics)
        self._level = MQTT_5 if config.version == "5" else MQTT_3_1_1
        self._client_id = config.client_id or f"{parts.node}-{config.name}"
        self._subject = f"{config.name} to {config.address}"
        self._asks_as_bridge = self._level == MQTT_3_1_1
        self._clock = parts.broker.clock
        self._state: str = "connecting"
        self._since_ms = self._clock.wall_ms()
        self._opened_s: float | None = None
        self._error: LittoralError | None = None
        self._warned = ""
        self._bridge: Bridge | None = None
        self._was_answered = False
        self._silences = 0
        self._closed: asyncio.Future[LittoralError | None] | None = None

    # --- Life

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(self._parts.random, self._parts.broker.limits[RETRY_DELAY_MS])
        is_begun = False
        while True:
            try:
                is_begun = is_begun or await self._begin()
                error = await self._connection()
            except LittoralError as caught:
                error = caught
            if self._opened_s is not None and self._clock.monotonic_s() - self._opened_s >= WELL_S:
                backoff.reset()
            self._opened_s = None
            if error is None:
                continue
            self._note("waiting", error)
            await asyncio.sleep(backoff.next_delay_s())
            self._note("connecting", error)

    def stop(self, *, forget: bool) -> None:
        """To be called when the task of `run` is cancelled: say goodbye. forget: this bridge is no more, and neither are its
        sessions."""
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            bridge.stop(forget=forget)

    async def _begin(self) -> bool:
        parts, name = self._parts, self.config.name
        if parts.broker.sessions.get(bridge_client(name)) is None:
            # Identifiers of messages begin anew here, and must there. Said before there is a session: a crash between the two would leave
            # one that the other's does not fit.
            parts.memory.forget(name)
        session = BridgeSession(parts.broker, name, parts.pass_word, asyncio.get_running_loop().call_soon)
        await session.begin(self._topics.here)
        return True

    async def _connection(self) -> LittoralError | None:
        """Connect, and return when that is over: with what ended it, or None where the next follows at once."""
        config, limits = self.config, self._parts.broker.limits
        terms = await self._terms()
        host, _, port = config.address.rpartition(":")
        closed = self._closed = asyncio.get_running_loop().create_future()

        def make(way: MqttClientConnection) -> Bridge:
            parts, later = self._parts, asyncio.get_running_loop().call_soon
            bridge = self._bridge = Bridge(terms, parts.broker, parts.pass_word, self.counters, way, self, later)
            return bridge

        try:
            await connect(self._subject, host.strip("[]"), int(port), self._tls(host), limits[MQTT_CONNECT_S], make)
            error = await closed
        finally:
            self.stop(forget=False)
        return self._after(terms, error)

    def _after(self, terms: BridgeTerms, error: LittoralError | None) -> LittoralError | None:
        """What follows from the end of a connection, where the other broker may not have known what a bridge is."""
        if self._level == MQTT_5 or error is None or self._was_answered:
            self._silences = 0
            return error
        # One that ends may close connections that it has not answered yet; one that does not know bridges does it each time.
        self._silences += 1
        if not terms.asks_as_bridge or self._silences < SILENCES:
            self._asks_as_bridge = True
            return error
        self._silences = 0
        if not self._topics.may_return:
            self._asks_as_bridge = False
            return None
        cause = f"messages that go both ways would come back: it knows no bridges in MQTT 3.1.1 ({error.cause})"
        remedy = 'Set `version: "5"`, or give the two directions different prefixes at the other broker'
        return Unavailable("keep bridge", self._subject, cause, remedy)

    async def _terms(self) -> BridgeTerms:
        config, parts = self.config, self._parts
        known = parts.memory.get(config.name)
        if known is not None and not known.is_of(config.address, self._client_id, parts.lineage):
            known = None
        password = None
        if config.password_file is not None:
            password = await read_password(config.password_file, self._subject)
        return BridgeTerms(
            name=config.name,
            address=config.address,
            topics=self._topics,
            level=self._level,
            client_id=self._client_id,
            node=parts.lineage,
            keep_alive_s=parse_duration_ms(config.keep_alive) // 1000,
            username=config.username,
            password=password,
            asks_as_bridge=self._asks_as_bridge,
            begins_anew=known is None,
            known=frozenset() if known is None else known.filters,
            subscribed={} if known is None else known.subscribed,
        )

    def _tls(self, host: str) -> MqttTls | None:
        tls = self.config.tls
        if tls is None:
            return None
        shown = tls.certificate
        return MqttTls(
            tls.ca,
            None if shown is None else shown.certificate,
            None if shown is None else shown.key,
            tls.server_name or host.strip("[]"),
        )

    # --- BridgeHost

    def remember(self, filters: frozenset[str], subscribed: Mapping[str, int]) -> None:
        """See BridgeHost."""
        address, lineage = self.config.address, self._parts.lineage
        remembered = Remembered(address, self._client_id, lineage, filters, dict(subscribed))
        self._parts.memory.put(self.config.name, remembered)

    def opened(self, error: LittoralError | None) -> None:
        """See BridgeHost."""
        self._opened_s = self._clock.monotonic_s()
        self._note("connected", error)

    def closed(self, error: LittoralError | None) -> None:
        """See BridgeHost."""
        bridge, self._bridge = self._bridge, None
        self._was_answered = bridge is not None and bridge.was_answered
        if bridge is not None and bridge.is_unknown:
            self._silences = SILENCES
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(error)

    # --- What is seen

    def state(self) -> BridgeState:
        """Of this moment."""
        session = self._parts.broker.sessions.get(bridge_client(self.config.name))
        counters = self.counters
        deliveries = None if session is None else session.deliveries
        return BridgeState(
            self.config.name,
            self.config.address,
            self._state,
            self._since_ms,
            None if self._error is None else str(self._error),
            0 if deliveries is None else deliveries.waiting,
            0 if deliveries is None else deliveries.dropped,
            **msgspec.structs.asdict(counters),
        )

    def _note(self, state: str, error: LittoralError | None) -> None:
        if state != self._state:
            self._state, self._since_ms = state, self._clock.wall_ms()
        self._error = error
        # Each try says the same until something changes.
        if error is not None and str(error) != self._warned:
            self._parts.warn(str(error))
        elif state == "connected" and error is None:
            _log.info("bridge %s is connected", self._subject)
        if state == "connected" or error is not None:
            self._warned = str(error or "")
