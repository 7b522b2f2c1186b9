"""What every benchmark shares: rows of one table, and peers as processes that end with the run."""

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    goal: float | None = None
    """Smallest ratio of ours to the peer's that is good enough."""
    most: float | None = None
    """Greatest figure of ours that is good enough."""
    ratios: tuple[float, ...] = ()
    """Of ours to the peer's, round by round: what else the machine did then was the same for both."""

    @property
    def ratio(self) -> float | None:
        """How many times the peer's figure ours is: the median of the rounds."""
        if self.ratios:
            return statistics.median(self.ratios)
        return self.ours / self.peer if self.peer else None

    @property
    def verdict(self) -> str:
        if self.most is not None:
            return f"at most {self.most:g} {self.unit}: " + ("yes" if self.ours <= self.most else "NO")
        if self.goal is None or self.ratio is None:
            return ""
        return f"at least {self.goal:g}x: " + ("yes" if self.ratio >= self.goal else "NO")


def print_table(rows: Sequence[Row]) -> None:
    """The table, and under what it was measured."""
    table = Table(title="Littoral beside its peers, one machine, same load")
    for name in ("measured", "littoral", "peer", "ratio", "goal"):
        table.add_column(name, justify="left" if name in ("measured", "goal") else "right")
    for row in rows:
        peer = f"{row.peer:,.0f} ({row.peer_name})" if row.peer is not None else "–"
        ratio = f"{row.ratio:.2f}x" if row.ratio is not None else "–"
        if row.ratios:
            ratio += f" ({min(row.ratios):.2f}–{max(row.ratios):.2f})"
        table.add_row(row.what, f"{row.ours:,.0f} {row.unit}", peer, ratio, row.verdict)
    # Where nobody looks at a screen, lines are not broken for one.
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, the load generator on the same machine")


def process_cpu_s(pid: int) -> float:
    """Processor time a process has used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_pss_mb(pid: int) -> float:
    """Memory of a process; pages it shares with others are divided among them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Pss")


def process_rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is ready once `port` takes connections."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            _wait_for(port, child)
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()


def _wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{child.args!r} did not open port {port}")
