"""Metrics. Sources are asked at each scrape; nothing is registered on a hot path. `exposition` writes down what they say."""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Labels = dict[str, str]


class Sample(msgspec.Struct, frozen=True):
    """One value."""

    value: float
    labels: Labels = {}


class Family(msgspec.Struct, frozen=True):
    """A metric with all its values. A counter's name is given without "_total"."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: list[Sample]


def gauge(name: str, text: str, value: float) -> Family:
    """A gauge without labels."""
    return Family(name, "gauge", text, [Sample(float(value))])


def counter(name: str, text: str, value: float) -> Family:
    """A counter without labels."""
    return Family(name, "counter", text, [Sample(float(value))])


class Histogram(msgspec.Struct, frozen=True):
    """A histogram for one set of labels."""

    name: str
    help: str
    bounds_s: list[float]
    """Upper bounds of the buckets, seconds, without the infinite one."""
    counts: list[int]
    """Values in each bucket, and above the last: one more than bounds."""
    sum_s: float
    labels: Labels = {}


Source = Callable[[], Iterable[Family | Histogram]]


class Metrics:
    """All metrics of a process."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        """Ask `source` too, at each scrape."""
        self._sources.append(source)

    def text(self) -> bytes:
        """Everything, in the text exposition format 0.0.4."""
        # Nobody scrapes a node that starts, and what writes it down brings an HTTP server and client of its own.
        from littoral.telemetry.exposition import exposition  # noqa: PLC0415

        return exposition(self._sources)
