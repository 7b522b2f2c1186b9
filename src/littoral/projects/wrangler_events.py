"""What of wrangler's configuration file says who calls an app besides clients."""

import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from littoral.core.resources.problem import Path
from littoral.core.resources.syntax import Value


class Triggers(Struct, frozen=True):
    """The key `triggers`."""

    crons: list[str] = []


class Producer(Struct, frozen=True):
    """An entry of queues.producers."""

    binding: str
    queue: str
    delivery_delay: int = 0
    remote: bool = False


class Consumer(Struct, frozen=True):
    """An entry of queues.consumers. Times are seconds."""

    queue: str
    type: Literal["worker"] = "worker"
    max_batch_size: int | None = None
    max_batch_timeout: int | None = None
    max_retries: int | None = None
    dead_letter_queue: str | None = None
    max_concurrency: int | None = None
    retry_delay: int | None = None


class Queues(Struct, frozen=True):
    """The key `queues`."""

    producers: list[Producer] = []
    consumers: list[Consumer] = []


class Service(Struct, frozen=True):
    """An entry of services."""

    binding: str
    service: str
    entrypoint: str | None = None
    environment: str | None = None
    props: dict[str, Any] = {}
    remote: bool = False


class Dataset(Struct, frozen=True):
    """An entry of analytics_engine_datasets."""

    binding: str
    dataset: str | None = None
    remote: bool = False


class Ai(Struct, frozen=True):
    """The key `ai`."""

    binding: str
    remote: bool = False
    staging: bool = False


NESTED: dict[type[Struct], dict[str, type[Struct]]] = {Queues: {"producers": Producer, "consumers": Consumer}}
"""What is in the lists of an entry."""


class EventSection(Protocol):
    """What of a section is read here."""

    @property
    def triggers(self) -> Triggers:
        """See Triggers."""
        ...

    @property
    def queues(self) -> Queues:
        """See Queues."""
        ...

    @property
    def services(self) -> list[Service]:
        """See Service."""
        ...

    @property
    def analytics_engine_datasets(self) -> list[Dataset]:
        """See Dataset."""
        ...

    @property
    def ai(self) -> Ai | None:
        """See Ai."""
        ...


def event_fields(section: EventSection, places: Mapping[str, Path], origins: dict[Path, Path]) -> dict[str, Value]:
    """The fields of an App document; where each comes from is noted in `origins`."""
    for index in range(len(section.triggers.crons)):
        origins["spec", "crons", index] = (*places["triggers"], "crons", index)
    for name in ("producers", "consumers"):
        for index in range(len(getattr(section.queues, name))):
            here: Path = (*places["queues"], name, index)
            origins["spec", "queues", name, index] = here
            for field, key in _KEYS.items():
                origins["spec", "queues", name, index, field] = (*here, key)
    for name, key, count in (
        ("services", "services", len(section.services)),
        ("datasets", "analytics_engine_datasets", len(section.analytics_engine_datasets)),
    ):
        for index in range(count):
            origins["spec", name, index] = (*places[key], index)
    if section.ai is not None:
        origins["spec", "ai"] = places["ai"]
    return {
        "ai": None if section.ai is None else {"binding": section.ai.binding},
        "services": [_service(each) for each in section.services],
        "datasets": [
            {"binding": each.binding, "dataset": plain_name(each.dataset or each.binding), "remote": each.remote}
            for each in section.analytics_engine_datasets
        ],
        "crons": list(section.triggers.crons),
        "queues": {
            "producers": [_producer(each) for each in section.queues.producers],
            "consumers": [_consumer(each) for each in section.queues.consumers],
        },
    }


_KEYS = {
    "binding": "binding",
    "queue": "queue",
    "deliveryDelay": "delivery_delay",
    "maxBatchSize": "max_batch_size",
    "maxBatchTimeout": "max_batch_timeout",
    "maxRetries": "max_retries",
    "deadLetterQueue": "dead_letter_queue",
    "maxConcurrency": "max_concurrency",
    "retryDelay": "retry_delay",
}
"""Field of a document -> key of the file."""


def _producer(each: Producer) -> Value:
    said: dict[str, Value] = {"binding": each.binding, "queue": plain_name(each.queue), "remote": each.remote}
    return said | {"deliveryDelay": f"{each.delivery_delay}s"}


def _consumer(each: Consumer) -> Value:
    dead_letters = None if each.dead_letter_queue is None else plain_name(each.dead_letter_queue)
    timeout = None if each.max_batch_timeout is None else f"{each.max_batch_timeout}s"
    delay = None if each.retry_delay is None else f"{each.retry_delay}s"
    said: dict[str, Value] = {
        "queue": plain_name(each.queue),
        "maxBatchSize": each.max_batch_size,
        "maxBatchTimeout": timeout,
        "maxRetries": each.max_retries,
        "deadLetterQueue": dead_letters,
        "maxConcurrency": each.max_concurrency,
        "retryDelay": delay,
    }
    return {name: value for name, value in said.items() if value is not None}


def _service(each: Service) -> Value:
    # Of an environment of another worker there is an app of its own, called as wrangler calls it.
    service = each.service if each.environment is None else f"{each.service}-{each.environment}"
    said: dict[str, Value] = {
        "binding": each.binding,
        "service": service,
        "props": each.props,
        "remote": each.remote,
    }
    return said if each.entrypoint is None else said | {"entrypoint": each.entrypoint}


def plain_name(name: str) -> str:
    """Queues and datasets are called alike in all projects; a few names that Cloudflare allows are not allowed here."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or name
