"""When a stream with a lifetime is over.

Stream-Expires-At is a moment. Stream-TTL is a time without use: reads and writes that reach this node renew it. The
last use is kept in memory only, so a restart renews every TTL; a stream is never lost early for it.
"""

from littoral.core.clock import Clock
from littoral.core.names import StreamName
from littoral.store.stream import StreamInfo
from littoral.wire.durable_streams import expiry_ms


class Expiry:
    """The lifetimes of a node's streams."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_ms = clock.wall_ms()
        # Only streams with a TTL are here, and only while they exist: bounded by the limit `streams`.
        self._used_ms: dict[StreamName, int] = {}

    def use(self, info: StreamInfo) -> None:
        """The stream is being read or written."""
        if info.ttl_s is not None:
            self._used_ms[info.name] = self._clock.wall_ms()

    def forget(self, name: StreamName) -> None:
        """The stream is gone."""
        self._used_ms.pop(name, None)

    def left_ms(self, info: StreamInfo) -> int | None:
        """Milliseconds until the stream is over if nobody uses it; None for ever; 0 or less when it is over."""
        if info.expires_at is not None:
            ends_ms = expiry_ms(info.expires_at)
        elif info.ttl_s is not None:
            used_ms = max(self._used_ms.get(info.name, 0), self._started_ms, info.created_ms)
            ends_ms = used_ms + info.ttl_s * 1000
        else:
            return None
        return ends_ms - self._clock.wall_ms()

    def is_over(self, info: StreamInfo) -> bool:
        """Whether the stream must no longer be seen."""
        left_ms = self.left_ms(info)
        return left_ms is not None and left_ms <= 0
