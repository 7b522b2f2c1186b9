"""An app that says who may connect to the broker: `spec.mqtt.authenticator`.

    authenticate(login)              -> True, False, or a dict (`_Answer`)
    authenticate_step(login, step)   -> the same; a dict with `challenge` asks the client for one step more

`login` is a dict: client_id, username, password (bytes), address, listener, certificate (its subject), version. `step` has method,
data and state, which is what the last answer to this client had as `state`. Whatever goes wrong, and whatever takes too long,
keeps the client out. A password is in no log, and none is kept: answers are remembered by a keyed hash of what was asked.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.errors import (
    FunctionFailed,
    InvalidInput,
    LimitReached,
    LittoralError,
    NotFound,
    TooLarge,
    Unavailable,
)
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import (
    MQTT_LOGIN_BYTES,
    MQTT_LOGIN_CACHE,
    MQTT_LOGIN_CALLS,
    MQTT_LOGIN_FILTERS,
    MQTT_LOGIN_MS,
    MQTT_LOGIN_STEPS,
)
from littoral.core.random import Random
from littoral.core.resources import parse_duration_ms
from littoral.core.resources.mqtt_authenticator import MqttAuthenticator
from littoral.core.resources.topic_filters import is_topic_filter
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.calls.function_request import FunctionRequest
from littoral.functions.event_messages import Returned, Rpc, rpc_body
from littoral.functions.messages import Answer
from littoral.iot.access import Challenge, Client, Exchange, Proved, Refused, Rights, Step
from littoral.telemetry.metrics import Family, Sample
from littoral.wire.mqtt import MQTT_5, ReasonCode

_AGAIN_S = 0.1
"""Between two tries to reach an app that is not there yet: after a restart devices are back sooner than it is."""
_ID_BYTES = 8
_OPERATION = "ask who may connect of"
_UNKNOWN = Refused("its credentials cannot be checked now", ReasonCode.SERVER_UNAVAILABLE)
_decode_returned = msgspec.msgpack.Decoder(Returned).decode
_encode = msgspec.msgpack.Encoder().encode

OUTCOMES = ("allowed", "denied", "failed", "remembered")
"""Of being asked; remembered: it was not, for its answer of before was good."""
Call = Callable[[str, FunctionRequest], Awaitable[Answer]]


class _Answer(Struct, forbid_unknown_fields=True):
    """What the app said."""

    allow: bool = False
    username: str | None = None
    """What the client is called from now on."""
    publish: list[str] | None = None
    """Topic filters: nothing else, and of these what the node's document allows; None: what the document allows."""
    subscribe: list[str] | None = None
    expires_in: float | None = None
    """When its connection ends, in s."""
    data: bytes | None = None
    """The last word to a client that proves who it is step by step."""
    challenge: bytes | None = None
    """The next word to it, if it is not the last."""
    state: Any = None


