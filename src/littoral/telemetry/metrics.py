"""Metrics in the Prometheus text format. Sources are asked at each scrape; nothing is registered on a hot path."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

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
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(self._sources))

    def add(self, source: Source) -> None:
        """Ask `source` too, at each scrape."""
        self._sources.append(source)

    def text(self) -> bytes:
        """Everything, in the text exposition format 0.0.4."""
        return generate_latest(self._registry)


class _Collector:
    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        for source in self._sources:
            for family in source():
                yield _histogram(family) if isinstance(family, Histogram) else _family(family)


def _family(family: Family) -> Metric:
    names = list(family.samples[0].labels) if family.samples else []
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=names)
    for sample in family.samples:
        metric.add_metric([sample.labels[name] for name in names], sample.value)
    return metric


def _histogram(family: Histogram) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=list(family.labels))
    total, buckets = 0, []
    for bound, count in zip([*map(str, family.bounds_s), "+Inf"], family.counts, strict=True):
        total += count
        buckets.append((bound, total))
    metric.add_metric(list(family.labels.values()), buckets, family.sum_s)
    return metric
