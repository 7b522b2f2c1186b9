"""What `littoral demo` found out."""

import math
from collections.abc import Sequence

import msgspec
from rich.table import Table

from littoral.cli.output import size


class Latency(msgspec.Struct, frozen=True):
    """Of HTTP requests, from when they were due."""

    requests: int
    failed: int
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, kw_only=True):
    """The table."""

    readings: int
    """Acknowledged to the devices."""
    windows: int
    """At the root, and right."""
    anomalies: int
    lost: int
    duplicated: int
    wrong: int
    dead_letters: int
    kv_keys: int
    bytes_raw: int
    """Topics and payloads of what the devices published."""
    bytes_shipped: int
    """What both sites sent into their WANs, TLS and reports on themselves included."""
    edge: Latency
    """The site's gateway, without the moment in which its hub was killed."""
    cloud: Latency
    """The same function on the root's gateway, through a WAN."""
    hub_restart_s: float
    """From kill -9 to the first answer."""
    slowest_during_restart_ms: float
    failed_during_restart: int
    catch_up_s: float
    """From the WAN's return until the root had everything."""
    took_s: float
    problems: list[str] = []

    @property
    def ratio(self) -> float:
        """How many bytes were published for each byte shipped."""
        return self.bytes_raw / max(1, self.bytes_shipped)

    def table(self) -> Table:
        """For people."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column()
        table.add_column(justify="right")
        table.add_column(style="dim")
        for row in self._rows():
            table.add_row(*row)
        return table

    def _rows(self) -> Sequence[tuple[str, str, str]]:
        return (
            ("readings in", f"{self.readings:,}", "acknowledged to the devices"),
            ("windows", f"{self.windows:,}", "at the root, right"),
            ("anomalies", f"{self.anomalies:,}", "at the root, right"),
            ("lost", f"{self.lost:,}", ""),
            ("duplicated", f"{self.duplicated:,}", ""),
            ("wrong", f"{self.wrong:,}", ""),
            ("dead letters", f"{self.dead_letters:,}", "at all nodes"),
            ("keys and values", f"{self.kv_keys:,}", "the same at all nodes"),
            ("bytes raw", size(self.bytes_raw), "topics and payloads published"),
            ("bytes shipped", size(self.bytes_shipped), "over both sites' WANs, all included"),
            ("ratio", f"{self.ratio:.2f}", "raw for each shipped"),
            ("HTTP at the edge", _times(self.edge), f"p50 / p99 of {self.edge.requests:,}"),
            ("HTTP through the cloud", _times(self.cloud), f"p50 / p99 of {self.cloud.requests:,}"),
            ("hub killed to answering", f"{self.hub_restart_s:.2f} s", self._restart_note()),
            ("time to catch up", f"{self.catch_up_s:.2f} s", "from the WAN's return"),
        )

    def _restart_note(self) -> str:
        return f"HTTP: {self.failed_during_restart} failed, slowest {self.slowest_during_restart_ms:.0f} ms"


def latency(latencies_ms: Sequence[float], failed: int) -> Latency:
    """Percentiles by nearest rank."""
    ordered = sorted(latencies_ms)

    def percentile(part: float) -> float:
        return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else math.nan

    return Latency(len(ordered), failed, percentile(0.5), percentile(0.99))


def _times(found: Latency) -> str:
    return f"{found.p50_ms:.1f} / {found.p99_ms:.1f} ms"
