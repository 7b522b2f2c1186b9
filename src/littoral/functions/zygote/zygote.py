"""The zygote: a warm process that forks workers.

    python -m littoral.functions.zygote.zygote --socket run/zygote.sock

It has one thread, no event loop once it serves, and no secrets: it imports what workers need, goes through what they do, and then only
selects, forks, relays output and reports. One hub at a time is connected; when another connects, the former is dropped and the new one is
told which workers there are, so that a hub may restart while functions go on answering. When the zygote dies, the
kernel kills its workers (PR_SET_PDEATHSIG).

Workers' output is relayed to standard error, line by line, after the app's name and the slot.

An app with packages has an environment (`littoral.functions.zygote.preload`), a child from which its workers are forked. They are this
process's children all the same, and what is said here of workers holds for them.
"""

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

# Loaded for the workers: what is imported here is shared with them and costs no time when one starts.
import datetime  # noqa: F401  isort:skip
import json  # noqa: F401  isort:skip
import urllib.parse  # noqa: F401  isort:skip
import littoral.workers.asgi  # isort:skip
import littoral.workers.wsgi  # noqa: F401  isort:skip

import msgspec

from littoral.core.function_limits import FUNCTION_FIRST_USER, FUNCTION_SPARES
from littoral.core.garbage import keep_for_life
from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.functions.confinement import kernel, seccomp
from littoral.functions.confinement.confine import Confinement, take_descriptors
from littoral.functions.connection import check_socket_path
from littoral.functions.messages import PRELOAD, Command, Drain, Preload, Start, WorkerEvent
from littoral.functions.places import WORKERS, worker_socket
from littoral.functions.worker import worker
from littoral.functions.worker.rehearsal import learn_by_heart
from littoral.functions.zygote import preload
from littoral.functions.zygote.app_users import AppUsers
from littoral.functions.zygote.child_ends import Ends, hand_over
from littoral.functions.zygote.child_process import be_child, check_threads
from littoral.functions.zygote.hub_connection import HubConnection
from littoral.functions.zygote.output_relay import OutputRelay
from littoral.functions.zygote.socket_files import aside, bind_anew, listen
from littoral.functions.zygote.spares import Spares
from littoral.functions.zygote.zygote_child import READ_BYTES, REPORT_BYTES, Child, wait_for
from littoral.functions.zygote.zygote_clock import monotonic_s
from littoral.functions.zygote.zygote_environments import Environments

KEPT_VARIABLES = frozenset({"HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONPATH", "TZ", "VIRTUAL_ENV"})
REHEARSAL = Start("", 0, "", b"", place="~")
"""Of no app."""

_encode = msgspec.msgpack.Encoder().encode
_decode_start = msgspec.msgpack.Decoder(Start).decode


