"""How the messages of a queue are given away: the consumer's settings, with everything decided."""

from msgspec import Struct

from littoral.core.event_limits import QUEUE_BATCHES, QUEUE_RETRY_S
from littoral.core.limits import Limits
from littoral.core.resources.app_events import QueueConsumer
from littoral.core.resources.units import parse_duration_ms

FIRST_RETRY_MS = 1000


class Consumer(Struct, frozen=True):
    """The app that gets the messages of a queue."""

    app: str
    batch_size: int
    batch_timeout_s: float
    max_retries: int
    dead_letter_queue: str | None
    concurrency: int
    retry_ms: int | None
    """None: exponential."""
    longest_retry_ms: int

    @classmethod
    def of(cls, app: str, said: QueueConsumer, limits: Limits) -> "Consumer":
        """As an app's document and the node's limits have it."""
        return cls(
            app,
            said.max_batch_size,
            parse_duration_ms(said.max_batch_timeout) / 1000,
            said.max_retries,
            said.dead_letter_queue,
            min(said.max_concurrency or limits[QUEUE_BATCHES], limits[QUEUE_BATCHES]),
            None if said.retry_delay is None else parse_duration_ms(said.retry_delay),
            limits[QUEUE_RETRY_S] * 1000,
        )

    def delay_ms(self, attempts: int) -> int:
        """How long a message waits that was given so often in vain."""
        if self.retry_ms is not None:
            return self.retry_ms
        return min(FIRST_RETRY_MS << min(attempts - 1, 30), self.longest_retry_ms)
