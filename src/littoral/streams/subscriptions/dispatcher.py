"""The background work of subscriptions: wakes are begun, sent, sent again where that fails, and ended with their leases.

Everything that was decided is in the store before anybody outside hears of it. So after a crash the same wakes go on: one
that was being sent is sent again, with the same id, generation and token.

A subscription is worked on by at most one task, and at most `wakes-in-flight` are at a time; the others wait in line. A
receiver that does not answer holds up itself.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.http import Headers
from littoral.core.limits import WAKES_IN_FLIGHT, WEBHOOK_ANSWER_S, Limits
from littoral.core.names import StreamName
from littoral.core.random import Random
from littoral.core.webhooks import Webhooks
from littoral.security.webhook_key import WakeRef, WebhookKey
from littoral.store.store import Store
from littoral.streams.subscriptions.index import Entry, Index
from littoral.streams.subscriptions.membership import Membership
from littoral.streams.subscriptions.record import Root, Subscription, Wake, links_of, names_of
from littoral.streams.subscriptions.targets import WebhookTargets
from littoral.streams.subscriptions.wakes import Wakes, reached
from littoral.wire.durable_streams import format_offset
from littoral.wire.subscriptions import SIGNATURE_HEADER, Refused, encode, is_done, signature_header, signed_part

RETRY_FIRST_MS = 1000
RETRY_CAP_MS = 60_000
RETRY_JITTER = 0.2
"""The protocol's: from one second up to sixty, and a fifth of it either way."""
STORE_RETRY_MS = 5000
"""Until what the store refused is tried again."""
LOOK_S = 60.0
"""At least so often: the wall clock, by which leases end, may be set."""
WAKE_ID_BYTES = 16

_log = logging.getLogger("littoral.hub")


class Counters(msgspec.Struct):
    """Since the hub started."""

    wakes: int = 0
    """Begun."""
    delivered: int = 0
    """Webhooks that were answered with 2xx."""
    failed: int = 0
    """Tries to wake that failed."""
    expired: int = 0
    """Leases that ended by themselves."""


