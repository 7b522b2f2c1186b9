"""One parent of many children: what they cost it while they are quiet, while some are busy, and when it restarts.

The parent is a whole node; the children are real to it (benches.fanin_children): mTLS with a certificate of their own, a
token for each request signed with a key of their own, hello, notification channel, batches. FANIN_CHILDREN says how many
(10,000), of which a tenth append 10 records a second each while it is measured. Their stores are left out, and so is the
status that a node reports.
"""

import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import uvloop

from benches.fanin_children import FaninChild, Report
from benches.harness import Row, process_cpu_s, process_rss_mb
from benches.node import NAME, BenchNode, running_node
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.fleet.registry import Registry
from littoral.security.ca import CertificateAuthority
from littoral.security.enrolment import ChildRecord
from littoral.security.identity import NodeKey
from littoral.security.keys import new_key
from littoral.store.opening import open_store
from littoral.store.writer import ThreadWriter

BUILD = Path("build")
CHILDREN = int(os.environ.get("FANIN_CHILDREN", "10000"))
PROCESSES = 2
RAMP_S = 100
"""Children that begin in a second, so that the parent's memory is measured and not its worst moment."""
WINDOW_S = 20.0
RECORDS_S = 10
DEADLINE_S = 600.0
ENROLLED_AT_ONCE = 500


async def _enrol(data_dir: Path, directory: Path, count: int) -> list[FaninChild]:
    """Make so many children known to the parent, which does not run, and give them certificates of its CA."""
    limits, clock, random, disk = Limits(), SystemClock(), SystemRandom(), LocalDisk(data_dir)
    authority = CertificateAuthority.load(disk)
    assert authority is not None
    (directory / "ca.pem").write_bytes(authority.certificate_pem)
    store = open_store(NAME, disk, clock, random, limits, ThreadWriter(limits))
    registry = Registry(store, "", lambda name: None, clock, random, limits, lambda child: None)
    children, records = [], []
    for number in range(count):
        name = f"child-{number:05d}"
        key = NodeKey(new_key(random))
        issued = authority.sign(key.request(name), name, (), clock, random)
        (directory / f"{name}.pem").write_bytes(key.pem + issued.certificate_pem)
        children.append(FaninChild(name, key.pem, f"{name}.pem"))
        records.append(
            ChildRecord(node=name, public_key=key.public_key, serial=issued.serial, not_after_ms=issued.not_after_ms)
        )
    for at in range(0, count, ENROLLED_AT_ONCE):
        await asyncio.gather(*(registry.add_child(each) for each in records[at : at + ENROLLED_AT_ONCE]))
    await store.close()
    return children


