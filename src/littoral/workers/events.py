"""What handlers other than `fetch` are called with: the time of a cron trigger, and messages of a queue."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


class ScheduledController:
    """The run of a cron trigger."""

    __slots__ = ("cron", "retries", "scheduledTime")

    def __init__(self, cron: str, scheduled_ms: int) -> None:
        self.cron = cron
        """The expression that was due."""
        self.scheduledTime = scheduled_ms
        """When it was due, in milliseconds since 1970."""
        self.retries = True
        """Whether a run that fails may be tried again."""

    @property
    def scheduled_time(self) -> datetime:
        """When it was due."""
        return datetime.fromtimestamp(self.scheduledTime / 1000, tz=UTC)

    def noRetry(self) -> None:
        """Do not try this run again if it fails."""
        self.retries = False


class Message:
    """One message of a queue. Without `retry`, it is done when the handler returns."""

    __slots__ = ("attempts", "body", "id", "retry_after_s", "settled", "timestamp")

    def __init__(self, id: str, body: Any, timestamp_ms: int, attempts: int = 1) -> None:  # noqa: A002 - Workers' name
        self.id = id
        self.body = body
        self.timestamp = datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC)
        """When it was sent."""
        self.attempts = attempts
        """How often it was given to a handler, this time included."""
        self.settled: bool | None = None
        """True: done, whatever becomes of the batch. False: to be given again. None: as the batch."""
        self.retry_after_s: int | None = None
        """None: as the queue's consumer is set up."""

    def ack(self) -> None:
        """It is done, even if the handler fails later on."""
        if self.settled is None:
            self.settled = True

    def retry(self, options: Mapping[str, int] | None = None, *, delay_seconds: int | None = None) -> None:
        """Give it again, after so many seconds."""
        if self.settled is None:
            self.settled = False
            self.retry_after_s = (options or {}).get("delaySeconds", delay_seconds)


class MessageBatch:
    """Messages of one queue."""

    __slots__ = ("messages", "queue")

    def __init__(self, queue: str, messages: Sequence[Message]) -> None:
        self.queue = queue
        """The queue's name."""
        self.messages = messages

    def ackAll(self) -> None:
        """All are done that nothing was said of yet."""
        for message in self.messages:
            message.ack()

    def retryAll(self, options: Mapping[str, int] | None = None, *, delay_seconds: int | None = None) -> None:
        """Give all again that nothing was said of yet."""
        for message in self.messages:
            message.retry(options, delay_seconds=delay_seconds)

    ack_all, retry_all = ackAll, retryAll
