"""Gateways replaced one after another, without a client noticing: the next one serves before the one before it leaves.

    1  another process is started on the same listening socket; it says by a pipe that it serves
    2  the one before it is sent SIGHUP: it takes no more connections, finishes what it has begun, and ends by itself
    3  then comes the next gateway

A process that does not come to serve stops all of it: the gateways that are left go on as they are.
"""

import contextlib
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterable

from littoral.core.clock import Clock
from littoral.node.child import Child

READY_S = 30.0
"""How long a process may take to serve."""
LOOK_S = 0.02
"""How often it is looked whether it does."""
READY_OPTION = "--ready-fd"
Start = Callable[[Child, int], "subprocess.Popen[bytes] | None"]
"""Starts a child anew, with a descriptor by which it says that it serves; None where that cannot be done now."""


class Rollover:
    """Of the gateways of one node. Its owner calls `step` again and again while it `is_active`."""

    def __init__(self, start: Start, clock: Clock, say: Callable[[str], None]) -> None:
        self._start = start
        self._clock = clock
        self._say = say
        self._waiting: deque[Child] = deque()
        self._next: subprocess.Popen[bytes] | None = None
        """The process that is to take the place of that of the first of `_waiting`."""
        self._ready = -1
        """Where it says that it serves."""
        self._until_s = 0.0
        self.leaving: list[subprocess.Popen[bytes]] = []
        """Processes that finish what they have begun."""

    @property
    def is_active(self) -> bool:
        """Whether gateways are left to be replaced."""
        return bool(self._waiting)

    def begin(self, children: Iterable[Child]) -> None:
        """Replace these; once only those that wait for it already."""
        to_come = list(self._waiting)[0 if self._next is None else 1 :]
        self._waiting.extend(child for child in children if child not in to_come)

    def step(self) -> bool:
        """Go on as far as that can be done now. Returns whether a child has another process since."""
        self.reap()
        if not self._waiting:
            return False
        if self._next is None:
            self._begin_next()
            return False
        serves = self._serves()
        if serves:
            self._hand_over()
        elif serves is not None:
            self._give_up()
        return bool(serves)

    def reap(self) -> None:
        """Forget those that have left."""
        self.leaving = [process for process in self.leaving if process.poll() is None]

    def stop(self) -> list["subprocess.Popen[bytes]"]:
        """Replace no more. Returns the processes that are still there, besides those of the children."""
        self._waiting.clear()
        processes = [*self.leaving, *([self._next] if self._next is not None else [])]
        self._close()
        return processes

    def _begin_next(self) -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._next = self._start(self._waiting[0], theirs)
        finally:
            os.close(theirs)
        self._ready = ours
        self._until_s = self._clock.monotonic_s() + READY_S
        if self._next is None:
            self._give_up()

    def _serves(self) -> bool | None:
        """Whether the next process does; None while that is not known."""
        try:
            # Nothing, where it has ended.
            return bool(os.read(self._ready, 1))
        except BlockingIOError:
            return None if self._clock.monotonic_s() < self._until_s else False

    def _hand_over(self) -> None:
        child = self._waiting.popleft()
        before, child.process = child.process, self._next
        child.started_s = self._clock.monotonic_s()
        self._close()
        if before is not None and before.poll() is None:
            before.send_signal(signal.SIGHUP)
            self.leaving.append(before)
        self._say(f"{child.name} was replaced")

    def _give_up(self) -> None:
        name = self._waiting[0].name
        self._waiting.clear()
        if self._next is not None:
            self._next.kill()
            self._next.wait()
        self._close()
        self._say(
            f"{name} could not be replaced: the new process did not come to serve. The gateways go on as they are"
        )

    def _close(self) -> None:
        self._next = None
        if self._ready >= 0:
            with contextlib.suppress(OSError):
                os.close(self._ready)
            self._ready = -1
