"""A worker, or an environment, as the zygote knows it."""

import os
import socket
from collections import deque

import msgspec

from littoral.functions.messages import Start
from littoral.functions.zygote.child_ends import Ends
from littoral.functions.zygote.preload import MESSAGE_BYTES
from littoral.functions.zygote.worker_log import WorkerLog

READ_BYTES = 65_536
"""So much is read of its pipes at once."""
REPORT_BYTES = MESSAGE_BYTES
"""A worker that says more than that while it starts is ended: what it has imported is passed on in one message."""

_encode = msgspec.msgpack.Encoder().encode


class Child:
    """A worker as the zygote knows it."""

    def __init__(self, start: Start, pid: int, ends: Ends) -> None:
        self.app = start.app
        self.slot = start.slot
        self.revision = start.revision
        self.pid = pid
        self.socket = ends.path
        self.is_seen = ends.is_seen
        """Whether its socket is where gateways look for it."""
        self.handle = os.pidfd_open(pid)
        self.output = ends.output
        self.log = WorkerLog(f"{start.app}-{start.slot}", start.log_lines, start.log_bytes)
        self.ready = ends.ready
        self.is_ready = False
        self.is_draining = False
        self.report = bytearray()

        self.channel: socket.socket | None = None
        """To an environment: orders to fork."""
        self.ordered: deque[tuple[Start, Ends]] = deque()
        """Those that it has not followed yet."""
        self.environment: Child | None = None
        """Where it was forked, if it is not this process."""
        self.has_learned = False
        """Whether it was told what its first worker imported besides."""

    def event(self, kind: str, detail: str = "") -> bytes:
        """A report about this worker."""
        return _encode((kind, self.app, self.slot, self.revision, self.pid, detail))


def wait_for(pid: int) -> str:
    """How a child ended that has."""
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return "exit unknown"
    return f"exit {code}" if code >= 0 else f"signal {-code}"