class Dispatcher:
    """Of one node."""

    def __init__(
        self,
        store: Store,
        wakes: Wakes,
        membership: Membership,
        webhooks: Webhooks,
        targets: WebhookTargets,
        key: Callable[[], WebhookKey],
        clock: Clock,
        random: Random,
        limits: Limits,
    ) -> None:
        """key: made when first asked for."""
        self._store = store
        self._wakes = wakes
        self._membership = membership
        self._webhooks = webhooks
        self._targets = targets
        self._key = key
        self._clock = clock
        self._random = random
        self._limits = limits
        self.counters = Counters()
        self.index = Index(store, wakes.may_read, self.poke)
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._armed: dict[str, int] = {}
        """When each subscription is looked at next: of `subscriptions` at most, and few enough to go through all."""
        self._gone: dict[str, dict[StreamName, None]] = {}
        """Streams that were deleted, and whose cursors are still there."""
        self._work = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Subscriptions being worked on."""
        return len(self._busy)

    def new_wake_id(self) -> str:
        """Told by nothing else."""
        return f"w_{self._random.token_bytes(WAKE_ID_BYTES).hex()}"

    def poke(self, key: str) -> None:
        """A subscription may have something to do."""
        self._ready[key] = None
        self._work.set()

    async def run(self, start: Callable[[Coroutine[None, None, None], str], Any], warn: Callable[[str], None]) -> None:
        """Work until cancelled. start: begins a task that ends when this does. warn: told in words when the store
        refuses; it is tried again."""
        end = self._store.watch(self.index.changed, self._deleted)
        try:
            await self._load_all(warn)
            while True:
                self._ring()
                self._start_steps(start, warn)
                self._work.clear()
                try:
                    async with asyncio.timeout(self._quiet_s()):
                        await self._work.wait()
                except TimeoutError:
                    pass
        finally:
            end()

    def _deleted(self, name: StreamName) -> None:
        for key in self.index.deleted(name):
            self._gone.setdefault(key, {})[name] = None
            self.poke(key)

    async def _load_all(self, warn: Callable[[str], None]) -> None:
        while True:
            try:
                for key in self.index.keys_in_store():
                    self._load(key)
                    await asyncio.sleep(0)
            except LittoralError as error:
                warn(str(error))
                await asyncio.sleep(STORE_RETRY_MS / 1000)
            else:
                return

    def _load(self, key: str) -> None:
        """Look at a subscription for the first time: also at what happened while nobody did."""
        if self.index.entry(key) is None:
            return
        for name, link in names_of(links_of(self._store, key)):
            if not link.explicit and self._store.stream(name) is None:
                self._gone.setdefault(key, {})[name] = None
        self.poke(key)

    # Whose turn it is

    def _ring(self) -> None:
        now_ms = self._clock.wall_ms()
        for key in [key for key, at_ms in self._armed.items() if reached(at_ms, now_ms)]:
            del self._armed[key]
            self._ready[key] = None

    def _quiet_s(self) -> float:
        if not self._armed:
            return LOOK_S
        return min(LOOK_S, max(0, min(self._armed.values()) - self._clock.wall_ms()) / 1000)

    def _start_steps(
        self, start: Callable[[Coroutine[None, None, None], str], Any], warn: Callable[[str], None]
    ) -> None:
        most = self._limits[WAKES_IN_FLIGHT]
        for key in [key for key in self._ready if key not in self._busy]:
            if len(self._busy) >= most:
                self._limits.hit(WAKES_IN_FLIGHT)
                return
            del self._ready[key]
            self._busy.add(key)
            start(self._work_on(key, warn), f"subscription {key}")

    async def _work_on(self, key: str, warn: Callable[[str], None]) -> None:
        try:
            now_ms = self._clock.wall_ms()
            while await self._step(key, now_ms):
                now_ms = self._clock.wall_ms()
            entry = self.index.entry(key)
            at_ms = 0
            if entry is not None:
                at_ms = entry.subscription.not_before_ms if entry.wake is None else entry.wake.due_ms
            if at_ms and not reached(at_ms, now_ms):
                self._armed[key] = at_ms
            else:  # What there was to do by now was seen to; whatever changes that pokes.
                self._armed.pop(key, None)
        except LittoralError as error:
            warn(str(error))
            self._armed[key] = self._clock.wall_ms() + STORE_RETRY_MS
        except Exception as error:  # noqa: BLE001 -- what a client made may not end the node, nor again at each start
            _log.exception("subscription %s failed", key)
            warn(f"cannot work on subscription {key}: {error!r}. The log has the reason; it is tried again")
            self._armed[key] = self._clock.wall_ms() + RETRY_CAP_MS
        finally:
            self._busy.discard(key)
            self._work.set()

    # What there is to do

    async def _step(self, key: str, now_ms: int) -> bool:
        """Do the next thing that a subscription needs; whether there may be another."""
        entry = self.index.entry(key)
        gone = self._gone.pop(key, None)
        if entry is None:
            return False
        if gone is not None:
            await self._store.submit(lambda tx: self._membership.tidy(tx, key, gone))
            return True
        wake = entry.wake
        if wake is None:
            names = self.index.pending(key)
            if not names or not reached(entry.subscription.not_before_ms, now_ms):
                return False
            return await self._begin(entry, names)
        if not reached(wake.due_ms, now_ms):
            return False
        if wake.phase == "held":
            over = await self._store.submit(lambda tx: self._wakes.expire(tx, key, wake.id))
            self.counters.expired += over
            return over
        if wake.phase == "sending":
            await self._send(entry.subscription, wake)
            return True
        if not self.index.untold(entry):
            return False
        return await self._tell_again(entry.subscription, wake)

    async def _begin(self, entry: Entry, names: list[StreamName]) -> bool:
        key, wake_id = entry.subscription.key, self.new_wake_id()
        try:
            begun = await self._store.submit(lambda tx: self._wakes.begin(tx, key, names, wake_id))
        except LittoralError as error:
            await self._failed(entry.subscription, "", str(error))
            return False
        self.counters.wakes += begun
        if begun:
            self.index.woken(key)
        return begun

    async def _tell_again(self, subscription: Subscription, wake: Wake) -> bool:
        try:
            await self._store.submit(lambda tx: self._wakes.tell_again(tx, subscription.key))
        except LittoralError as error:
            await self._failed(subscription, wake.id, str(error))
        return False

    async def _failed(self, subscription: Subscription, wake_id: str, error: str) -> None:
        self.counters.failed += 1
        delay_ms = retry_delay_ms(subscription.failures + 1, self._random)
        await self._store.submit(lambda tx: self._wakes.failed(tx, subscription.key, wake_id, error, delay_ms))

    async def _send(self, subscription: Subscription, wake: Wake) -> None:
        url = subscription.url
        assert url is not None
        timeout_s = min(subscription.lease_ttl_ms / 1000, self._limits[WEBHOOK_ANSWER_S])
        try:
            headers, body = self._signed(subscription, wake)
            admits = self._targets.admits(url)
            response = await self._webhooks.post(url, headers, body, admits, timeout_s)
        except (LittoralError, Refused) as error:
            await self._failed(subscription, wake.id, str(error))
            return
        except Exception:  # noqa: BLE001 -- whatever it is, the wake is tried again, and ever more seldom
            _log.exception("subscription %s: a webhook to %s failed", subscription.key, url)
            await self._failed(subscription, wake.id, f"the node failed to call {url}; its log has the reason")
            return
        if not 200 <= response.status < 300:
            await self._failed(subscription, wake.id, f"{url} answered {response.status}")
            return
        self.counters.delivered += 1
        done = is_done(response.body)
        await self._store.submit(lambda tx: self._wakes.sent(tx, subscription.key, wake.id, done=done))

    def _signed(self, subscription: Subscription, wake: Wake) -> tuple[Headers, bytes]:
        signer = self._key()
        body = webhook_body(subscription, wake, self._store.node, signer)
        at_s = self._clock.wall_ms() // 1000
        signature = signature_header(at_s, signer.kid, signer.sign(signed_part(at_s, body)))
        return (("Content-Type", "application/json"), (SIGNATURE_HEADER, signature)), body


def retry_delay_ms(failures: int, random: Random) -> int:
    """How long to wait after so many failures in a row."""
    delay_ms = min(RETRY_FIRST_MS << min(failures - 1, 16), RETRY_CAP_MS)
    return round(delay_ms * random.uniform(1 - RETRY_JITTER, 1 + RETRY_JITTER))


def webhook_body(subscription: Subscription, wake: Wake, node: str, signer: WebhookKey) -> bytes:
    """What a receiver is told. The same for every try of a wake."""
    ref = WakeRef(subscription.key, subscription.generation, wake.id)
    return encode(
        {
            "subscription_id": subscription.id,
            "wake_id": wake.id,
            "generation": subscription.generation,
            "streams": told_streams(subscription, wake, node),
            "callback_url": f"{subscription.base_url}/subscriptions/{subscription.id}/callback",
            "callback_token": signer.token(ref),
        }
    )


def told_streams(subscription: Subscription, wake: Wake, node: str) -> list[dict[str, Any]]:
    """The streams of a wake, as they are told of."""
    root = Root(subscription.root, node)
    return [
        {
            "path": name.partition("/")[2] if root.name == "own" else name,
            "link_type": "explicit" if woken.explicit else "glob",
            "acked_offset": format_offset(woken.acked),
            "tail_offset": format_offset(woken.tail),
            "has_pending": True,
        }
        for name, woken in wake.streams.items()
    ]
