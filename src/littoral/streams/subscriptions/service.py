"""The subscriptions of one node, wired together."""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.resources.model import Streams
from littoral.core.webhooks import Webhooks
from littoral.security.webhook_key import WebhookKey, load_or_create_webhook_key
from littoral.store.store import Store
from littoral.streams.access import AccessList
from littoral.streams.subscriptions.api import SubscriptionApi
from littoral.streams.subscriptions.dispatcher import Counters, Dispatcher
from littoral.streams.subscriptions.membership import Membership
from littoral.streams.subscriptions.targets import WebhookTargets
from littoral.streams.subscriptions.wakes import Wakes

FAILING_SHOWN = 20
"""Subscriptions whose failure a status tells of; how many they are is told too."""


class SubscriptionState(NamedTuple):
    """All subscriptions at one moment."""

    total: int
    waking: int
    """Being worked on."""
    failing: int
    """Whose last try to wake failed."""
    failures: dict[str, str]
    """Of some of these: id -> why."""
    counters: Counters


class Subscriptions:
    """Use `api` for requests, and `run` in the background."""

    def __init__(
        self,
        store: Store,
        spec: Streams,
        webhooks: Webhooks,
        disk: Disk,
        clock: Clock,
        random: Random,
        limits: Limits,
    ) -> None:
        self._disk = disk
        self._random = random
        self._loaded: WebhookKey | None = None
        wakes = Wakes(store.node, limits, AccessList(spec.access))
        membership = Membership(store.node, limits)
        targets = WebhookTargets(spec.webhooks.allow, webhooks.flaw)
        self._dispatcher = Dispatcher(store, wakes, membership, webhooks, targets, self._key, clock, random, limits)
        base_url = spec.webhooks.base_url
        self.api = SubscriptionApi(
            store, wakes, membership, self._dispatcher, targets, self._key, clock, limits, base_url
        )

    def _key(self) -> WebhookKey:
        if self._loaded is None:
            self._loaded = load_or_create_webhook_key(self._disk, self._random)
        return self._loaded

    async def run(self, start: Callable[[Coroutine[None, None, None], str], Any], warn: Callable[[str], None]) -> None:
        """See `Dispatcher.run`."""
        await self._dispatcher.run(start, warn)

    def state(self) -> SubscriptionState:
        """For status and metrics."""
        index = self._dispatcher.index
        failures = {
            entry.subscription.key: entry.subscription.error for entry in index.entries() if entry.subscription.failures
        }
        shown = dict(sorted(failures.items())[:FAILING_SHOWN])
        return SubscriptionState(
            len(index), self._dispatcher.in_flight, len(failures), shown, self._dispatcher.counters
        )
