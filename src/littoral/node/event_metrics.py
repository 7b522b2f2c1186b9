"""Cron triggers and queues as Prometheus metrics. Names are documented in docs/reference/metrics.md."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from littoral.node.cron import CronStatus
from littoral.node.queue_desk import QueueStatus
from littoral.telemetry.metrics import Family, Sample


def cron_metrics(statuses: Sequence[CronStatus]) -> Iterator[Family]:
    """All triggers of a node."""
    samples = [
        Sample(float(count), {"app": each.app, "cron": each.cron, "outcome": outcome})
        for each in statuses
        for outcome, count in (("done", each.done), ("failed", each.failed))
    ]
    yield Family("littoral_cron_runs", "counter", "Runs of cron triggers that ended, by how.", samples)


def queue_metrics(statuses: Sequence[QueueStatus]) -> Iterator[Family]:
    """All queues of a node."""

    def family(name: str, kind: Literal["counter", "gauge"], text: str, of: Callable[[QueueStatus], int]) -> Family:
        samples = [Sample(float(of(each)), {"queue": each.queue}) for each in statuses]
        return Family(f"littoral_queue_{name}", kind, text, samples)

    yield family("messages", "gauge", "Messages of a queue that are not done.", lambda each: each.messages)
    yield family("bytes", "gauge", "Bytes of its stream.", lambda each: each.bytes)
    yield family("sent", "counter", "Messages sent to it.", lambda each: each.sent)
    yield family("delivered", "counter", "Messages given to its consumer, each attempt.", lambda each: each.delivered)
    yield family("retried", "counter", "Messages that are to be given again.", lambda each: each.retried)
    yield family("dead", "counter", "Messages that became dead letters.", lambda each: each.dead)
