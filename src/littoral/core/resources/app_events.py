"""What calls an app besides clients, as its document says it, and the rules for that."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from littoral.core.cron import Cron, CronError
from littoral.core.resources.check import Mistake, duration, repeated
from littoral.core.resources.part import Duration, Name, Part
from littoral.core.resources.problem import Path
from littoral.core.resources.units import parse_duration_ms

CronText = Annotated[str, Meta(max_length=200, description='Five fields, in UTC: "*/5 * * * *"')]


class CronTrigger(Part, frozen=True):
    """A schedule by which the app's `scheduled` is called, at each node where the app is placed."""

    cron: CronText
    missed: Literal["skip", "once", "all-bounded"] = "skip"
    """What becomes of runs that were due while the node, or its clock, was away. skip: nothing. once: the last of them is
    made up for. all-bounded: each of them, up to the limit cron-missed-runs, the oldest first."""


def crons_of(entries: Sequence[str | CronTrigger]) -> list[CronTrigger]:
    """All of them in their long form."""
    return [CronTrigger(cron=entry) if isinstance(entry, str) else entry for entry in entries]


def check_crons(entries: Sequence[str | CronTrigger]) -> Iterator[Mistake]:
    """Where and how the triggers of an app break a rule."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        path = ("spec", "crons", index) if isinstance(entry, str) else ("spec", "crons", index, "cron")
        text = entry if isinstance(entry, str) else entry.cron
        try:
            Cron(text)
        except CronError as error:
            yield path, f'found "{text[:80]}"; {error}'
        if text in seen:
            yield path, f'found "{text[:80]}" twice; the app is called once whenever it is due'
        seen.add(text)


BindingName = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]


class QueueProducer(Part, frozen=True, omit_defaults=True):
    """Gives `env.<binding>` a queue to send to. The queue is there at each node where an app names it."""

    binding: BindingName
    queue: Name
    delivery_delay: Duration = "0s"
    """Of messages that say nothing else."""
    remote: bool = False
    """Whether `littoral dev --remote` gives the project this of another node. Elsewhere it means nothing."""


class QueueConsumer(Part, frozen=True):
    """Has the app's `queue` called with the messages of a queue, at each node where the app is placed with those of that
    node."""

    queue: Name
    max_batch_size: Annotated[int, Meta(ge=1, le=100)] = 10
    max_batch_timeout: Duration = "5s"
    """How long a batch waits for more messages."""
    max_retries: Annotated[int, Meta(ge=0, le=100)] = 3
    """How often a message is given again, before it is a dead letter."""
    dead_letter_queue: Name | None = None
    """Where dead letters go. None: to those of the node (`littoral dlq`)."""
    max_concurrency: Annotated[int, Meta(ge=1, le=250)] | None = None
    """Batches with the app at once. None: as the limit queue-batches says."""
    retry_delay: Duration | None = None
    """Before a message is given again. None: a second, and twice as long with each attempt, up to the limit
    queue-retry-seconds."""


class AppQueues(Part, frozen=True):
    """The queues of an app."""

    producers: list[QueueProducer] = []
    consumers: list[QueueConsumer] = []


MOST_BATCH_TIMEOUT_MS = 60_000
MOST_QUEUE_DELAY_MS = 43_200_000


def check_queues(queues: AppQueues) -> Iterator[Mistake]:
    """Where and how the queues of an app break a rule."""
    path = ("spec", "queues")
    for index, producer in enumerate(queues.producers):
        yield from _at_most((*path, "producers", index, "deliveryDelay"), producer.delivery_delay, MOST_QUEUE_DELAY_MS)
    yield from repeated((*path, "consumers"), (consumer.queue for consumer in queues.consumers), "queue")
    for index, consumer in enumerate(queues.consumers):
        here = (*path, "consumers", index)
        yield from _at_most((*here, "maxBatchTimeout"), consumer.max_batch_timeout, MOST_BATCH_TIMEOUT_MS)
        if consumer.retry_delay is not None:
            yield from _at_most((*here, "retryDelay"), consumer.retry_delay, MOST_QUEUE_DELAY_MS)
        if consumer.dead_letter_queue == consumer.queue:
            yield (*here, "deadLetterQueue"), f'found "{consumer.queue}"; that is the queue itself'


def _at_most(path: Path, text: str, most_ms: int) -> Iterator[Mistake]:
    wrong = list(duration(path, text, least_ms=0))
    yield from wrong
    if not wrong and parse_duration_ms(text) > most_ms:
        yield path, f'found "{text}"; at most {most_ms // 1000}s is allowed'


class ServiceBinding(Part, frozen=True, omit_defaults=True):
    """Gives `env.<binding>` another app of the same node: its `fetch`, and the methods of its entry point."""

    binding: BindingName
    service: Name
    """The app. It has to be placed wherever this one is."""
    entrypoint: BindingName | None = None
    """A class of its main module. None: the one that answers requests."""
    props: dict[str, Any] = {}
    """What it finds in `ctx.props`: what this app may do there, for instance."""
    remote: bool = False
    """Whether `littoral dev --remote` gives the project this of another node. Elsewhere it means nothing."""


class AiBinding(Part, frozen=True):
    """Gives `env.<binding>` the models of the app: the files models/NAME.onnx beside its main module."""

    binding: BindingName


class DatasetBinding(Part, frozen=True, omit_defaults=True):
    """Gives `env.<binding>` a dataset to write data points to: the stream `analytics/DATASET` of the node."""

    binding: BindingName
    dataset: Name
    remote: bool = False
    """Whether `littoral dev --remote` gives the project this of another node. Elsewhere it means nothing."""


def env_names(
    queues: AppQueues,
    services: Sequence[ServiceBinding],
    datasets: Sequence[DatasetBinding],
    ai: AiBinding | None = None,
) -> Iterator[tuple[Path, str]]:
    """What these bindings are called in `env`, and where that is said."""
    for index, producer in enumerate(queues.producers):
        yield ("spec", "queues", "producers", index, "binding"), producer.binding
    for index, service in enumerate(services):
        yield ("spec", "services", index, "binding"), service.binding
    for index, dataset in enumerate(datasets):
        yield ("spec", "datasets", index, "binding"), dataset.binding
    if ai is not None:
        yield ("spec", "ai", "binding"), ai.binding


def check_env_names(names: Iterable[tuple[Path, str]], others: Container[str]) -> Iterator[Mistake]:
    """Those that are called as something else is. others: what else there is in `env`."""
    seen: set[str] = set()
    for path, name in names:
        if name in others or name in seen:
            yield path, f'"{name}" is something else already; each name in env is one thing'
        seen.add(name)
