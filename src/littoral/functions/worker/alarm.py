"""What interrupts an app's code that computes on and on: a timer's signal, in whose handler an exception is raised."""

import asyncio
import os
import resource
import signal
from types import FrameType
from typing import Protocol

from littoral.functions.worker.cpu_time import CpuOvertime, dozing, take_steps
from littoral.functions.worker.request_task import rest_of
from littoral.functions.worker.running import Running, current_running

COMPUTING_PRIORITY = 10
"""Of a worker whose code computes on and on, as setpriority(2) has it: it gets what others leave."""
USUAL_NICE = 20
"""RLIMIT_NICE of a process that may give itself the usual priority: zero, counted as that limit is."""

ALARM_S = 0.05
"""How often a busy worker looks whether its code computes past a deadline; an idle one has no timer, nor one whose requests wait."""

QUIET_RINGS = 4
"""After so many of them, with nothing that computes, it waits for the next step that somebody takes."""
ALARM_NS = int(ALARM_S * 1e9)

BETWEEN_STEPS = frozenset({take_steps.__code__, rest_of.__code__})
"""What takes the steps of the app's code. Raised there, an exception would end this and not the app's code, and nobody would answer
the request. What the steps have taken together, it looks at itself."""


class Overtime(BaseException):
    """Raised by the alarm inside the app's code. Not an Exception, so that `except Exception` does not swallow it."""


class Rings(Protocol):
    """What a worker knows of its alarm."""

    def want(self) -> None:
        """A request came in: keep ringing for a while."""
        ...

    def keep(self, busy: bool) -> None:
        """Called when a request ended; `busy` while there are others."""
        ...


class Alarm:
    """Interrupts the app's code where it computes past its request's bounds, and has it make way for others while it computes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, may_make_way: bool = True) -> None:
        """may_make_way: whether the process may have a lower priority meanwhile."""
        self._loop = loop
        self._may_make_way = may_make_way
        self._makes_way = False
        self._wanted = False
        self._armed = False
        self._quiet = 0
        """How often it has rung, one time after the other, and nothing computed."""
        signal.signal(signal.SIGALRM, self._ring)

    def want(self) -> None:
        """A request came in: keep ringing for a while."""
        self._wanted = True
        self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._quiet = 0
            signal.setitimer(signal.ITIMER_REAL, ALARM_S, ALARM_S)

    def _doze(self) -> None:
        """Whoever streams or listens may have nothing to do for hours: that costs nothing."""
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        dozing[:] = [self._arm]

    def keep(self, busy: bool) -> None:
        """Called when a request ended; `busy` while there are others."""
        self._wanted = busy
        if self._makes_way:
            self._makes_way = False
            os.setpriority(os.PRIO_PROCESS, 0, 0)

    def end(self) -> None:
        """Do not ring any more: the process ends, and the signal would end it before."""
        self._armed = True
        dozing.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if not self._wanted:
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        # Callbacks have their request's context as well, but are our own code.
        running = None if asyncio.current_task(self._loop) is None else current_running.get()
        if running is not None and frame is not None and frame.f_code in BETWEEN_STEPS:
            return
        if running is None or not running.in_app_code:
            self._quiet += 1
            if self._quiet == QUIET_RINGS:
                self._doze()
            return
        self._quiet = 0
        running.cpu.look()
        self._looked(running)
        if self._loop.time() >= running.deadline or running.holds_loop():
            raise Overtime
        if running.cpu.is_over():
            raise CpuOvertime
        if self._may_make_way and not self._makes_way and running.cpu.step_ns >= ALARM_NS and _may_go_back():
            # Whoever answers in milliseconds is not to wait for whoever computes for longer.
            self._makes_way = True
            os.setpriority(os.PRIO_PROCESS, 0, COMPUTING_PRIORITY)

    def _looked(self, running: Running) -> None:
        """A request's code is computing as the alarm rings."""


def _may_go_back() -> bool:
    """Whether this process may have the usual priority again once it had a lower one."""
    return resource.getrlimit(resource.RLIMIT_NICE)[0] >= USUAL_NICE
