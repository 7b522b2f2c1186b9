"""A request that a worker is handling, or work that has bounds as if it were one."""

import asyncio
import math
from contextvars import ContextVar

from littoral.functions.worker.call_streams import CallStreams
from littoral.functions.worker.cpu_time import CpuTime
from littoral.workers import Request


class Running:
    """A request being handled."""

    __slots__ = (
        "cancelled",
        "cpu",
        "deadline",
        "in_app_code",
        "is_gone",
        "request",
        "started",
        "streams",
        "task",
        "wall_s",
    )

    def __init__(self, deadline: float, wall_s: float = 0.0, cpu_ms: int = 0) -> None:
        """wall_s: what there is until then, or from a piece of the request's body on. cpu_ms: CPU time it may take; 0 for all."""
        self.deadline = deadline
        self.cpu = CpuTime(cpu_ms)
        self.wall_s = wall_s
        self.in_app_code = False
        """The alarm may only strike while this is set: never in our own code."""
        self.cancelled = ""
        """Why, if it was."""
        self.is_gone = False
        """Whether its client went away."""
        self.started = False
        """Whether its task has taken its first step."""
        self.task: asyncio.Task[None] | None = None
        self.request: Request | None = None
        self.streams: CallStreams | None = None
        """Its bodies, if one of them travels in pieces."""

    def cancel(self, why: str = "it did not end within its wall time") -> None:
        """Nobody waits for the answer any more."""
        self.cancelled = why
        # A task that is cancelled before its first step takes none, and nobody would answer: it looks for itself as it starts.
        if self.task is not None and self.started:
            self.task.cancel()

    def begins(self, task: "asyncio.Task[None]") -> None:
        """This task handles it."""
        self.task = task

    def moved(self, now_s: float) -> None:
        """More of the request is here: its time begins anew."""
        self.deadline = now_s + self.wall_s

    def holds_loop(self) -> bool:
        """Whether what has no deadline, a stream or a WebSocket, computes for longer than a request may take."""
        return self.deadline == math.inf and self.cpu.step_ns > self.wall_s * 1e9

    def leave(self) -> None:
        """Its client has gone: the function hears of it, if it listens."""
        self.is_gone = True
        if self.streams is not None:
            self.streams.leave()
        if self.request is not None:
            self.request.client_left()


current_running: ContextVar[Running | None] = ContextVar("request", default=None)
"""The request that a task works for; the tasks that it starts inherit it."""
