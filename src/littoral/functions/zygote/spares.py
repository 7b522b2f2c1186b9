"""Processes that are forked before there is a worker for them to be: it takes less time than to fork one that is waited for."""

import os
import socket
from collections import deque

from littoral.functions.confinement.confine import Confinement
from littoral.functions.zygote.child_ends import Ends, hand_over
from littoral.functions.zygote.child_process import PREPARED, be_spare, check_threads
from littoral.functions.zygote.zygote_clock import monotonic_s

SPARE_S = 0.05
"""For so long after a worker was started no spare one is forked: that would take the time of the one that starts."""
RETRY_S = 1.0
"""Where no process can be forked, after so long it is tried again."""


class Spares:
    """Those of one zygote."""

    def __init__(self, wanted: int, confinement: Confinement, aside: str) -> None:
        """wanted: so many are kept. aside: a directory where no app finds a socket."""
        self._wanted = wanted
        self._confinement = confinement
        self._aside = aside
        self._waiting: deque[tuple[int, socket.socket]] = deque()
        """By number, with the channel by which they are told to be a worker."""
        self._due_s = 0.0

    @property
    def due_s(self) -> float | None:
        """When the next one is to be forked; None if there are enough."""
        return self._due_s if len(self._waiting) < self._wanted else None

    def take(self, ends: Ends, user: int | None) -> int | None:
        """Have one be this worker. Returns its number, or None if there is none."""
        self._due_s = monotonic_s() + SPARE_S
        while self._waiting:
            pid, channel = self._waiting[0]
            try:
                is_prepared = channel.recv(len(PREPARED)) == PREPARED
            except BlockingIOError:
                # Nor are those that were forked later.
                return None
            self._waiting.popleft()
            with channel:
                if is_prepared and hand_over(channel, ends, b"%d" % (user or 0)):
                    return pid
        return None

    def fork(self) -> None:
        """Have one more."""
        check_threads()
        zygote, confinement = os.getpid(), self._confinement
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = os.fork()
        except OSError:
            self._due_s = monotonic_s() + RETRY_S
            ours.close()
            theirs.close()
            return
        if pid == 0:
            be_spare(zygote, theirs.fileno(), confinement, self._aside)
        theirs.close()
        ours.setblocking(False)
        self._waiting.append((pid, ours))
