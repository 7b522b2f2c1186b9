"""Many MQTT connections at a real node beside mosquitto, in turns: to many, from many, acknowledged, idle, and how long a message takes.

At QoS 1 ours acknowledges after the reading is synced to disk; mosquitto acknowledges what it has in memory.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benches.harness import Row, free_port, process, process_rss_mb
from benches.mqtt_rules import STILL, rule
from benches.node import BenchNode, running_node
from littoral.fleet.desired import record_of

ROUNDS = 5
LOADS = (
    ("fanout", "MQTT, one message to 1,000 subscribers, QoS 0", 400_000, 1.0),
    ("fanin", "MQTT, 1,000 publishers to one subscriber, QoS 0", 200_000, 1.0),
    ("acked", "MQTT, QoS 1, 100 connections, 20 in flight", 200_000, None),
)
IDLE = 10_000
LATENCY_MESSAGES = 20_000


def _command(port: int, *words: object) -> list[str]:
    return [sys.executable, "-m", "benches.mqtt_fan_load", str(port), *map(str, words)]


def _said(port: int, *words: object) -> list[float]:
    shown = subprocess.run(_command(port, *words), check=True, capture_output=True, timeout=300).stdout
    return [float(word) for word in shown.split()]


def _rates(ours: int, theirs: int) -> list[Row]:
    rows = []
    for kind, what, messages, goal in LOADS:
        rounds = [(_said(ours, kind, messages)[0], _said(theirs, kind, messages)[0]) for _ in range(ROUNDS)]
        mine, peer = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratios = tuple(one / other for one, other in rounds)
        rows.append(Row(what, mine, "msg/s", peer, "mosquitto", goal, ratios=ratios))
    return rows


def _latency(ours: int, theirs: int, half: float) -> list[Row]:
    """half: messages a second, half of what one publisher gets through to one subscriber."""
    rounds = [
        (_said(ours, "latency", LATENCY_MESSAGES, half), _said(theirs, "latency", LATENCY_MESSAGES, half))
        for _ in range(ROUNDS)
    ]
    rows = []
    for place, name, most in ((0, "median", None), (1, "99th percentile", 2000.0)):
        mine, peer = (statistics.median(each[side][place] for each in rounds) for side in (0, 1))
        what = f"MQTT, from publishing to receiving at {half:,.0f} msg/s, {name}"
        rows.append(Row(what, mine, "us", peer, "mosquitto", most=most))
    return rows


def _idle_kb(pid: int, port: int) -> float:
    before = process_rss_mb(pid)
    with subprocess.Popen(_command(port, "idle", IDLE), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        assert load.stdout is not None
        assert load.stdout.readline() == b"open\n"
        each_kb = (process_rss_mb(pid) - before) * 1024 / IDLE
        load.communicate()
    return each_kb


def measure() -> list[Row]:
    """Rows for the table."""
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        config = Path(directory, "mosquitto.conf")
        limits = "max_queued_messages 0\nmax_inflight_messages 0\n"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n{limits}", encoding="utf-8")
        config.chmod(0o644)
        Path(directory).chmod(0o755)
        with running_node(Path(directory)) as node, process(["mosquitto", "-c", str(config)], port) as mosquitto:
            node.apply([record_of(rule("still", STILL), None)])
            rows = _rates(node.port("mqtt"), port)
            # Half of what the node gets through from many to one.
            rows += _latency(node.port("mqtt"), port, rows[1].ours / 2)
            rows.append(_idle(node, mosquitto.pid, port))
            return rows


def _idle(node: BenchNode, peer_pid: int, peer_port: int) -> Row:
    mine = _idle_kb(node.pids()["hub"], node.port("mqtt"))
    return Row(
        "MQTT, memory of an idle connection, of 10,000", mine, "KB", _idle_kb(peer_pid, peer_port), "mosquitto", most=15
    )
