"""What a process does that may become a worker, before it is one: all that every worker does, once, with an app of no use.

A forked process shares its memory with the zygote until one of the two writes to it, and each page that is written then costs as
much time as a thousand lines of Python. After a rehearsal the pages that a start and a first request write to are its own.
"""

import asyncio
import signal
import socket
import sys
import tempfile
from pathlib import Path

import msgspec

from littoral.core.garbage import keep_for_life
from littoral.functions.messages import Call, WorkerBounds, WorkerSpec
from littoral.functions.worker.lean_loop import lean_loop
from littoral.functions.worker.loader import App, find_app, load_module
from littoral.functions.worker.worker import Worker
from littoral.wire.frames import FrameReader, frame

APP = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(request.url)
"""
UNBOUNDED = 1 << 62
"""More than the kernel allows, and less than it can count."""
FRAME_BYTES = 1 << 16
CALL = Call(1, "GET", "http://localhost/", [("host", "localhost"), ("accept", "*/*")], deadline_ms=1000)
ANSWERS = 2
"""Frames: who the worker is, and what it says to the call."""
SPEC = WorkerSpec(
    app="rehearsal",
    directory="",
    main="rehearsal.py",
    vars={},
    kv={},
    memory_bytes=UNBOUNDED,
    inflight=1,
    background=1,
    frame_bytes=FRAME_BYTES,
    binding_wait_ms=0,
    binding_bytes=FRAME_BYTES,
    bindings_socket="",
    credential="",
    bounds=WorkerBounds(open_files=UNBOUNDED, temporary_bytes=UNBOUNDED, threads=UNBOUNDED),
)


def rehearse(aside: str) -> asyncio.AbstractEventLoop:
    """Start, answer one request, and leave nothing behind but the loop, for the worker. aside: a directory where no app finds a socket.
    Raises OSError."""
    path, flag = list(sys.path), sys.dont_write_bytecode
    with tempfile.TemporaryDirectory(prefix="", dir=aside) as directory:
        Path(directory, SPEC.main).write_text(APP, encoding="ascii")
        runner = asyncio.Runner(loop_factory=lean_loop)
        spec = msgspec.msgpack.decode(msgspec.msgpack.encode(SPEC), type=WorkerSpec)
        app = find_app(load_module(directory, spec.main))
        runner.run(_answer(app, spec, f"{directory}/0"))
    loop = runner.get_loop()
    loop.remove_signal_handler(signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.path[:], sys.dont_write_bytecode = path, flag
    sys.modules.pop(Path(SPEC.main).stem, None)
    keep_for_life()
    return loop


async def _answer(app: App, spec: WorkerSpec, path: str) -> None:
    """Serve one request, which this sends itself."""
    worker = Worker(spec, app)
    loop, reader, told = asyncio.get_running_loop(), FrameReader(FRAME_BYTES), 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, socket.socket(socket.AF_UNIX) as gateway:
        listener.bind(path)
        listener.listen()
        gateway.connect(path)
        gateway.sendall(frame(msgspec.msgpack.encode(CALL)))

        def read() -> None:
            nonlocal told
            told += len(list(reader.feed(gateway.recv(FRAME_BYTES))))
            if told == ANSWERS:
                loop.remove_reader(gateway)
                gateway.close()
                worker.drain()

        loop.add_reader(gateway, read)
        await worker.serve(listener, lambda: None)
