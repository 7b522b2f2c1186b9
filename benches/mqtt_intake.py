"""MQTT intake of a real node beside mosquitto, in turns, with the same load.

Ours decodes JSON and keeps tumbling windows of 1,000 topics (count, min, max, mean, stddev); mosquitto takes the
messages in and has no subscriber. At QoS 1 ours acknowledges after the reading is synced to disk; mosquitto
acknowledges what it has in memory. The processor time of the broker's process is printed too: it depends less on what
else the machine does.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benches.harness import Row, free_port, process, process_cpu_s
from benches.mqtt_load import START_S
from benches.mqtt_rules import MOVING, STILL, rule
from benches.node import BenchNode, running_node, wait_for
from littoral.fleet.desired import record_of

ROUNDS = 5
LOADS = (
    ("pipelined", "QoS 0, one pipelined connection", 1_000_000, 2.0),
    ("advancing", "QoS 0, the same, a window closes every 100 readings", 500_000, None),
    ("scattered", "QoS 0, 1,000 connections, one message per write", 200_000, 0.9),
    ("qos1", "QoS 1, one connection, acknowledged", 100_000, None),
)


@dataclass(frozen=True)
class Figure:
    """One round at one broker."""

    rate: float
    """Messages a second."""
    cpu_ns: float
    """Processor time of the broker's process for one message."""


def _load(port: int, kind: str, messages: int, round_number: int, cpu_s: Callable[[], float]) -> Figure:
    # A round begins after all event times of the one before, so that nothing is late.
    start_s = START_S + round_number * messages
    command = [sys.executable, "-m", "benches.mqtt_load", str(port), kind, str(messages), str(start_s)]
    before_s = cpu_s()
    rate = float(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
    return Figure(rate, (cpu_s() - before_s) / messages * 1e9)


def _rows(what: str, goal: float | None, rounds: list[tuple[Figure, Figure]]) -> list[Row]:
    mine, peer = (statistics.median(each.rate for each in column) for column in zip(*rounds, strict=True))
    my_ns, peer_ns = (statistics.median(each.cpu_ns for each in column) for column in zip(*rounds, strict=True))
    ratios = tuple(ours.rate / theirs.rate for ours, theirs in rounds)
    cpu_ratios = tuple(ours.cpu_ns / theirs.cpu_ns for ours, theirs in rounds)
    return [
        Row(f"MQTT intake, {what}", mine, "msg/s", peer, "mosquitto", goal, ratios=ratios),
        Row("    processor time of the broker", my_ns, "ns/msg", peer_ns, "mosquitto", ratios=cpu_ratios),
    ]


def _all_folded(node: BenchNode, readings: int) -> bool:
    rules = node.status().rules.values()
    assert not any(each.late or each.undecodable or each.problem for each in rules), rules
    return sum(each.readings for each in rules) == readings


def measure() -> list[Row]:
    """Rows for the table: medians of interleaved rounds."""
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        config = Path(directory, "mosquitto.conf")
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n", encoding="utf-8")
        config.chmod(0o644)
        Path(directory).chmod(0o755)
        with running_node(Path(directory)) as node, process(["mosquitto", "-c", str(config)], port) as mosquitto:
            node.apply([record_of(rule("still", STILL), None), record_of(rule("moving", MOVING), None)])
            rows: list[Row] = []
            for kind, what, messages, goal in LOADS:
                rounds = [
                    (
                        _load(node.port("mqtt"), kind, messages, number, node.hub_cpu_s),
                        _load(port, kind, messages, number, lambda: process_cpu_s(mosquitto.pid)),
                    )
                    for number in range(ROUNDS)
                ]
                rows += _rows(what, goal, rounds)
            # What was fast must also be right: every reading was folded, none was late or could not be read.
            wait_for(lambda: _all_folded(node, ROUNDS * sum(messages for _, _, messages, _ in LOADS)))
            return rows
