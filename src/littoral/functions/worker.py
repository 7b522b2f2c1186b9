"""A worker process: one app's code, answering pipelined requests on a Unix socket of its own.

Each request is a task. What ends a request that does not end by itself, in this order:

    1. the gateway's cancel frame at the deadline: a task that awaits is cancelled;
    2. the alarm: a task that computes past its deadline, without awaiting, is interrupted by an exception raised in
       the running code;
    3. the gateway's patience (FUNCTION_GRACE_MS): the hub has the process killed.

Output and errors go to the process's standard output and error, which the zygote relays to the node's log.
"""

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import FrameType

import msgspec
import uvloop

from littoral.functions.binding_client import BindingClient
from littoral.functions.connection import FrameConnection
from littoral.functions.loader import Handler, find_handler, load_module
from littoral.functions.messages import EXIT_IMPORT, EXIT_MEMORY, Answer, AnswerError, Call, WorkerSpec
from littoral.workers import Context, Env, KVNamespace, Request, Response
from littoral.workers.platform import Platform, install
from littoral.workers.response import BodyTooLong

ALARM_S = 0.05
"""How often a busy worker looks whether its code computes past a deadline; an idle one has no timer."""

LAST_ANSWER_S = 0.01
"""Time to write the last answer before a worker that ran out of memory exits."""

LAST_WORK_S = 1.0
"""Time of a worker that ends for what the app does then (an ASGI application's shutdown)."""

_encode = msgspec.msgpack.Encoder().encode
_decode_call = msgspec.msgpack.Decoder(Call).decode


class Overtime(BaseException):
    """Raised by the alarm inside the app's code. Not an Exception, so that `except Exception` does not swallow it."""


class Running:
    """A request being handled."""

    __slots__ = ("cancelled", "deadline", "in_app_code", "task")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.in_app_code = False
        """The alarm may only strike while this is set: never in our own code."""
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()


_current: ContextVar[Running | None] = ContextVar("request", default=None)
"""The request that a task works for; the tasks that it starts inherit it."""


class Alarm:
    """Interrupts the app's code where it computes past its request's deadline."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wanted = False
        self._armed = False
        signal.signal(signal.SIGALRM, self._ring)

    def want(self) -> None:
        """A request came in: keep ringing for a while."""
        self._wanted = True
        if not self._armed:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, ALARM_S, ALARM_S)

    def keep(self, busy: bool) -> None:
        """Called when a request ended; `busy` while there are others."""
        self._wanted = busy

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if not self._wanted:
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        # Callbacks have their request's context as well, but are our own code.
        running = None if asyncio.current_task(self._loop) is None else _current.get()
        if running is not None and running.in_app_code and self._loop.time() >= running.deadline:
            raise Overtime


class Worker:
    """The app, its environment, and the requests in flight."""

    def __init__(self, spec: WorkerSpec, handler: Handler) -> None:
        self._loop = asyncio.get_running_loop()
        self._spec = spec
        self._handler = handler
        self._bindings = BindingClient(
            spec.bindings_socket, spec.credential, spec.binding_wait_ms / 1000, spec.binding_bytes
        )
        self._env = Env(
            {**spec.vars, **{name: KVNamespace(namespace, self._bindings.call) for name, namespace in spec.kv.items()}}
        )
        self._context = Context(self._start_background)
        self._background: set[asyncio.Future[object]] = set()
        self._tasks: dict[asyncio.Task[object], Running] = {}
        self._alarm = Alarm(self._loop)
        self._gateways: set[GatewayConnection] = set()
        self._server: asyncio.AbstractServer | None = None
        self._stopped: asyncio.Future[int] = self._loop.create_future()
        self._platform = Platform(background=self._start_background)
        install(self._platform, self._env)

    async def serve(self, ready: Callable[[], None]) -> int:
        """Answer requests until drained. Returns the process's exit code."""
        path = self._spec.socket
        # Bound aside and renamed: gateways see a working socket or none, and a new revision takes over in one step.
        aside = path + "~"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        self._server = await self._loop.create_unix_server(
            lambda: GatewayConnection(self, self._spec.frame_bytes), aside
        )
        os.rename(aside, path)
        self._loop.add_signal_handler(signal.SIGTERM, self.drain)
        ready()
        code = await self._stopped
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORK_S):
                for act in self._platform.at_end:
                    await act()
        return code

    def drain(self) -> None:
        """Take no new connections, tell gateways to go elsewhere, and stop once they have gone."""
        if self._server is not None:
            self._server.close()
        for gateway in self._gateways:
            gateway.send(_encode(Answer(0)))
        self._stop_if_drained()

    def stop(self, code: int) -> None:
        """End the process."""
        self._bindings.close()
        if not self._stopped.done():
            self._stopped.set_result(code)

    def _stop_if_drained(self) -> None:
        if self._server is not None and not self._server.is_serving() and not self._gateways and not self._background:
            self.stop(0)

    def gateway_opened(self, gateway: "GatewayConnection") -> None:
        """A gateway connected."""
        self._gateways.add(gateway)

    def gateway_lost(self, gateway: "GatewayConnection") -> None:
        """A gateway is gone; nobody waits for its requests any more."""
        self._gateways.discard(gateway)
        self._stop_if_drained()

    def start(self, call: Call, gateway: "GatewayConnection") -> Running | None:
        """Handle `call` in a task of its own; None where there are too many already."""
        if len(self._tasks) >= self._spec.inflight:
            return None
        running = Running(self._loop.time() + call.deadline_ms / 1000)
        task = self._loop.create_task(self._handle(call, gateway, running))
        running.task = task
        self._tasks[task] = running
        self._alarm.want()
        return running

    async def _handle(self, call: Call, gateway: "GatewayConnection", running: Running) -> None:
        _current.set(running)
        answer = await self._answer(call, running)
        assert running.task is not None
        self._tasks.pop(running.task)
        self._alarm.keep(bool(self._tasks))
        if self._stopped.done():
            # The process ends; what it did not answer, the gateway sees as lost, and asks again where it may.
            return
        gateway.finished(answer)
        if answer.error == "memory":
            # What else the process holds is unknown: a fresh one takes over.
            self._loop.call_later(LAST_ANSWER_S, self.stop, EXIT_MEMORY)

    async def _answer(self, call: Call, running: Running) -> Answer:
        request = Request.received(call.method, call.url, call.headers, call.body, call.request_id)
        try:
            try:
                running.in_app_code = True
                response = await self._handler(request, self._env, self._context)
                if isinstance(response, Response):
                    body = response.whole
                    if body is None:
                        body = await response.content(self._spec.frame_bytes)
                    return Answer(call.id, response.status, response.headers.items(), body)
            finally:
                running.in_app_code = False
        except BodyTooLong as error:
            self._log(call, f"the response of {call.method} {call.url} was dropped: it has {error}")
            return Answer(call.id, error="too-large")
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end the neighbours' requests
            return Answer(call.id, error=self._explain(call, error, running))
        self._log(call, f"fetch returned {type(response).__name__}; it must return a workers.Response")
        return Answer(call.id, error="invalid")

    def _explain(self, call: Call, error: BaseException, running: Running) -> AnswerError:
        """Log why there is no response, and put it in a word."""
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, asyncio.CancelledError) and running.cancelled:
            self._log(call, f"cancelled: {call.method} {call.url} did not end within its wall time", trace)
            return "cancelled"
        if isinstance(error, Overtime):
            self._log(call, f"interrupted: {call.method} {call.url} computed past its wall time", trace)
            return "timeout"
        if isinstance(error, MemoryError):
            self._log(call, f"over the memory limit of {self._spec.memory_bytes} bytes; the worker is replaced", trace)
            return "memory"
        self._log(call, f"exception in {call.method} {call.url}", trace)
        return "exception"

    def _log(self, call: Call, message: str, trace: str = "") -> None:
        lines = [message, *trace.splitlines()]
        sys.stderr.write("".join(f"[{call.request_id}] {line}\n" for line in lines))
        sys.stderr.flush()

    def _start_background(self, work: Awaitable[object]) -> None:
        if len(self._background) >= self._spec.background:
            raise RuntimeError(f"ctx.waitUntil holds {self._spec.background} tasks already, which is its limit")
        task = self._loop.create_task(_await(work))
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: "asyncio.Future[object]") -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            text = "".join(traceback.format_exception(error))
            sys.stderr.write(f"exception in work given to ctx.waitUntil\n{text}")
            sys.stderr.flush()
        self._stop_if_drained()