class Children:
    """The processes that hold them."""

    def __init__(self, processes: "Sequence[subprocess.Popen[str]]") -> None:
        self._processes = processes

    def tell(self, line: str) -> None:
        """Give an order to all."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line + "\n")
            process.stdin.flush()

    def hear(self) -> list[str]:
        """One line of each."""
        lines = []
        for process in self._processes:
            assert process.stdout is not None
            lines.append(process.stdout.readline())
            if not lines[-1]:
                raise RuntimeError("a process of children ended")
        return lines

    def report(self) -> Report:
        """What happened since the last report, in all processes."""
        self.tell("report")
        total = Report()
        failures: Counter[str] = Counter()
        for line in self.hear():
            each = msgspec.json.decode(line, type=Report)
            total.connected += each.connected
            total.attempts_s += each.attempts_s
            total.greeted_s += each.greeted_s
            total.refused += each.refused
            total.records += each.records
            total.batches += each.batches
            total.took_ms += each.took_ms
            failures.update(each.failures)
        total.failures = dict(failures)
        return total

    def until_connected(self, count: int) -> Report:
        """Everything that happened until all are in session. Raises RuntimeError where that takes too long."""
        whole = Report()
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            latest = self.report()
            whole.attempts_s += latest.attempts_s
            whole.greeted_s += latest.greeted_s
            whole.refused += latest.refused
            whole.failures = dict(Counter(whole.failures) + Counter(latest.failures))
            if latest.connected == count:
                return whole
            time.sleep(0.5)
        raise RuntimeError(f"{latest.connected} of {count} children are in session: {whole.failures}")


@contextlib.contextmanager
def _running(directory: Path, children: Sequence[FaninChild], port: int) -> Iterator[Children]:
    with contextlib.ExitStack() as stack:
        processes = []
        for number in range(PROCESSES):
            file = directory / f"children-{number}"
            file.write_bytes(msgspec.msgpack.encode(children[number::PROCESSES]))
            command = [sys.executable, "-m", "benches.fanin_children", str(file), str(port), NAME]
            pipe = subprocess.PIPE
            process = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            stack.callback(process.kill)
            processes.append(process)
        running = Children(processes)
        running.hear()
        yield running


def _cpu_percent(pid: int, seconds: float) -> float:
    before_s, began_s = process_cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (process_cpu_s(pid) - before_s) / (time.monotonic() - began_s)


def _busy(node: BenchNode, children: Children, count: int) -> list[Row]:
    hub = node.pids()["hub"]
    busy = max(PROCESSES, count // 10)
    children.report()
    children.tell(f"work {busy // PROCESSES} {RECORDS_S} {WINDOW_S}")
    percent = _cpu_percent(hub, WINDOW_S)
    children.hear()
    report = children.report()
    took = sorted(report.took_ms)
    what = f"{busy:,} busy of {count:,} children"
    print(f"# busy: {report.batches} batches, failures {report.failures}")
    return [
        Row(f"{what}: records received", report.records / WINDOW_S, "records/s", busy * RECORDS_S, "offered"),
        Row(f"{what}: batches received", report.batches / WINDOW_S, "batches/s"),
        Row(f"{what}: batch answered, p50", statistics.median(took), "ms"),
        Row(f"{what}: batch answered, p99", took[int(len(took) * 0.99)], "ms"),
        Row(f"{what}: processor of the parent", percent, "% of a core"),
    ]


def _restart(node: BenchNode, children: Children, count: int) -> list[Row]:
    children.report()
    killed_s = time.monotonic()
    os.kill(node.pids()["hub"], signal.SIGKILL)
    # Whoever has not yet noticed that its session is gone would count as back.
    time.sleep(2)
    report = children.until_connected(count)
    seconds = Counter(int(at_s - killed_s) for at_s in report.attempts_s)
    greeted = Counter(int(at_s - killed_s) for at_s in report.greeted_s)
    print(f"# attempts by second: {dict(sorted(seconds.items()))}")
    print(f"# sessions by second: {dict(sorted(greeted.items()))}")
    print(f"# failures: {report.failures}")
    what = f"restart under {count:,} children"
    return [
        Row(f"{what}: until all are back", max(report.greeted_s) - killed_s, "s"),
        Row(f"{what}: attempts", len(report.attempts_s), "connections"),
        Row(f"{what}: most attempts in a second", max(seconds.values()), "connections/s"),
        Row(f"{what}: most sessions in a second", max(greeted.values()), "sessions/s"),
        Row(f"{what}: told to come later", report.refused, "hellos"),
        Row(f"{what}: failed otherwise", sum(report.failures.values()) - report.refused, "attempts"),
    ]


def measure() -> list[Row]:
    """Rows for the table."""
    count = CHILDREN
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        directory = Path(name).absolute()
        with running_node(directory) as node:
            pass
        children = uvloop.run(_enrol(node.data_dir, directory, count))
        limits = {"streams": 3 * count + 1000}
        with running_node(directory, limits=limits) as node:
            hub = node.pids()["hub"]
            with _running(directory, children, node.port("peer")) as running:
                time.sleep(2)
                before_mb = process_rss_mb(hub)
                began_s = time.monotonic()
                running.tell(f"connect {RAMP_S / PROCESSES}")
                report = running.until_connected(count)
                ramp_s = time.monotonic() - began_s
                print(f"# all in session after {ramp_s:.0f} s; {report.refused} refused; {report.failures}")
                time.sleep(5)
                grown_mb = process_rss_mb(hub) - before_mb
                rows = [
                    Row(f"{count:,} quiet children: memory of each", grown_mb * 1024 / count, "KB"),
                    Row(f"{count:,} quiet children: memory of the parent", before_mb + grown_mb, "MB"),
                    Row(f"{count:,} quiet children: processor", _cpu_percent(hub, WINDOW_S), "% of a core"),
                ]
                rows += _busy(node, running, count)
                rows += _restart(node, running, count)
                rows.append(Row("parent's memory after all that", process_rss_mb(node.pids()["hub"]), "MB"))
    print(json.dumps({row.what: round(row.ours, 1) for row in rows}))
    return rows
