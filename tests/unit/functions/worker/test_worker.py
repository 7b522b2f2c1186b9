"""A worker's process, against a gateway that this test plays, frame by frame."""

import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from littoral.functions.messages import REVISION, Answer, Call, WorkerSpec
from littoral.functions.pieces import GONE, piece_head
from littoral.wire.frames import FrameReader, frame

APP = """
import asyncio
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    runs = 0

    async def fetch(self, request):
        Default.runs += 1
        if request.path == "/hang":
            await asyncio.Event().wait()
        if request.path == "/turn":
            await asyncio.sleep(0)
        return Response(f"run {Default.runs}, aborted: {request.signal.aborted}")
"""
RUN = """
import sys
import msgspec
from littoral.functions.worker import worker
from littoral.functions.messages import WorkerSpec

spec = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=WorkerSpec)
sys.exit(worker.run(spec, int(sys.argv[1]), lambda failure: None))
"""
INFLIGHT = 2

_encode = msgspec.msgpack.Encoder().encode


class Gateway:
    """A connection to the worker. What is sent in one go comes there in one read."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self._reader = FrameReader(1 << 24)
        self._waiting: deque[Answer] = deque()
        assert self.answer().headers == [(REVISION, "r-1")]

    def say(self, *bodies: bytes) -> None:
        self.socket.sendall(b"".join(frame(body) for body in bodies))

    def _read(self) -> list[Answer]:
        """What has come; at least one."""
        found: list[Answer] = []
        while not found:
            data = self.socket.recv(1 << 16)
            assert data, "the worker has closed the connection"
            found = [msgspec.msgpack.decode(body, type=Answer) for body in self._reader.feed(data)]
        return found

    def answer(self) -> Answer:
        if not self._waiting:
            self._waiting.extend(self._read())
        return self._waiting.popleft()

    def answer_of(self, body: bytes) -> Answer:
        self.say(body)
        return self.answer()


def get(number: int, path: str = "/") -> bytes:
    return _encode(Call(number, "GET", f"http://edge.test{path}", deadline_ms=10_000, request_id=f"id-{number}"))


def cancel(number: int) -> bytes:
    return _encode(Call(number, ""))


def spec(directory: Path) -> WorkerSpec:
    return WorkerSpec(
        app="shop",
        directory=str(directory),
        main="main.py",
        vars={},
        kv={},
        memory_bytes=1 << 30,
        inflight=INFLIGHT,
        background=1,
        frame_bytes=1 << 24,
        binding_wait_ms=1000,
        binding_bytes=1 << 20,
        bindings_socket=str(directory / "none"),
        credential="",
        revision="r-1",
    )


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    (tmp_path / "main.py").write_text(APP)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "0"))
        listener.listen()
        command = [sys.executable, "-c", RUN, str(listener.fileno())]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
    assert process.stdin is not None
    try:
        with process.stdin as stdin:
            stdin.write(_encode(spec(tmp_path)))
        gateway = Gateway(str(tmp_path / "0"))
        with gateway.socket:
            yield gateway
    finally:
        process.kill()
        process.wait()


def test_what_is_cancelled_in_the_turn_it_began_in_ends_and_does_not_count_any_more(gateway: Gateway) -> None:
    for number in range(1, INFLIGHT + 2):
        gateway.say(get(number, "/hang"), cancel(number))
        answer = gateway.answer()
        assert (answer.id, answer.error) == (number, "cancelled")
    gateway.say(get(9))
    assert gateway.answer().body == b"run 4, aborted: False"


def test_a_client_that_left_in_the_turn_its_request_began_in_is_told_of(gateway: Gateway) -> None:
    gateway.say(get(1, "/turn"), piece_head(GONE, 1))
    assert gateway.answer().body == b"run 1, aborted: True"
    gateway.say(get(2), piece_head(GONE, 2), cancel(2), get(3))
    assert gateway.answer().body == b"run 2, aborted: False", "it was answered before its client left"
    assert gateway.answer().id == 3


def test_no_more_requests_are_begun_than_a_worker_takes(gateway: Gateway) -> None:
    hanging = [get(number, "/hang") for number in range(1, INFLIGHT + 1)]
    gateway.say(*hanging, get(8))
    assert (gateway.answer().error, gateway.answer_of(cancel(1)).error) == ("overload", "cancelled")
    gateway.say(get(9))
    assert gateway.answer().status == 200
