"""An MQTT load generator: every frame is made beforehand, so that what is measured is the broker.

    python -m benches.mqtt_load PORT pipelined|advancing|scattered|qos1 MESSAGES [START_S]

pipelined: QoS 0 on one connection, in large writes; the readings repeat. advancing: the same, but event time goes on by
a second with every 10 readings of a topic, so that windows close; it begins at START_S. scattered: QoS 0 over 1,000 connections, one message per write.
qos1: one connection, at most 2,000 unacknowledged. Ends when the broker has answered for all; prints messages/s.
"""

import json
import resource
import socket
import sys
import time

TOPICS = 1000
CONNECTIONS = 1000
BATCH = 2000
START_S = 1_700_000_000


def frame(number: int, *, qos: int = 0, ts: float | None = None, root: bytes = b"site") -> bytes:
    """Reading `number`: 1,000 topics in turn, all within one minute of event time, as in a fast series."""
    topic = b"%s/line%d/s%d/temp" % (root, number % 10, number % TOPICS)
    ts = START_S + number / 1000 if ts is None else ts
    payload = json.dumps({"v": round(20 + number % 7 / 3, 3), "ts": ts}).encode()
    packet_id = (number % BATCH + 1).to_bytes(2, "big") if qos else b""
    body = len(topic).to_bytes(2, "big") + topic + packet_id + payload
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 127 | 128, len(body) >> 7))
    return bytes((0x32 if qos else 0x30,)) + length + body


def connected(port: int, name: str) -> socket.socket:
    """A socket with an accepted session."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name.encode()
    client.sendall(bytes((0x10, len(body))) + body)
    receive(client, 4)
    return client


def receive(client: socket.socket, count: int) -> None:
    """Read and forget exactly `count` bytes."""
    while count:
        got = len(client.recv(count))
        if not got:
            raise SystemExit("the broker closed the connection")
        count -= got


def ping(client: socket.socket) -> None:
    """Returns once the broker has taken everything sent before."""
    client.sendall(b"\xc0\x00")
    receive(client, 2)


def pipelined(port: int, messages: int) -> float:
    client = connected(port, "load")
    blobs = [b"".join(frame(start + n) for n in range(BATCH)) for start in range(0, 10 * BATCH, BATCH)]
    began = time.perf_counter()
    for number in range(messages // BATCH):
        client.sendall(blobs[number % len(blobs)])
    ping(client)
    return time.perf_counter() - began


def advancing(port: int, messages: int) -> float:
    client = connected(port, "load")
    start_s = float(sys.argv[4])
    blobs = [
        b"".join(frame(n, ts=start_s + n // TOPICS / 10, root=b"moving") for n in range(start, start + BATCH))
        for start in range(0, messages, BATCH)
    ]
    began = time.perf_counter()
    for blob in blobs:
        client.sendall(blob)
    ping(client)
    return time.perf_counter() - began


def scattered(port: int, messages: int) -> float:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    clients = [connected(port, f"load-{number}") for number in range(CONNECTIONS)]
    sends = [client.send for client in clients]
    frames = [frame(number) for number in range(CONNECTIONS)]
    began = time.perf_counter()
    for _ in range(messages // CONNECTIONS):
        for send, data in zip(sends, frames, strict=True):
            send(data)
    for client in clients:
        ping(client)
    return time.perf_counter() - began


def qos1(port: int, messages: int) -> float:
    client = connected(port, "load")
    half = BATCH // 2
    blobs = [b"".join(frame(start + n, qos=1) for n in range(half)) for start in (0, half)]
    began = time.perf_counter()
    client.sendall(blobs[0])
    for number in range(1, messages // half):
        client.sendall(blobs[number % 2])
        receive(client, 4 * half)
    receive(client, 4 * half)
    return time.perf_counter() - began


if __name__ == "__main__":
    run = {"pipelined": pipelined, "advancing": advancing, "scattered": scattered, "qos1": qos1}[sys.argv[2]]
    print(int(sys.argv[3]) / run(int(sys.argv[1]), int(sys.argv[3])))
