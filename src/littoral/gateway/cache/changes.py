"""What answers to requests that are not for a route's cache mean for it."""

import contextlib

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput
from littoral.gateway.cache.keeper import Keeper
from littoral.gateway.cache.key import SEPARATOR, MakeKey, url_key
from littoral.gateway.cache.sender import Sender
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import OriginAnswer
from littoral.gateway.target import RequestTarget, read_target
from littoral.wire.caching.cache_status import cache_status
from littoral.wire.caching.fields import table as table_of
from littoral.wire.caching.invalidation import invalidated
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.selection import variant_key
from littoral.wire.caching.storing import Stored, judge


class Changes:
    """Those of one route."""

    def __init__(self, policy: CachePolicy, key: MakeKey, keeper: Keeper, sender: Sender, clock: Clock) -> None:
        self._policy = policy
        self._key = key
        self._keeper = keeper
        self._sender = sender
        self._clock = clock

    def note(
        self, exchange: Exchange, target: RequestTarget, answer: OriginAnswer, fields: Fields, since: int
    ) -> Fields:
        """See RouteCache.note."""
        origin = url_key(exchange.scheme, exchange.host, "")
        for changed in invalidated(exchange.method, answer.status, origin, str(target), fields):
            # What an answer names may be no target: then nothing was ever stored there.
            with contextlib.suppress(InvalidInput):
                url = self._key(exchange, read_target(changed)).partition(SEPARATOR)[0]
                self._keeper.drop_url(url)
                self._sender.changed(url)
        if exchange.method == "POST" and answer.whole is not None:
            self._keep_posted(exchange, target, answer, fields, since)
        return [*fields, ("cache-status", cache_status(self._policy.name, forward="method"))]

    def _keep_posted(
        self, exchange: Exchange, target: RequestTarget, answer: OriginAnswer, fields: Fields, since: int
    ) -> None:
        """Store an answer to POST that says that it is what GET would give (RFC 9110, section 9.3.3)."""
        assert answer.whole is not None
        asked, now_s = table_of(exchange.fields), self._clock.wall_ms() / 1000
        uri = url_key(exchange.scheme, exchange.host, str(target))
        stored = judge("POST", asked, answer.status, fields, now_s, now_s, self._policy, uri=uri)
        if isinstance(stored, Stored) and not stored.parts:
            variant = variant_key(stored.vary, asked)
            self._keeper.store(self._key(exchange, target), None, stored, variant, answer.whole, since)
