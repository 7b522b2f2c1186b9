"""How soon a broker with a million retained messages is there again: from the start of its process, or the end of the one before, until a
client is connected and has one of them. A real node beside mosquitto with persistence.

mosquitto writes its file when it is told to or ends, so it is told to before it is killed. The messages come at QoS 0; ours writes them
within a moment, and counts here as done when its database has them all.
"""

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from benches.harness import DEADLINE_S, Row, free_port, process, process_rss_mb
from benches.mqtt_load import connected, ping
from benches.node import running_node, wait_for

MESSAGES = 1_000_000
PAYLOAD_BYTES = 50
MOST_S = 5.0
BATCH = 2000
LIMITS = {"mqtt-retained": MESSAGES + 1000, "mqtt-retained-bytes": 2 * MESSAGES * PAYLOAD_BYTES}
"""More than what is set here: a node keeps 10,000 otherwise, and the topics under $SYS are retained, too."""
_PUBLISH_RETAINED = 0x31


def _topic(number: int) -> bytes:
    return b"site/line%d/device%d/temp" % (number % 100, number)


def _frame(number: int) -> bytes:
    topic = _topic(number)
    body = len(topic).to_bytes(2, "big") + topic + b"%050d" % number
    return bytes((_PUBLISH_RETAINED, len(body))) + body


def _set(port: int) -> None:
    client = connected(port, "setter")
    with contextlib.closing(client):
        for start in range(0, MESSAGES, BATCH):
            client.sendall(b"".join(map(_frame, range(start, start + BATCH))))
        ping(client)


def _asked(port: int) -> None:
    """One attempt at the last of the messages. Raises OSError where nobody is there yet."""
    topic = _topic(MESSAGES - 1)
    with contextlib.closing(connected(port, "reader")) as client:
        client.settimeout(DEADLINE_S)
        body = b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + b"\x00"
        client.sendall(bytes((0x82, len(body))) + body)
        came = b""
        while _frame(MESSAGES - 1) not in came:
            some = client.recv(4096)
            if not some:
                raise ConnectionResetError("the broker closed the connection")
            came += some


def _has(port: int) -> None:
    """Returns once a client has got one."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            return _asked(port)
        except (OSError, SystemExit):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def _timed(port: int) -> Iterator[Callable[[], float]]:
    """From the beginning of the block until a client has a message: what is given tells the seconds, after the block has begun."""
    took_s: list[float] = []
    began_s = time.perf_counter()

    def wait() -> None:
        _has(port)
        took_s.append(time.perf_counter() - began_s)

    waiting = threading.Thread(target=wait)

    def told() -> float:
        waiting.join()
        return took_s[0]

    waiting.start()
    yield told
    waiting.join()


def _ours(directory: Path) -> tuple[float, float, float]:
    """Seconds after an orderly end, and after kill -9; and the hub's memory then, in MB."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    with running_node(directory, limits=LIMITS, mqtt=address) as node:
        _set(port)
        database = str(node.data_dir / "store.db")
        wait_for(lambda: _retained(database) >= MESSAGES)
    with _timed(port) as orderly_s, running_node(directory, limits=LIMITS, mqtt=address) as node:
        ended_s = orderly_s()
        os.kill(node.pids()["hub"], signal.SIGKILL)
        with _timed(port) as killed_s:
            return ended_s, killed_s(), process_rss_mb(node.pids()["hub"])


def _retained(database: str) -> int:
    connection = apsw.Connection(database, flags=apsw.SQLITE_OPEN_READONLY)
    with contextlib.closing(connection):
        return int(connection.execute("SELECT count(*) FROM mqtt_retained").get)


def _theirs(directory: Path) -> tuple[float, float, float]:
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n"
        f"persistence true\npersistence_location {directory}/\nuser root\nmax_queued_messages 0\n",
        encoding="utf-8",
    )
    command = ["mosquitto", "-c", str(config)]
    file = directory / "mosquitto.db"
    with process(command, port) as child:
        _set(port)
        # It writes before it ends, for as long as that takes.
        child.send_signal(signal.SIGTERM)
        child.wait(DEADLINE_S)
    assert file.exists(), "mosquitto has kept nothing"
    with _timed(port) as orderly_s, process(command, port) as child:
        ended_s = orderly_s()
        file.unlink()
        child.send_signal(signal.SIGUSR1)
        wait_for(file.exists)  # It gets its name when it is whole.
        child.kill()
        child.wait()
        with _timed(port) as killed_s, process(command, port) as again:
            return ended_s, killed_s(), process_rss_mb(again.pid)


def measure() -> list[Row]:
    """Rows for the table."""
    with tempfile.TemporaryDirectory() as directory:
        mine = _ours(Path(directory))
        peer = _theirs(Path(directory))
    what = f"MQTT, {MESSAGES:,} retained messages"
    return [
        Row(f"{what}: there again after an orderly end", mine[0], "s", peer[0], "mosquitto", most=MOST_S),
        Row(f"{what}: there again after kill -9", mine[1], "s", peer[1], "mosquitto", most=MOST_S),
        Row(f"{what}: memory then", mine[2], "MB", peer[2], "mosquitto"),
    ]
