"""One request, as a cache looks at it."""

from collections.abc import Mapping

from littoral.gateway.exchange import Exchange
from littoral.gateway.origins.transport import OriginRequest
from littoral.wire.caching.directives import RequestDirectives


class Asked:
    """One request, as far as it outlives its exchange."""

    __slots__ = ("directives", "exchange", "key", "method", "now_s", "request", "since", "table")

    def __init__(
        self,
        exchange: Exchange,
        key: str,
        fields: Mapping[str, str],
        directives: RequestDirectives | None,
        request: OriginRequest,
        now_s: float,
        since: int,
    ) -> None:
        self.exchange = exchange
        self.method = exchange.method
        self.key = key
        self.table = fields
        self.directives = directives
        self.request = request
        self.now_s = now_s
        self.since = since
        """The last purge when it came, and then when the origin was asked: what comes after that concerns the answer."""
