"""The zygote: a warm process that forks workers.

    python -m littoral.functions.zygote --socket run/zygote.sock

It has one thread, no event loop and no secrets: it imports what workers need, and then only selects, forks, relays
output and reports. One hub at a time is connected; when another connects, the former is dropped and the new one is
told which workers there are, so that a hub may restart while functions go on answering. When the zygote dies, the
kernel kills its workers (PR_SET_PDEATHSIG).

Workers' output is relayed to standard error, line by line, after the app's name and the slot.
"""

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

# Loaded for the workers: what is imported here is shared with them and costs no time when one starts.
import datetime  # noqa: F401  isort:skip
import json  # noqa: F401  isort:skip
import urllib.parse  # noqa: F401  isort:skip

import msgspec

from littoral.core.garbage import keep_for_life
from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.functions import confine, worker
from littoral.functions.connection import check_socket_path
from littoral.functions.messages import EXIT_ORPHANED, Command, Drain, Start, WorkerEvent, WorkerSpec
from littoral.wire.frames import FrameReader, FrameTooLarge, frame

LINE_BYTES = 8192
"""A longer line of output is cut into pieces."""
READ_BYTES = 65_536
KEPT_VARIABLES = frozenset({"HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONPATH", "TZ", "VIRTUAL_ENV"})
UNSENT_BYTES = 1 << 20
"""A hub that does not read its reports is dropped; it learns of all workers when it connects again."""

_decode_command = msgspec.msgpack.Decoder(Command).decode
_decode_spec = msgspec.msgpack.Decoder(WorkerSpec).decode
_encode = msgspec.msgpack.Encoder().encode


class Child:
    """A worker as the zygote knows it."""

    def __init__(self, start: Start, pid: int, output: int, ready: int) -> None:
        self.app = start.app
        self.slot = start.slot
        self.revision = start.revision
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.output = output
        self.ready = ready
        self.is_ready = False
        self.is_draining = False
        self.report = b""
        self.line = b""

    def event(self, kind: str, detail: str = "") -> bytes:
        """A report about this worker."""
        return _encode((kind, self.app, self.slot, self.revision, self.pid, detail))


class Zygote:
    """The event loop, such as it is."""

    def __init__(self, listener: socket.socket, command_bytes: int) -> None:
        """command_bytes: the longest command accepted."""
        self._listener = listener
        self._command_bytes = command_bytes
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._children: dict[int, Child] = {}
        self._hub: socket.socket | None = None
        self._reader = FrameReader(command_bytes)
        self._unsent = b""

    def run(self) -> NoReturn:
        """Serve until killed."""
        while True:
            for key, events in self._selector.select():
                # An earlier event of this turn may have dropped this one's descriptor.
                if key.fd in self._selector.get_map():
                    act: Callable[[int], None] = key.data
                    act(events)

    # --- the hub

    def _accept(self, events: int) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        self._drop_hub()
        self._hub = connection
        self._reader = FrameReader(self._command_bytes)
        self._selector.register(connection, selectors.EVENT_READ, self._talk)
        for child in self._children.values():
            state = "draining" if child.is_draining else "ready" if child.is_ready else "starting"
            self._send(child.event("known", state))
        self._send(_encode(WorkerEvent("known", "", 0, "", 0)))

    def _drop_hub(self) -> None:
        if self._hub is not None:
            self._selector.unregister(self._hub)
            self._hub.close()
            self._hub = None
            self._unsent = b""

    def _talk(self, events: int) -> None:
        assert self._hub is not None
        if events & selectors.EVENT_WRITE:
            self._flush()
        if not events & selectors.EVENT_READ or self._hub is None:
            return
        try:
            data = self._hub.recv(READ_BYTES)
            for body in self._reader.feed(data):
                self._obey(_decode_command(body))
        except (OSError, FrameTooLarge, msgspec.ValidationError, msgspec.DecodeError):
            data = b""
        if not data:
            self._drop_hub()

    def _send(self, body: bytes) -> None:
        if self._hub is not None:
            self._unsent += frame(body)
            self._flush()

    def _flush(self) -> None:
        if self._hub is None:
            return
        try:
            sent = self._hub.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop_hub()
            return
        self._unsent = self._unsent[sent:]
        if len(self._unsent) > UNSENT_BYTES:
            self._drop_hub()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._hub, wanted, self._talk)

    def _obey(self, command: Command) -> None:
        if isinstance(command, Start):
            self._start(command)
        elif (child := self._children.get(command.pid)) is not None:
            child.is_draining = child.is_draining or isinstance(command, Drain)
            number = signal.SIGTERM if isinstance(command, Drain) else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.handle, number)

    # --- workers

    def _start(self, start: Start) -> None:
        threads = len(os.listdir("/proc/self/task"))
        # A lock that another thread holds would stay locked in the child for ever.
        assert threads == 1, f"the zygote has {threads} threads; fork is not safe"
        zygote = os.getpid()
        pipes: list[int] = []
        try:
            pipes += os.pipe()
            pipes += os.pipe()
            pid = os.fork()
        except OSError as error:
            for descriptor in pipes:
                os.close(descriptor)
            failure = WorkerEvent("exited", start.app, start.slot, start.revision, 0, f"cannot fork: {error.strerror}")
            self._send(_encode(failure))
            return
        output, child_output, ready, child_ready = pipes
        if pid == 0:
            be_worker(start.spec, zygote, child_output, child_ready)
        os.close(child_output)
        os.close(child_ready)
        os.set_blocking(ready, False)
        child = Child(start, pid, output, ready)
        self._children[pid] = child
        self._selector.register(output, selectors.EVENT_READ, lambda events: self._relay(child))
        self._selector.register(ready, selectors.EVENT_READ, lambda events: self._hear(child))
        self._selector.register(child.handle, selectors.EVENT_READ, lambda events: self._reap(child))
        self._send(child.event("started"))

    def _hear(self, child: Child) -> None:
        """The worker says whether it is ready: nothing but the end of the pipe's data says that it died first."""
        while data := _read_ready(child.ready):
            child.report += data
        if data is not None:
            self._settle(child)

    def _settle(self, child: Child) -> None:
        self._selector.unregister(child.ready)
        os.close(child.ready)
        child.ready = -1
        if child.report == b"ready":
            child.is_ready = True
            self._send(child.event("ready"))
        else:
            self._send(child.event("failed", child.report.decode("utf-8", "replace") or "it died while it started"))

    def _relay(self, child: Child) -> None:
        """Pass on what one read gives. A worker that writes faster than this is held up by its own pipe."""
        data = os.read(child.output, READ_BYTES)
        if not data:
            self._selector.unregister(child.output)
            os.close(child.output)
            child.output = -1
        *lines, child.line = (child.line + data).split(b"\n")
        if child.line and (not data or len(child.line) > LINE_BYTES):
            lines.append(child.line)
            child.line = b""
        prefix = f"{child.app}-{child.slot}: ".encode()
        pieces = (line[at : at + LINE_BYTES] for line in lines for at in range(0, max(len(line), 1), LINE_BYTES))
        log = b"".join(prefix + piece + b"\n" for piece in pieces)
        with contextlib.suppress(OSError):
            # The supervisor may be gone; functions go on without a log until this process is told to end.
            os.write(2, log)

    def _reap(self, child: Child) -> None:
        self._selector.unregister(child.handle)
        os.close(child.handle)
        _, status = os.waitpid(child.pid, 0)
        del self._children[child.pid]
        if child.ready >= 0:
            self._hear(child)
        if child.ready >= 0:
            # Something that the app started holds the pipe open.
            self._settle(child)
        code = os.waitstatus_to_exitcode(status)
        self._send(child.event("exited", f"exit {code}" if code >= 0 else f"signal {-code}"))


