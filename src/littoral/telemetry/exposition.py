"""Metrics in the Prometheus text format."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from littoral.telemetry.metrics import Family, Histogram, Source


def exposition(sources: Sequence[Source]) -> bytes:
    """What the sources say now, in format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(sources))
    return generate_latest(registry)


class _Collector:
    def __init__(self, sources: Sequence[Source]) -> None:
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
