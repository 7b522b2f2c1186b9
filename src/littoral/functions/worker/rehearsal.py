"""What a process does that may become a worker, before it is one: all that every worker does, once, with an app of no use.

A forked process shares its memory with the zygote until one of the two writes to it, and each page that is written then costs as
much time as a thousand lines of Python. After a rehearsal the pages that a start and a first request write to are its own.

The zygote rehearses as well, and more often, before it forks anything: what Python writes to code that runs often is then in the memory
that all share, and no worker writes it once more.
"""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
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
ROUNDS, CALLS = 12, 20
"""Of the zygote. Python 3.11 writes to a function while it is called for the first eight times, and once more where it then replaces
instructions by such as fit what it has seen (PEP 659)."""
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


def rehearse(
    aside: str, calls: int = 1, new_loop: Callable[[], asyncio.AbstractEventLoop] = lean_loop
) -> asyncio.AbstractEventLoop:
    """Start, answer so many requests, and leave nothing behind but the loop, for the worker. aside: a directory where no app finds a
    socket. Raises OSError."""
    path, flag = list(sys.path), sys.dont_write_bytecode
    try:
        with tempfile.TemporaryDirectory(prefix="", dir=aside) as directory:
            Path(directory, SPEC.main).write_text(APP, encoding="ascii")
            runner = asyncio.Runner(loop_factory=new_loop)
            spec = msgspec.msgpack.decode(msgspec.msgpack.encode(SPEC), type=WorkerSpec)
            app = find_app(load_module(directory, spec.main))
            runner.run(_answer(app, spec, f"{directory}/0", calls))
        loop = runner.get_loop()
        loop.remove_signal_handler(signal.SIGTERM)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGALRM, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        sys.path[:], sys.dont_write_bytecode = path, flag
        sys.modules.pop(Path(SPEC.main).stem, None)
    keep_for_life()
    return loop


def learn_by_heart(aside: str) -> None:
    """In the zygote, before it forks: rehearse until Python has nothing more to write to the code that every worker runs. Leaves nothing
    behind. Raises OSError."""
    # Meanwhile a worker would be told to leave by it, and the zygote would go on.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        for _ in range(ROUNDS):
            # Of the other loop a pipe stays for as long as the process lasts, which what is forked would close without telling it.
            rehearse(aside, CALLS, asyncio.SelectorEventLoop).close()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


async def _answer(app: App, spec: WorkerSpec, path: str, calls: int) -> None:
    """Serve so many requests, which this sends itself, and an answer to each comes after the word of who the worker is."""
    worker = Worker(spec, app)
    loop, reader, told = asyncio.get_running_loop(), FrameReader(FRAME_BYTES), 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, socket.socket(socket.AF_UNIX) as gateway:
        listener.bind(path)
        listener.listen()
        gateway.connect(path)
        for number in range(calls):
            gateway.sendall(frame(msgspec.msgpack.encode(msgspec.structs.replace(CALL, id=number + 1))))

        def read() -> None:
            nonlocal told
            told += len(list(reader.feed(gateway.recv(FRAME_BYTES))))
            if told == 1 + calls:
                loop.remove_reader(gateway)
                gateway.close()
                worker.drain()

        loop.add_reader(gateway, read)
        await worker.serve(listener, lambda: None)
