"""MQTT intake beside mosquitto, in turns, with the same load.

Ours decodes JSON and keeps tumbling windows of 1,000 topics (count, min, max, mean, stddev); mosquitto takes the
messages in and has no subscriber. At QoS 1 ours acknowledges after the reading is synced to disk; mosquitto
acknowledges what it has in memory.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benches.harness import Row, free_port, process

ROUNDS = 5
LOADS = (
    ("pipelined", "QoS 0, one pipelined connection", 1_000_000, 2.0),
    ("scattered", "QoS 0, 1,000 connections, one message per write", 200_000, 0.8),
    ("qos1", "QoS 1, one connection, acknowledged", 100_000, None),
)


def _load(port: int, kind: str, messages: int) -> float:
    command = [sys.executable, "-m", "benches.mqtt_load", str(port), kind, str(messages)]
    return float(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)


def measure() -> list[Row]:
    """Rows for the table: medians of interleaved rounds."""
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = free_port(), free_port()
        config = Path(directory, "mosquitto.conf")
        config.write_text(f"listener {theirs} 127.0.0.1\nallow_anonymous true\nlog_type none\n", encoding="utf-8")
        config.chmod(0o644)
        Path(directory).chmod(0o755)
        broker = [sys.executable, "-m", "benches.mqtt_broker", str(ours), str(Path(directory, "node"))]
        with process(broker, ours), process(["mosquitto", "-c", str(config)], theirs):
            rows = []
            for kind, what, messages, goal in LOADS:
                figures = [(_load(ours, kind, messages), _load(theirs, kind, messages)) for _ in range(ROUNDS)]
                mine, peer = (statistics.median(column) for column in zip(*figures, strict=True))
                rows.append(Row(f"MQTT intake, {what}", mine, "msg/s", peer, "mosquitto", goal))
            return rows
