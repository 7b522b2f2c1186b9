"""The device against a broker that breaks its connections: what it acknowledged is there, in order, and complete."""

import argparse
import importlib.util
import json
import queue
import socket
import socketserver
import threading
from pathlib import Path

import pytest

FACTORY = Path(__file__).parents[3] / "examples" / "factory"
CONNECT, PUBLISH = 1, 3


class _Connection(socketserver.StreamRequestHandler):
    """As little of a broker as shows what the device does: each reading is noted, then acknowledged."""

    server: "_Broker"

    def handle(self):
        try:
            self._serve()
        except (ConnectionError, EOFError):
            return

    def _serve(self):
        budget = self.server.next_budget()
        while True:
            kind, flags, body = self._packet()
            if kind == CONNECT:
                self.server.clients.append(body[12 : 12 + body[11]].decode())
                self.wfile.write(bytes([0x20, 2, 0, self.server.return_code]))
            elif kind == PUBLISH:
                if budget == 0:
                    # Like a broker that was killed: a reset, and no word about what was under way.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return
                budget -= 1
                topic_end = 2 + int.from_bytes(body[:2], "big")
                self.server.note(flags, body[2:topic_end].decode(), json.loads(body[topic_end + 2 :]))
                # Every seventh is stored and its acknowledgement lost: the device must send it again.
                if len(self.server.readings) % 7:
                    self.wfile.write(b"\x40\x02" + body[topic_end : topic_end + 2])
                else:
                    budget = 0

    def _packet(self):
        head = self._exactly(1)[0]
        length = shift = 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return head >> 4, head & 15, self._exactly(length)

    def _exactly(self, count):
        data = self.rfile.read(count)
        if len(data) < count:
            raise EOFError
        return data


class _Broker(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.readings = []
        self.topics = set()
        self.clients = []
        self.return_code = 0

    def next_budget(self):
        return 11

    def note(self, flags, topic, reading):
        assert flags & 0b0110 == 0b0010, "QoS 1"
        self.topics.add(topic)
        self.readings.append(reading)


@pytest.fixture
def broker():
    with _Broker() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def devices():
    spec = importlib.util.spec_from_file_location("factory_devices", FACTORY / "devices.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(port, **changes):
    values = {
        "host": "127.0.0.1", "port": port, "username": None, "password": None, "site": "plant-a", "line": "machine",
        "speed": 0.0, "in_flight": 5, "from_row": 1, "to_row": 40, "give_up": 20.0, "quiet": True,
    }  # fmt: skip
    return argparse.Namespace(**values | changes)


def test_through_broken_connections_every_reading_arrives_and_none_overtakes_a_new_one(broker, devices, monkeypatch):
    monkeypatch.setattr(devices, "RETRY_MOST_S", 0.01)
    device = devices.Device(arguments(broker.server_address[1]))
    assert device.run()
    numbers = [reading["n"] for reading in broker.readings]
    firsts = list(dict.fromkeys(numbers))
    assert firsts == list(range(1, 41))
    assert len(numbers) > len(firsts), "the broker lost acknowledgements, so some came again"
    assert device.acknowledged == 40
    assert device.connections == len(broker.clients) > 3
    assert broker.topics == {"factory/plant-a/machine/temperature"}
    assert broker.readings[0] == {"n": 1, "ts": 1386018900, "value": 73.96732207}


def test_rows_are_numbered_as_in_the_recording_whatever_part_is_played(devices):
    rows = list(devices.readings(devices.RECORDINGS["machine"], 10_149, 10_151))
    assert [(n, ts) for n, ts, _ in rows] == [(10_149, 1389063300), (10_150, 1389060000), (10_151, 1389060300)]


def test_without_a_broker_it_gives_up_and_says_so(devices, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    device = devices.Device(arguments(port, give_up=0.2))
    assert not device.run()
    assert "giving up" in capsys.readouterr().err


def test_a_refusal_is_told_with_its_reason(broker, devices, capsys):
    broker.return_code = 5
    assert not devices.Device(arguments(broker.server_address[1], give_up=0.0)).run()
    assert "Not authorized" in capsys.readouterr().err


def test_stopped_it_ends_soon_and_has_not_finished(broker, devices):
    device = devices.Device(arguments(broker.server_address[1], speed=0.001))
    threading.Timer(0.3, device.stop).start()
    assert not device.run()


def test_the_pace_follows_the_recording_and_waits_for_nothing_when_it_steps_back(devices, monkeypatch):
    monkeypatch.setattr(devices.time, "monotonic", lambda: 100.0)
    pace = devices.Pace(10.0)
    assert [pace.wait_s(ts) for ts in (0, 300, 100, 300, 400)] == [0.0, 30.0, 30.0, 30.0, 40.0]
    assert devices.Pace(0.0).wait_s(10**9) == 0.0


def test_its_queue_of_events_never_waits_longer_than_it_is_told(devices):
    # queue.SimpleQueue of Python 3.11 waits for ever where the timeout passes between two looks at it.
    assert not isinstance(devices.Events(), queue.SimpleQueue)


def test_it_counts_the_bytes_that_were_acknowledged(broker, devices):
    device = devices.Device(arguments(broker.server_address[1], to_row=3))
    assert device.run()
    payloads = [devices.payload(row) for row in devices.readings(devices.RECORDINGS["machine"], 1, 3)]
    assert device.bytes == sum(len("factory/plant-a/machine/temperature") + len(each) for each in payloads)