class Zygote:
    """The event loop, such as it is."""

    def __init__(
        self, listener: socket.socket, command_bytes: int, confinement: Confinement, users: AppUsers, spares: int = 0
    ) -> None:
        """command_bytes: the longest command accepted. spares: processes that are forked before there is a worker for them to be."""
        self._run_dir = Path(listener.getsockname()).parent
        self._confinement = confinement
        self._users = users
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}
        self._hub = HubConnection(self._selector, listener, command_bytes, self._obey, self._known)
        self._output = OutputRelay(self._selector, self._hub)
        self._environments = Environments(self, self._selector, confinement, self._children)
        self._spares = Spares(spares, confinement, str(self._run_dir / WORKERS))

    def run(self) -> NoReturn:
        """Serve until killed."""
        while True:
            events_now = self._selector.select(self._wait_s())
            if _is_due(self._output.due_s):
                self._output.end_second()
            if not events_now and _is_due(self._spares.due_s):
                self._spares.fork()
                self._rehearse()
            for key, events in events_now:
                if is_registered(self._selector, key):
                    act: Callable[[int], None] = key.data
                    act(events)

    def _wait_s(self) -> float | None:
        """Until there is something to be done without an event."""
        due_s = [each_s for each_s in (self._output.due_s, self._spares.due_s) if each_s is not None]
        return max(0.0, min(due_s) - monotonic_s()) if due_s else None

    def _known(self) -> Iterator[bytes]:
        """What a hub is told that connects: which workers there are, and what this machine cannot do to confine them."""
        for child in self._children.values():
            state = "draining" if child.is_draining else "ready" if child.is_ready else "starting"
            yield child.event("known", state)
        yield _encode(WorkerEvent("known", "", 0, "", 0, self._confinement.means.missing))

    def _obey(self, command: Command, spec: int) -> None:
        if isinstance(command, Start):
            self.start(command, spec)
        elif isinstance(command, Preload):
            self._environments.begin(command, spec)
        elif (child := self._children.get(command.pid)) is not None:
            child.is_draining = child.is_draining or isinstance(command, Drain)
            number = signal.SIGTERM if isinstance(command, Drain) else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.handle, number)

    # --- workers

    def start(self, start: Start, spec: int) -> None:
        """Have a worker. spec: the descriptor of what it has to know, which is closed once the worker has it."""
        try:
            ends = self._ends(start, spec)
            user = self.take_user(start.app)
        except (OSError, OverflowError) as error:
            os.close(spec)
            self.cannot_start(start, error)
            return
        if start.preloaded and self._environments.order(start, ends):
            return
        if (pid := self._spares.take(ends, user)) is not None:
            ends.close_childs()
            self.adopt(start, pid, ends)
            return
        confinement = self._confinement
        take = partial(take_descriptors, kept=confinement.descriptors)
        enter = partial(confinement.enter, user=user)
        self.fork(start, ends, partial(be_child, take=take, enter=enter, run=worker.run))

    def fork(self, start: Start, ends: Ends, be: preload.Be) -> Child | None:
        """A new child; None if there is none to be had, which is reported."""
        check_threads()
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            ends.close_childs()
            ends.close_ours()
            os.close(ends.spec)
            self.leave_user(start.app)
            self.cannot_start(start, error)
            return None
        if pid == 0:
            be(ends.spec, zygote, *ends.childs)
        ends.close_childs()
        return self.adopt(start, pid, ends)

    def adopt(self, start: Start, pid: int, ends: Ends) -> Child:
        """See to a child that was forked. Raises ProcessLookupError."""
        child = self._watch(start, pid, ends)
        self._children[pid] = child
        self._hub.send(child.event("started"))
        return child

    def _watch(self, start: Start, pid: int, ends: Ends) -> Child:
        child = Child(start, pid, ends)
        os.close(ends.spec)
        os.set_blocking(child.ready, False)
        self._output.listen_to(child)
        self._selector.register(child.ready, selectors.EVENT_READ, lambda events: self._hear(child))
        self._selector.register(child.handle, selectors.EVENT_READ, lambda events: self._reap(child))
        return child

    def _rehearse(self) -> None:
        """Go through a start of nothing. What is shared with a child is copied when this process writes to it first, and that is to be
        done by the time that a request waits."""
        start = _decode_start(_encode(REHEARSAL))
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near, far:
            spec = os.open(os.devnull, os.O_RDONLY)
            try:
                ends = self._ends(start, spec)
            except OSError:
                os.close(spec)
                return
            hand_over(near, ends, b"0")
            ends.close_childs()
            child = self._watch(start, os.getpid(), ends)
        for each in (child.output, child.ready, child.handle):
            # Before the next turn, so that nothing is heard of it.
            self._selector.unregister(each)
            os.close(each)
        os.unlink(child.socket)

    def cannot_start(self, start: Start, error: Exception) -> None:
        """Report that there is no such child."""
        self._hub.send(
            _encode(WorkerEvent("exited", start.app, start.slot, start.revision, 0, f"cannot fork: {error}"))
        )

    def take_user(self, app: str) -> int | None:
        """For one more child of the app. Raises OverflowError."""
        return self._users.take(app) if self._confinement.gives_users else None

    def leave_user(self, app: str) -> None:
        """A child that took it is none any more."""
        if self._confinement.gives_users:
            self._users.leave(app)

    def _ends(self, start: Start, spec: int) -> Ends:
        """Of a worker that is about to start. Raises OSError.

        Its socket is made here: an app that could make files there could lead gateways elsewhere with a link. Where no other worker
        serves, gateways see it at once, and have connected by the time that the worker is ready; else it is aside until then.
        """
        path = str(self._run_dir / worker_socket(start.place, start.slot))
        is_seen = True
        for child in self._children.values():
            if child.socket == path and not child.is_ready:
                # Its place is taken by the next one, whose socket has the same name.
                child.socket = ""
            is_seen = is_seen and (child.socket != path or child.is_draining)
        return Ends(bind_anew(path if is_seen else aside(path)), spec, path, is_seen=is_seen)

    def _hear(self, child: Child) -> bool:
        """The worker says whether it is ready: nothing but the end of the pipe's data says that it died first. One read at a time, since
        the app's own code may write there. Returns whether there may be more."""
        if (data := _read_ready(child.ready)) is None:
            return False
        child.report += data
        if not data:
            self._settle(child)
        elif len(child.report) > REPORT_BYTES:
            child.report = bytearray(f"it wrote more than {REPORT_BYTES} bytes where it says that it is ready".encode())
            self._settle(child)
            self.kill(child)
        return child.ready >= 0

    @staticmethod
    def kill(child: Child) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.handle, signal.SIGKILL)

    def _settle(self, child: Child) -> None:
        self._selector.unregister(child.ready)
        os.close(child.ready)
        child.ready = -1
        report, _, imported = child.report.decode("utf-8", "replace").partition("\n")
        report = report or "it died while it started"
        serves = child.slot != PRELOAD
        if report == "ready" and serves and not child.socket:
            report = "another worker has taken its place"
        if report == "ready" and not child.is_seen:
            # A new revision takes over in one step.
            try:
                os.rename(aside(child.socket), child.socket)
            except OSError as error:
                report = f"it cannot be reached: {error}"
        if report == "ready":
            child.is_ready = True
            self._hub.send(child.event("ready"))
            self._environments.teach(child.environment, imported)
        else:
            if child.is_seen and child.socket:
                Path(child.socket).unlink(missing_ok=True)
            self._hub.send(child.event("failed", report))

    def _reap(self, child: Child) -> None:
        ended = wait_for(child.pid)
        del self._children[child.pid]
        self._environments.end_strangers(child, self._children.values())
        self.leave_user(child.app)
        if not any(each.app == child.app for each in self._children.values()):
            self._confinement.leave(child.app)
        self._environments.close(child)
        _reap_strangers(self._children)
        while child.ready >= 0 and self._hear(child):
            pass
        if child.ready >= 0:
            # Something that the app started holds the pipe open.
            self._settle(child)
        self._selector.unregister(child.handle)
        os.close(child.handle)
        self._hub.send(child.event("exited", ended))


