"""A factory's sensor, played back from a recording: an ordinary MQTT client that knows nothing of Littoral.

Each reading is published with QoS 1 and a number of its own, its row in the recording:

    factory/<site>/<line>/temperature   {"n": 1, "ts": 1386018900, "value": 73.96732207}

Readings that were not acknowledged when a connection broke are sent again, in order, on the next one; so a broker
that is killed and started again misses none. The number lets it recognise those it had already stored.

    python examples/factory/devices.py --port 1883 --site plant-a --line machine --speed 86400
"""

import argparse
import csv
import json
import os
import queue
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

Row = tuple[int, int, float]
"""Number, seconds since the epoch, value."""

Events = queue.Queue[tuple[str, object]]
"""Not a SimpleQueue: its get(timeout) waits for ever where the timeout passes between two looks at the queue."""

DATA = Path(__file__).parent / "data"
RECORDINGS = {
    "machine": DATA / "machine_temperature_system_failure.csv",
    "ambient": DATA / "ambient_temperature_system_failure.csv",
}
RETRY_MOST_S = 2.0
CONNECT_S = 5.0
SILENCE_S = 15.0
"""Readings under way and no acknowledgement for this long: the connection is dead, whatever TCP thinks."""


def readings(path: Path, from_row: int, to_row: int) -> Iterator[Row]:
    """Rows from_row to to_row, counted from 1, both included. Local time is taken as UTC."""
    with path.open(newline="") as file:
        for n, row in enumerate(csv.DictReader(file), start=1):
            if from_row <= n <= to_row:
                ts = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
                yield n, int(ts.timestamp()), float(row["value"])


