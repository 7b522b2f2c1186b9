"""Many MQTT connections at once, in one process: every frame is made beforehand, and what comes back is only counted.

    python -m benches.mqtt_fan_load PORT fanout|fanin|acked|latency|idle MESSAGES [RATE]

fanout: one publisher, 1,000 subscribers, QoS 0. fanin: 1,000 publishers, one subscriber. acked: QoS 1, 100 connections, 20
unacknowledged each. These print messages/s, as received. latency: one publisher, one subscriber, RATE messages/s; prints the median and the 99th
percentile from publishing to receiving, in microseconds. idle: opens MESSAGES connections, prints a line, and holds them until its
input ends.
"""

import resource
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence

from benches.mqtt_load import connected, frame, receive

MANY = 1000
PAYLOAD_BYTES = 50
TOPIC = b"fan/out"
BURST = 20
"""Messages that are under way to all subscribers at once."""
ACKED_CONNECTIONS = 100
IN_FLIGHT = 20
_PUBACK_BYTES = 4
_STAMP_BYTES = 8


def _publish(payload: bytes) -> bytes:
    body = len(TOPIC).to_bytes(2, "big") + TOPIC + payload
    return bytes((0x30, len(body))) + body


def _subscribe(client: socket.socket) -> None:
    body = b"\x00\x01" + len(TOPIC).to_bytes(2, "big") + TOPIC + b"\x00"
    client.sendall(bytes((0x82, len(body))) + body)
    receive(client, 5)


class _Counted:
    """Sockets, and how many bytes all of them have received."""

    def __init__(self, clients: Sequence[socket.socket]) -> None:
        self._poll = select.epoll()
        self._by_number = {client.fileno(): client for client in clients}
        self._buffer = bytearray(1 << 18)
        for client in clients:
            client.setblocking(False)
            self._poll.register(client, select.EPOLLIN)

    def take(self, each: Callable[[socket.socket, int], None]) -> None:
        """Wait until some have received something; each: is told who, and how many bytes."""
        for number, _ in self._poll.poll(10.0):
            client = self._by_number[number]
            count = client.recv_into(self._buffer)
            if not count:
                raise SystemExit("the broker closed a connection")
            each(client, count)

    def wait(self, count: int) -> None:
        """Until so many bytes have come."""
        left = count

        def note(_: socket.socket, some: int) -> None:
            nonlocal left
            left -= some

        while left > 0:
            self.take(note)


def fanout(port: int, messages: int) -> float:
    subscribers = [connected(port, f"sub-{number}") for number in range(MANY)]
    for each in subscribers:
        _subscribe(each)
    publisher = connected(port, "pub")
    one = _publish(bytes(PAYLOAD_BYTES))
    counted, burst = _Counted(subscribers), one * BURST
    began_s = time.perf_counter()
    for _ in range(messages // MANY // BURST):
        publisher.sendall(burst)
        counted.wait(len(burst) * MANY)
    return time.perf_counter() - began_s


def fanin(port: int, messages: int) -> float:
    subscriber = connected(port, "sub")
    _subscribe(subscriber)
    publishers = [connected(port, f"pub-{number}") for number in range(MANY)]
    one = _publish(bytes(PAYLOAD_BYTES))
    counted = _Counted([subscriber])
    began_s = time.perf_counter()
    for _ in range(messages // MANY):
        for each in publishers:
            each.send(one)
        counted.wait(len(one) * MANY)
    return time.perf_counter() - began_s


def acked(port: int, messages: int) -> float:
    clients = [connected(port, f"load-{number}") for number in range(ACKED_CONNECTIONS)]
    frames = [[frame(number * IN_FLIGHT + n, qos=1) for n in range(IN_FLIGHT)] for number in range(len(clients))]
    whole = {client: b"".join(of) for client, of in zip(clients, frames, strict=True)}
    unacknowledged = dict.fromkeys(clients, 0)
    counted, left = _Counted(clients), messages

    def note(client: socket.socket, count: int) -> None:
        nonlocal left
        left -= count // _PUBACK_BYTES
        unacknowledged[client] -= count // _PUBACK_BYTES
        if not unacknowledged[client]:
            unacknowledged[client] = IN_FLIGHT
            client.send(whole[client])

    began_s = time.perf_counter()
    for client in clients:
        unacknowledged[client] = IN_FLIGHT
        client.send(whole[client])
    while left > 0:
        counted.take(note)
    return time.perf_counter() - began_s


def latency(port: int, messages: int, rate: float) -> tuple[float, float]:
    """Median and 99th percentile, seconds."""
    subscriber, publisher = connected(port, "sub"), connected(port, "pub")
    _subscribe(subscriber)
    subscriber.setblocking(False)
    pad = bytes(PAYLOAD_BYTES - _STAMP_BYTES)
    size, data = len(_publish(pad + bytes(_STAMP_BYTES))), bytearray()
    taken: list[int] = []
    began_s, sent = time.perf_counter(), 0
    while len(taken) < messages:
        now_s = time.perf_counter()
        due = min(messages, int((now_s - began_s) * rate))
        if due > sent:
            publisher.sendall(_publish(time.perf_counter_ns().to_bytes(_STAMP_BYTES, "big") + pad) * (due - sent))
            sent = due
        try:
            data += subscriber.recv(1 << 18)
        except BlockingIOError:
            continue
        now_ns = time.perf_counter_ns()
        while len(data) >= size:
            at = size - PAYLOAD_BYTES
            taken.append(now_ns - int.from_bytes(data[at : at + _STAMP_BYTES], "big"))
            del data[:size]
    taken.sort()
    return taken[len(taken) // 2] / 1e9, taken[len(taken) * 99 // 100] / 1e9


def idle(port: int, count: int) -> None:
    held = [connected(port, f"idle-{number}") for number in range(count)]
    print("open", flush=True)
    sys.stdin.read()
    for each in held:
        each.close()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    to, kind, how_many = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if kind == "latency":
        print(*(seconds * 1e6 for seconds in latency(to, how_many, float(sys.argv[4]))))
    elif kind == "idle":
        idle(to, how_many)
    else:
        print(how_many / {"fanout": fanout, "fanin": fanin, "acked": acked}[kind](to, how_many))