def is_registered(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> bool:
    """Whether no earlier event of this turn has dropped this one's descriptor, or given its number to another."""
    now = selector.get_map().get(key.fd)
    return now is not None and (now.fileobj, now.data) == (key.fileobj, key.data)


def _is_due(due_s: float | None) -> bool:
    return due_s is not None and monotonic_s() >= due_s


def _read_ready(descriptor: int) -> bytes | None:
    """What there is to read: b"" at the end, None if nothing yet."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None


def _reap_strangers(known: Container[int]) -> None:
    """Children of workers, where they may have any, are this process's once the worker has ended (PR_SET_CHILD_SUBREAPER)."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in known:
            os.waitpid(ended.si_pid, 0)


def leave_environment_behind() -> None:
    """Begin again without what the environment holds beyond the needs of Python.

    Removing variables is not enough: a worker could read those the process was started with in /proc/self/environ.
    """
    kept = {name: value for name, value in os.environ.items() if name in KEPT_VARIABLES}
    if len(kept) < len(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)  # noqa: S606 - itself


def main() -> NoReturn:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="littoral.functions.zygote.zygote")
    parser.add_argument("--socket", required=True, type=Path, help="where the hub connects")
    parser.add_argument("--command-bytes", type=int, default=CONTROL_FRAME_BYTES.default, help="longest of a command")
    parser.add_argument("--first-user", type=int, default=FUNCTION_FIRST_USER.default, help="of the users of apps")
    parser.add_argument("--spares", type=int, default=FUNCTION_SPARES.default, help="processes that wait to be workers")
    arguments = parser.parse_args()
    leave_environment_behind()
    os.umask(0o077)
    # Ctrl-C in a terminal reaches the whole group; the supervisor decides in which order processes end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.path and sys.path[0] == str(Path.cwd()):
        # `python -m` puts it there; neither this process nor any app is to import from where the node was started.
        del sys.path[0]
    # As workers have it, which would each take a tenth of a millisecond for it.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # What an environment forks becomes a child of this process.
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    path = arguments.socket.absolute()
    confinement = Confinement(path.parent)
    users = AppUsers(arguments.first_user, str(path.parent))
    if confinement.gives_users:
        users.end_former()
    seccomp.prepare()
    # What cannot be rehearsed takes more memory in each worker, and works.
    with contextlib.suppress(OSError):
        learn_by_heart(str(path.parent / WORKERS))
    listener = listen(check_socket_path(path))
    zygote = Zygote(listener, arguments.command_bytes, confinement, users, arguments.spares)
    keep_for_life()
    zygote.run()


if __name__ == "__main__":
    main()