class AppAuthenticator:
    """Asks the app."""

    def __init__(
        self, config: MqttAuthenticator, clock: Clock, random: Random, limits: Limits, warn: Callable[[str], None]
    ) -> None:
        """warn: told why the app could not say who may connect."""
        self._config = config
        self._clock = clock
        self._random = random
        self._limits = limits
        self._warn = warn
        self._ttl_s = parse_duration_ms(config.ttl) / 1000
        self._key = random.token_bytes(32) if self._ttl_s else b""
        self._remembered: OrderedDict[bytes, tuple[float, Proved | Refused]] = OrderedDict()
        self._calls = asyncio.Semaphore(limits[MQTT_LOGIN_CALLS])
        self._outcomes = dict.fromkeys(OUTCOMES, 0)
        self.call: Call | None = None
        """Calls an app; None while this node runs none."""

    @property
    def app(self) -> str:
        """Whom it asks."""
        return self._config.app

    @property
    def asks_everybody(self) -> bool:
        """Whether also those are asked of who were let in already."""
        return self._config.asked == "everybody"

    def families(self) -> list[Family]:
        """What is counted."""
        return login_families(self._outcomes)

    async def ask(self, client: Client, password: bytes | None) -> Proved | Refused:
        """Whether a client may connect."""
        login = _login(client, password)
        place = hashlib.blake2b(_encode(login), key=self._key).digest() if self._ttl_s else b""
        if (known := self._recall(place)) is not None:
            self._outcomes["remembered"] += 1
            return known
        step = await self._step("authenticate", client, [login])
        if isinstance(step, Challenge):
            return self._failed(client, self._wrong("authenticate asks for no steps; authenticate_step does"))
        if place and step is not _UNKNOWN:
            self._remember(place, step)
        return step

    def exchange(self, client: Client, method: str) -> Exchange | None:
        """See Access.exchange."""
        return _AppExchange(self, client, method) if method in self._config.methods else None

    async def step(self, exchange: "_AppExchange", data: bytes | None) -> Step:
        """What comes next in an exchange."""
        login = _login(exchange.client, None)
        exchange.steps += 1
        if exchange.steps > self._limits[MQTT_LOGIN_STEPS]:
            self._limits.hit(MQTT_LOGIN_STEPS)
            return Refused("its authentication has too many steps")
        said = {"method": exchange.method, "data": data, "state": exchange.state}
        return await self._step("authenticate_step", exchange.client, [login, said], exchange)

    # --- The app

    async def _step(
        self, method: str, client: Client, arguments: list[Any], exchange: "_AppExchange | None" = None
    ) -> Step:
        try:
            async with asyncio.timeout(self._limits[MQTT_LOGIN_MS] / 1000):
                answer = await self._answer(method, client, arguments)
        except TimeoutError:
            self._limits.hit(MQTT_LOGIN_MS)
            return self._failed(client, f"it did not answer within {self._limits[MQTT_LOGIN_MS]} ms")
        except LittoralError as error:
            return self._failed(client, error.cause)
        if answer.challenge is not None and not answer.allow:
            if exchange is not None:
                exchange.state = answer.state
            return Challenge(answer.challenge)
        if not answer.allow:
            self._outcomes["denied"] += 1
            return Refused(f"app {self.app} does not let it in")
        self._outcomes["allowed"] += 1
        rights = None
        if answer.publish is not None or answer.subscribe is not None:
            rights = Rights(_filters(answer.publish), _filters(answer.subscribe))
        until_s = None if answer.expires_in is None else self._clock.monotonic_s() + answer.expires_in
        return Proved(answer.data, answer.username, rights, until_s)

    def _failed(self, client: Client, cause: str) -> Refused:
        self._outcomes["failed"] += 1
        self._warn(
            f"MQTT client {client.client_id[:80]!r} was refused: app {self.app}, which is asked who may connect, failed: {cause}"
        )
        return _UNKNOWN

    async def _answer(self, method: str, client: Client, arguments: list[Any]) -> _Answer:
        """Raises LittoralError."""
        # Loaded where an app is asked.
        from littoral.workers.rpc_values import dump_values, load_values  # noqa: PLC0415

        rpc = Rpc(self._config.entrypoint or "", method, dump_values([arguments, {}]), {}, 1)
        subject = f"{method} for an MQTT client"
        identifier = self._random.token_bytes(_ID_BYTES).hex()
        wall_ms = self._limits[MQTT_LOGIN_MS]
        request = FunctionRequest("rpc", subject, [], rpc_body(rpc), identifier, "rpc", wall_ms)
        if self._calls.locked():
            self._limits.hit(MQTT_LOGIN_CALLS)
        async with self._calls:
            answer = await self._asked(request)
        if len(answer.body) > self._limits[MQTT_LOGIN_BYTES]:
            self._limits.hit(MQTT_LOGIN_BYTES)
            raise TooLarge(_OPERATION, self.app, f"its answer has {len(answer.body)} bytes", "See mqtt-login-bytes")
        try:
            returned = _decode_returned(answer.body)
            if returned.error:
                # Its text may have in it whatever the code had at hand, a password for one.
                cause = f"{method} raised {returned.error[:80]!r}; the app's log says where"
                raise FunctionFailed(_OPERATION, self.app, cause)
            said = load_values(returned.value)
            found = _Answer(allow=said) if isinstance(said, bool) else msgspec.convert(said, _Answer, strict=True)
        except (*UNDECODABLE, ValueError, TypeError) as error:
            # Without what it said: there may be a password in it.
            cause = self._wrong("expected True, False, or a dict with allow")
            raise InvalidInput(_OPERATION, self.app, cause) from error
        self._check(found)
        return found

    async def _asked(self, request: FunctionRequest) -> Answer:
        """As long as nobody waits in vain: until the app is there."""
        while True:
            try:
                if self.call is None:
                    raise Unavailable(_OPERATION, self.app, "this node runs no apps yet")
                return await self.call(self.app, request)
            except (Unavailable, NotFound):
                await asyncio.sleep(_AGAIN_S)

    def _check(self, answer: _Answer) -> None:
        """Raises InvalidInput, LimitReached."""
        filters = [*(answer.publish or ()), *(answer.subscribe or ())]
        if len(filters) > self._limits[MQTT_LOGIN_FILTERS]:
            self._limits.hit(MQTT_LOGIN_FILTERS)
            raise LimitReached(
                _OPERATION, self.app, f"it allows {len(filters)} topic filters", "See mqtt-login-filters"
            )
        if not all(is_topic_filter(each) for each in filters):
            raise InvalidInput(_OPERATION, self.app, self._wrong("publish and subscribe have topic filters"))
        if answer.username == "" or (answer.expires_in is not None and not answer.expires_in > 0):
            cause = self._wrong("username has a name, and expires_in seconds")
            raise InvalidInput(_OPERATION, self.app, cause)

    def _wrong(self, expected: str) -> str:
        return f"its answer is not understood: {expected}"

    # --- What is remembered

    def _recall(self, place: bytes) -> Proved | Refused | None:
        until_s, known = self._remembered.get(place, (0.0, None))
        return known if until_s > self._clock.monotonic_s() else None

    def _remember(self, place: bytes, answer: Proved | Refused) -> None:
        until_s = self._clock.monotonic_s() + self._ttl_s
        if isinstance(answer, Proved) and answer.until_s is not None:
            until_s = min(until_s, answer.until_s)
        self._remembered[place] = until_s, answer
        self._remembered.move_to_end(place)
        while len(self._remembered) > self._limits[MQTT_LOGIN_CACHE]:
            self._limits.hit(MQTT_LOGIN_CACHE)
            self._remembered.popitem(last=False)


class _AppExchange:
    """Implements `Exchange`."""

    def __init__(self, authenticator: AppAuthenticator, client: Client, method: str) -> None:
        self._authenticator = authenticator
        self.client = client
        self.method = method
        self.state: Any = None
        """The app's own: it is not the same worker each time."""
        self.steps = 0

    def step(self, data: bytes | None) -> Awaitable[Step]:
        """See Exchange."""
        return self._authenticator.step(self, data)


def login_families(outcomes: Mapping[str, int]) -> list[Family]:
    """What is counted of an app that says who may connect."""
    samples = [Sample(float(count), {"outcome": outcome}) for outcome, count in outcomes.items()]
    text = "Logins of MQTT clients that an app was asked about, by what came of it."
    return [Family("littoral_mqtt_authenticator", "counter", text, samples)]


def _login(client: Client, password: bytes | None) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "username": client.username,
        "password": password,
        "address": client.arrival.address,
        "listener": client.arrival.listener,
        "certificate": client.arrival.subject or None,
        "version": "5" if client.level == MQTT_5 else "3.1.1",
    }


def _filters(said: list[str] | None) -> tuple[str, ...] | None:
    return None if said is None else tuple(said)
