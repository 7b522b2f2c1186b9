"""An app in a process that does other work as well: a worker without a socket, and both ends of what would be its connection.

A request that is here whole, and an answer that is given whole, pass from one end to the other as they are. Everything else, such as
bodies in pieces, goes as frames, in the loop's next turn: neither side's code runs within the other's.
"""

import asyncio
import contextlib
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

from littoral.functions.calls.function_request import FunctionRequest
from littoral.functions.calls.worker_connection import WorkerConnection
from littoral.functions.calls.worker_link import WorkerLink
from littoral.functions.messages import Answer, Call, CallWithin, WorkerSpec
from littoral.functions.worker.call_streams import CallStreams
from littoral.functions.worker.cpu_time import metered
from littoral.functions.worker.gateway_connection import GatewayConnection
from littoral.functions.worker.loader import App
from littoral.functions.worker.request_task import begin
from littoral.functions.worker.running import Running, current_running
from littoral.functions.worker.worker import LAST_WORK_S, SharedProcess, Worker
from littoral.wire.told_fields import ToldFields
from littoral.workers.platform import take_seat


class InlineWorker(Worker):
    """One revision of an app."""

    def __init__(self, spec: WorkerSpec, app: App, shared: SharedProcess, context: Context) -> None:
        """context: in which the app was imported; its code runs in copies of it."""
        super().__init__(spec, app, shared)
        self.spec = spec
        self.context = context
        self._leaving = False
        context.run(take_seat, self._platform, self._env)

    def drain(self) -> None:
        """See Worker: another revision answers from now on. There is no socket to be closed."""
        self._loop.call_later(self._spec.streams.drain_s, self._end_streams)

    def leave(self) -> None:
        """No more requests come, and all are answered: end once the rest is done."""
        self._leaving = True
        self._stop_if_drained()

    async def ended(self) -> None:
        """Return once it has left, and the app has put its things in order."""
        await self._stopped
        acting = self._loop.create_task(self._end_app(), context=self.context.copy())
        await acting

    async def _end_app(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORK_S):
                for act in self._platform.at_end:
                    await act()

    def _begin(self, work: Coroutine[Any, Any, None], running: Running) -> None:
        outer = asyncio.current_task(self._loop)
        if outer is not None:
            # It is not the task of whoever asks.
            _leave_task(self._loop, outer)
        try:
            begin(work, running.cpu, self._loop, running.begins, self.context.copy())
        finally:
            if outer is not None:
                _enter_task(self._loop, outer)

    def _stop_if_drained(self) -> None:
        if self._leaving and not self._requests and not self._background.is_busy:
            self.stop(0)

    def _end_for_memory(self) -> None:
        """The process is not the app's to end."""


class InlineConnection(WorkerConnection):
    """The gateway's end."""

    def __init__(self, link: WorkerLink, worker: InlineWorker) -> None:
        super().__init__(link)
        self.revision = worker.spec.revision
        self._worker = worker
        self._end = _WorkersEnd(self, worker, worker.spec.frame_bytes)
        self._context, self._context_of_app = Context(), worker.context.copy()
        """What one end says is heard in the other's, and not in that which it is said in."""
        worker.gateway_opened(self._end)

    def send_whole(self, number: int, request: FunctionRequest, body: bytes, left_ms: int) -> None:
        """See WorkerConnection."""
        told = request.headers
        url, name, event = request.url, request.request_id, request.event
        call: Call
        if isinstance(told, ToldFields):
            call = CallWithin(number, request.method, url, told, body, left_ms, name, event)
        else:
            call = Call(number, request.method, url, told, body, left_ms, name, event)
        self._end.take_call(call)

    def say(self, answer: Answer) -> None:
        """The worker answers."""
        self.loop.call_soon(self.answered, answer, context=self._context)

    def send(self, body: bytes) -> None:
        """See FrameConnection."""
        self.loop.call_soon(self._end.received, body, context=self._context_of_app)

    def send_with(self, head: bytes, rest: bytes) -> None:
        """See FrameConnection."""
        self.send(head + rest)

    def come(self, body: bytes) -> None:
        """A frame has come."""
        self.loop.call_soon(self.received, body, context=self._context)

    def leave(self) -> None:
        """See WorkerConnection."""
        self._worker.drain()
        super().leave()

    def close(self) -> None:
        """See FrameConnection: nothing more is asked."""
        if not self.gone:
            self.gone = True
            self._end.lost()
            self._worker.leave()


class _WorkersEnd(GatewayConnection):
    """The worker's."""

    def __init__(self, other: InlineConnection, worker: InlineWorker, max_bytes: int) -> None:
        super().__init__(worker, max_bytes)
        self._other = other
        self._inline = worker

    def take_call(self, call: Call) -> None:
        """A request has come, with all that belongs to it."""
        running = self._inline.start(call, self)
        if running is None:
            self._other.say(Answer(call.id, error="overload"))
        elif running.task is not None:
            self._running[call.id] = running

    def finished(self, answer: Answer, streams: CallStreams | None = None) -> None:
        """See GatewayConnection."""
        if streams is not None and streams.begun:
            super().finished(answer, streams)
        else:
            self._running.pop(answer.id, None)
            self._other.say(answer)

    def send(self, body: bytes) -> None:
        """See FrameConnection."""
        self._other.come(body)

    def send_with(self, head: bytes, rest: bytes) -> None:
        """See FrameConnection."""
        self._other.come(head + rest)


def task_of_app(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
) -> "asyncio.Future[Any]":
    """The tasks of a loop that runs apps. One that an app's request has started counts for it, and cannot end the process: asyncio
    lets SystemExit out of the loop."""
    context = options.get("context")
    running = current_running.get() if context is None else context.get(current_running)
    if running is not None and isinstance(work, Coroutine):
        work = metered(_kept_in(work), running.cpu)
    return asyncio.Task(work, loop=loop, **options)


async def _kept_in(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the app's code raised {error!r} in a task of its own") from error