async def _await(work: Awaitable[object]) -> object:
    return await work


class GatewayConnection(FrameConnection):
    """One gateway process's connection to this worker."""

    def __init__(self, worker: Worker, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._max_bytes = max_bytes
        self._worker = worker
        self._running: dict[int, Running] = {}

    def opened(self) -> None:
        self._worker.gateway_opened(self)

    def received(self, body: bytes) -> None:
        call = _decode_call(body)
        if not call.method:
            running = self._running.get(call.id)
            if running is not None:
                running.cancel()
            return
        started = self._worker.start(call, self)
        if started is None:
            self.send(_encode(Answer(call.id, error="overload")))
        else:
            self._running[call.id] = started

    def finished(self, answer: Answer) -> None:
        """Send the answer to a request of this gateway's."""
        self._running.pop(answer.id, None)
        body = _encode(answer)
        if len(body) > self._max_bytes:
            # The gateway would have to break off the connection, and with it the neighbours' requests.
            sys.stderr.write(f"a response of {len(body)} bytes was dropped; at most {self._max_bytes} are passed on\n")
            sys.stderr.flush()
            body = _encode(Answer(answer.id, error="too-large"))
        self.send(body)

    def lost(self) -> None:
        for running in self._running.values():
            running.cancel()
        self._running.clear()
        self._worker.gateway_lost(self)


def run(spec: WorkerSpec, ready: Callable[[str], None]) -> int:
    """Be a worker: import the app, then serve. Returns the exit code.

    `ready` is called once, with "" or with why the app cannot run.
    """
    # Code at the top of the app's modules may read its variables; bindings wait for the worker.
    install(Platform(), Env(spec.vars))
    try:
        handler = find_handler(load_module(spec.directory, spec.main))
    except BaseException as error:  # noqa: BLE001 - whatever the app's import raises is reported, and ends this process
        traceback.print_exc()
        ready(f"cannot import {spec.main}: {type(error).__name__}: {error}")
        return EXIT_IMPORT

    async def main() -> int:
        return await Worker(spec, handler).serve(lambda: ready(""))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
