"""What every benchmark shares: rows of one table, and peers as processes that end with the run."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

DEADLINE_S = 20.0


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

    @property
    def ratio(self) -> float | None:
        """How many times the peer's figure ours is."""
        return self.ours / self.peer if self.peer else None

    @property
    def verdict(self) -> str:
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
        table.add_row(row.what, f"{row.ours:,.0f} {row.unit}", peer, ratio, row.verdict)
    console = Console()
    console.print(table)
    console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, the load generator on the same machine")


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