def _read_ready(descriptor: int) -> bytes | None:
    """What there is to read: b"" at the end, None if nothing yet."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None


def be_worker(spec_bytes: bytes, zygote: int, output: int, ready: int) -> NoReturn:
    """What the forked child does, until it exits. The zygote's objects are left alone: their descriptors are closed
    here, and this frame never returns to them."""
    code = 1
    try:
        if not confine.die_with_parent(zygote):
            os._exit(EXIT_ORPHANED)
        ready = confine.take_descriptors(output, ready)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        spec = _decode_spec(spec_bytes)
        sys.argv = [spec.main]

        def report(failure: str) -> None:
            os.write(ready, failure.encode() or b"ready")
            os.close(ready)

        try:
            confine.confine(spec.directory, spec.memory_bytes)
        except OSError as error:
            report(f"cannot set up its worker: {error}")
            raise
        code = worker.run(spec, report)
    except BaseException:  # noqa: BLE001 - the last frame of this process: nothing may unwind into the zygote's loop
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def listen(path: str) -> socket.socket:
    """The socket at `path`, open to this user only, in the place of one that a former zygote left."""
    aside = path + "~"
    Path(aside).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(aside)
    listener.listen()
    os.rename(aside, path)
    return listener


def leave_environment_behind() -> None:
    """Begin again without what the environment holds beyond the needs of Python.

    Removing variables is not enough: a worker could read those the process was started with in /proc/self/environ.
    """
    kept = {name: value for name, value in os.environ.items() if name in KEPT_VARIABLES}
    if len(kept) < len(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)  # noqa: S606 - itself


def main() -> NoReturn:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="littoral.functions.zygote")
    parser.add_argument("--socket", required=True, type=Path, help="where the hub connects")
    parser.add_argument("--command-bytes", type=int, default=CONTROL_FRAME_BYTES.default, help="longest of a command")
    arguments = parser.parse_args()
    leave_environment_behind()
    os.umask(0o077)
    # Ctrl-C in a terminal reaches the whole group; the supervisor decides in which order processes end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    zygote = Zygote(listen(check_socket_path(arguments.socket.absolute())), arguments.command_bytes)
    keep_for_life()
    zygote.run()


if __name__ == "__main__":
    main()