class Pace:
    """When a reading is due: event time at `speed` event seconds a second; at once for 0. A step back waits for
    nothing."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.due = 0.0
        self.latest: int | None = None

    def wait_s(self, ts: int) -> float:
        now = time.monotonic()
        if not self.speed:
            return 0.0
        if self.latest is None:
            self.due, self.latest = now, ts
        elif ts > self.latest:
            self.due += (ts - self.latest) / self.speed
            self.latest = ts
        return max(0.0, self.due - now)


class Device:
    """One sensor."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.topic = f"factory/{args.site}/{args.line}/temperature"
        self.rows = deque(readings(RECORDINGS[args.line], args.from_row, args.to_row))
        self.total = len(self.rows)
        self.unacknowledged: deque[Row] = deque()
        self.pace = Pace(args.speed)
        self.acknowledged = 0
        self.bytes = 0
        self.connections = 0
        self.is_stopped = False
        self.events = Events()
        self.last_report = 0.0

    def run(self) -> bool:
        """Returns True once every reading is acknowledged; False if stopped, or given up."""
        retry_s, lost_at = 0.1, time.monotonic()
        while not self.is_stopped and (self.rows or self.unacknowledged):
            before = self.acknowledged
            client = self.connect()
            if client is not None:
                try:
                    self.publish_all(client)
                finally:
                    client.disconnect()
                    client.loop_stop()
            if self.acknowledged > before:
                retry_s, lost_at = 0.1, time.monotonic()
            elif time.monotonic() - lost_at > self.args.give_up:
                print(f"{self.topic}: no acknowledgement for {self.args.give_up:g} s, giving up", file=sys.stderr)
                break
            self.report(is_final=False)
            if self.rows or self.unacknowledged:
                self.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_MOST_S)
        self.report(is_final=True)
        return not self.rows and not self.unacknowledged

    def connect(self) -> mqtt.Client | None:
        """A client that the broker accepted, or None. A new one each time: nothing is left of the last connection."""
        self.events = events = Events()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self.args.site}-{self.args.line}",
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(self.args.in_flight)
        if self.args.username:
            client.username_pw_set(self.args.username, self.args.password)
        client.on_connect = lambda _c, _u, _f, reason, _p: events.put(
            ("refused" if reason.is_failure else "up", reason)
        )
        client.on_disconnect = lambda _c, _u, _f, reason, _p: events.put(("down", reason))
        client.on_publish = lambda _c, _u, mid, _r, _p: events.put(("acknowledged", mid))
        try:
            client.connect(self.args.host, self.args.port, keepalive=10)
        except OSError:
            return None
        client.loop_start()
        kind, reason = self.next_event(CONNECT_S)
        if kind == "up":
            self.connections += 1
            return client
        if kind == "refused":
            print(f"{self.topic}: the broker refused the connection: {reason}", file=sys.stderr)
        client.disconnect()
        client.loop_stop()
        return None

    def publish_all(self, client: mqtt.Client) -> None:
        """Publish until all is acknowledged, or the connection is lost."""
        resend, self.unacknowledged = self.unacknowledged, deque()
        under_way: dict[object, Row] = {}
        last_heard = time.monotonic()
        try:
            while not self.is_stopped and (resend or self.rows or under_way):
                wait_s = 1.0
                if len(under_way) < self.args.in_flight and (resend or self.rows):
                    source = resend or self.rows
                    wait_s = 0.0 if resend else self.pace.wait_s(source[0][1])
                    if wait_s == 0.0:
                        row = source.popleft()
                        # It is on our list before it can be acknowledged, and stays on it if publish raises.
                        under_way[None] = row
                        mid = client.publish(self.topic, payload(row), qos=1).mid
                        under_way[mid] = under_way.pop(None)
                kind, value = self.next_event(min(wait_s, 1.0))
                if kind == "acknowledged" and (acknowledged := under_way.pop(value, None)) is not None:
                    self.acknowledged += 1
                    self.bytes += len(self.topic) + len(payload(acknowledged))
                    last_heard = time.monotonic()
                if kind == "down" or (under_way and time.monotonic() - last_heard > SILENCE_S):
                    return
                if not under_way:
                    last_heard = time.monotonic()
                self.report(is_final=False)
        finally:
            self.unacknowledged = deque(under_way.values()) + resend

    def next_event(self, wait_s: float) -> tuple[str, object]:
        try:
            return self.events.get(timeout=wait_s) if wait_s > 0 else self.events.get_nowait()
        except queue.Empty:
            return "nothing", None

    def sleep(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while not self.is_stopped and time.monotonic() < until:
            time.sleep(0.05)

    def report(self, *, is_final: bool) -> None:
        """A JSON line a second, and one at the end."""
        now = time.monotonic()
        if self.args.quiet or (not is_final and now - self.last_report < 1.0):
            return
        self.last_report = now
        line = {
            "topic": self.topic,
            "rows": self.total,
            "acknowledged": self.acknowledged,
            "bytes": self.bytes,
            "connections": self.connections,
            "done": is_final and self.acknowledged == self.total,
        }
        print(json.dumps(line), flush=True)

    def stop(self, *_: object) -> None:
        self.is_stopped = True


def payload(row: Row) -> str:
    n, ts, value = row
    return json.dumps({"n": n, "ts": ts, "value": value})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--username")
    parser.add_argument("--password", default=os.environ.get("MQTT_PASSWORD"), help="or the variable MQTT_PASSWORD")
    parser.add_argument("--site", default="plant-a")
    parser.add_argument("--line", choices=sorted(RECORDINGS), default="machine")
    parser.add_argument(
        "--speed", type=float, default=3600.0, help="event seconds a second; 0: as fast as acknowledged"
    )
    parser.add_argument("--in-flight", type=int, default=20, help="readings sent and not acknowledged, at most")
    parser.add_argument("--from-row", type=int, default=1, help="first row, from 1")
    parser.add_argument("--to-row", type=int, default=sys.maxsize, help="last row")
    parser.add_argument("--give-up", type=float, default=120.0, help="seconds without any acknowledgement")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    device = Device(parser.parse_args())
    signal.signal(signal.SIGTERM, device.stop)
    signal.signal(signal.SIGINT, device.stop)
    return 0 if device.run() else 1


if __name__ == "__main__":
    sys.exit(main())
