"""A worker process: one app's code, answering pipelined requests on a Unix socket of its own.

Each request is a task, or would be one if it did not end in its first step (`request_task`). What ends a request that does not end by itself, in this order:

    1. the gateway's cancel frame at the deadline: a task that awaits is cancelled;
    2. the alarm: a task that computes past its deadline, without awaiting, is interrupted by an exception raised in
       the running code;
    3. the gateway's patience (FUNCTION_GRACE_MS): the hub has the process killed.

Where a body does not travel whole, the task goes on until the answer's last piece is sent: an async generator is asked for a
piece when there is room for it, and closed when the client goes away. Then, too, `request.signal` is aborted.

Output and errors go to the process's standard output and error, which the zygote relays to the node's log.
"""

import asyncio
import contextlib
import signal
import socket
import traceback
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from littoral.functions.messages import (
    EXIT_IMPORT,
    EXIT_MEMORY,
    REVISION,
    WHOLE_BYTES,
    Answer,
    Call,
    WorkerSpec,
)
from littoral.functions.worker.alarm import Alarm, Rings
from littoral.functions.worker.answer_stream import AnswerStream, check_length
from littoral.functions.worker.background import Background
from littoral.functions.worker.binding_client import BindingClient
from littoral.functions.worker.call_streams import CallStreams
from littoral.functions.worker.cpu_time import metered
from littoral.functions.worker.egress_client import EgressClient
from littoral.functions.worker.environment import make_env, plain_env
from littoral.functions.worker.events import read_event
from littoral.functions.worker.exceptions import KIND as EXCEPTION
from littoral.functions.worker.exceptions import ExceptionTeller
from littoral.functions.worker.failures import Failures, log_call
from littoral.functions.worker.gateway_connection import GatewayConnection
from littoral.functions.worker.lean_loop import lean_loop
from littoral.functions.worker.loader import App, find_app, load_module
from littoral.functions.worker.redaction import Redact, hide_secrets, redactor
from littoral.functions.worker.request_task import begin
from littoral.functions.worker.running import Running, current_running
from littoral.workers import BindingError, Context, Env, Headers, Request, Response
from littoral.workers.caches import CacheError
from littoral.workers.platform import Platform, current, install
from littoral.workers.streams import ReadableStream

LAST_CONNECTIONS_S = 0.05
"""For so long a worker that is to leave lets gateways in that have connected already."""

LAST_ANSWER_S = 0.01
"""Time to write the last answer before a worker that ran out of memory exits."""

LAST_WORK_S = 1.0
"""Time of a worker that ends for what the app does then (an ASGI application's shutdown)."""

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class SharedProcess:
    """What a worker finds in a process that is not its own."""

    alarm: Rings
    redact: Redact
    """Takes out of a text what must not leave the process."""


class Worker:
    """The app, its environment, and the requests in flight."""

    def __init__(self, spec: WorkerSpec, app: App, shared: SharedProcess | None = None) -> None:
        """shared: the process, where it is not this worker's alone; who gives it sees to what else a process has one of."""
        self._loop = asyncio.get_running_loop()
        self._spec = spec
        self._app = app
        self._handler = app.fetch
        self._bindings = BindingClient(
            spec.bindings_socket, spec.credential, spec.binding_wait_ms / 1000, spec.binding_bytes
        )
        self._egress = EgressClient(
            spec.egress_socket, spec.egress.credential, spec.egress.at_once, spec.egress.wait_ms / 1000, spec.streams
        )
        told = self._bindings.caller(EXCEPTION, "exceptions", BindingError, repeatable=False)
        redact = redactor(spec.secrets.values()) if shared is None else shared.redact
        teller = ExceptionTeller(spec.directory, partial(told, "raised", spec.revision), redact)
        self._env = make_env(spec, self._bindings)
        self._requests: set[Running] = set()
        self._alarm = Alarm(self._loop) if shared is None else shared.alarm
        self._failures = Failures(spec, teller, self._end_for_memory)
        self._background = Background(spec, self._failures, self._alarm.want, self._background_ended)
        self._context = Context(self._background.start, find=app.exported)
        self._gateways: set[GatewayConnection] = set()
        self._hello = _encode(Answer(0, headers=[(REVISION, spec.revision)]))
        self._server: asyncio.AbstractServer | None = None
        self._draining = False
        self._stopped: asyncio.Future[int] = self._loop.create_future()
        self._platform = Platform(
            background=self._background.start,
            subrequest=self._egress.send,
            carry=self._egress.carry,
            cache=self._bindings.caller("cache", "cache", CacheError, too_long="A cache keeps smaller responses"),
            node=spec.node,
        )
        if shared is None:
            self._loop.set_task_factory(self.make_task)
            install(self._platform, self._env)

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> int:
        """Answer the requests of gateways that connect there, until drained. Returns the process's exit code."""
        self._server = await self._loop.create_unix_server(
            lambda: GatewayConnection(self, self._spec.frame_bytes), sock=listener
        )
        self._loop.add_signal_handler(signal.SIGTERM, self.drain)
        ready()
        code = await self._stopped
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORK_S):
                for act in self._platform.at_end:
                    await act()
        return code

    def drain(self) -> None:
        """Tell gateways to go elsewhere, and stop once they have gone. Another worker is reached where this one was, or none: a
        gateway that came before that, and was not let in yet, is let in and told the same."""
        self._draining = True
        self._loop.call_later(LAST_CONNECTIONS_S, self._close)
        for gateway in self._gateways:
            gateway.send(_encode(Answer(0)))
        self._loop.call_later(self._spec.streams.drain_s, self._end_streams)
        self._stop_if_drained()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._stop_if_drained()

    def _end_streams(self) -> None:
        """Downloads and WebSockets have had their time."""
        for running in list(self._requests):
            if running.streams is not None and running.streams.begun:
                running.cancel("its worker is replaced")

    def stop(self, code: int) -> None:
        """End the process."""
        self._bindings.close()
        self._egress.close()
        if not self._stopped.done():
            self._stopped.set_result(code)

    def _stop_if_drained(self) -> None:
        if (
            self._server is not None
            and not self._server.is_serving()
            and not self._gateways
            and not self._background.is_busy
        ):
            self.stop(0)

    def gateway_opened(self, gateway: GatewayConnection) -> None:
        """A gateway connected."""
        self._gateways.add(gateway)
        gateway.send(self._hello)
        if self._draining:
            gateway.send(_encode(Answer(0)))

    def gateway_lost(self, gateway: GatewayConnection) -> None:
        """A gateway is gone; nobody waits for its requests any more."""
        self._gateways.discard(gateway)
        self._stop_if_drained()

    @staticmethod
    def make_task(
        loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
    ) -> "asyncio.Future[Any]":
        """A task of the app's own counts for the request that started it."""
        running = (
            options["context"].get(current_running) if options.get("context") is not None else current_running.get()
        )
        if running is not None and isinstance(work, Coroutine):
            work = metered(work, running.cpu)
        return asyncio.Task(work, loop=loop, **options)

    def start(self, call: Call, gateway: GatewayConnection) -> Running | None:
        """Handle `call`; it may have been answered when this returns. None where there are too many already."""
        if len(self._requests) >= self._spec.inflight:
            return None
        wall_s = call.deadline_ms / 1000
        bounds = self._spec.bounds
        cpu_ms = bounds.event_cpu_ms if call.event in ("scheduled", "queue") else bounds.cpu_ms
        running = Running(self._loop.time() + wall_s, wall_s, cpu_ms)
        if call.more:
            running.streams = CallStreams(gateway, call.id, self._spec.streams.window_bytes)
        self._requests.add(running)
        self._alarm.want()
        self._begin(self._handle(call, gateway, running), running)
        return running

    def _begin(self, work: Coroutine[Any, Any, None], running: Running) -> None:
        """Have it done; `running` has its task as long as it lasts."""
        begin(work, running.cpu, self._loop, running.begins)

    async def _handle(self, call: Call, gateway: GatewayConnection, running: Running) -> None:
        current_running.set(running)
        running.started = True
        if running.cancelled:
            answer = Answer(call.id, error=self._failures.explain(call, asyncio.CancelledError(), running))
        else:
            answer = await (self._answer_event(call, running) if call.event else self._answer(call, running, gateway))
        self._requests.discard(running)
        # A task that ends within reach of itself is freed only when garbage is collected.
        running.task = None
        self._keep_alarm()
        if not answer.cpu_us:
            answer = msgspec.structs.replace(answer, cpu_us=running.cpu.used_us)
        if self._stopped.done():
            # The process ends; what it did not answer, the gateway sees as lost, and asks again where it may.
            return
        gateway.finished(answer, running.streams)
        if answer.error == "memory":
            self._end_for_memory()

    async def _answer(self, call: Call, running: Running, gateway: GatewayConnection) -> Answer:
        """What to send; or, where the head was sent already, the word with which the body ends."""
        if len(call.body) > self._spec.streams.request_bytes:
            return Answer(call.id, error="request-too-large")
        body = call.body if running.streams is None else self._body(call, running.streams)
        request = running.request = Request.received(
            call.method, call.url, Headers.later(call.fields), body, call.request_id
        )
        current.set(request)
        if running.is_gone:
            # Its client left while the loop was held up, before there was a request to tell of it.
            request.client_left()
        try:
            try:
                running.in_app_code = True
                response = await self._handler(request, self._env, self._context)
            finally:
                running.in_app_code = False
            if isinstance(response, Response):
                whole = response.whole
                check_length(len(whole) if whole is not None else 0, self._spec.bounds.response_bytes)
                if whole is not None and len(whole) <= WHOLE_BYTES and response.status != 101:
                    return Answer(call.id, response.status, response.headers.items(), whole, cpu_us=running.cpu.used_us)
                return await AnswerStream(call, running, gateway, self._spec, self._failures).send(response)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end the neighbours' requests
            reason = self._failures.explain(call, error, running)
            if reason == "exception" and self._spec.shows_errors:
                return self._failures.shown(call, error)
            return Answer(call.id, error=reason)
        log_call(call, f"fetch returned {type(response).__name__}; it must return a workers.Response")
        return Answer(call.id, error="invalid")

    def _body(self, call: Call, streams: CallStreams) -> ReadableStream:
        said = next((value for name, value in call.fields() if name == "content-length"), None)
        return streams.body(None if said is None else int(said), self._spec.streams.request_bytes)

    async def _answer_event(self, call: Call, running: Running) -> Answer:
        event = read_event(call.event, call.body)
        # What it asks of others is asked for its sake.
        current.set(Request.received("GET", call.url, Headers.later(call.fields), b"", call.request_id))
        try:
            running.in_app_code = True
            body = await event.run(self._app, self._env, self._context)
        except BaseException as error:  # noqa: BLE001 - as of requests
            running.in_app_code = False
            reason = self._failures.explain(call, error, running)
            return Answer(call.id, body=event.failed(error) if reason == "exception" else b"", error=reason)
        finally:
            running.in_app_code = False
        return Answer(call.id, 200, body=body)

    def _background_ended(self) -> None:
        self._keep_alarm()
        self._stop_if_drained()

    def _keep_alarm(self) -> None:
        self._alarm.keep(bool(self._requests) or self._background.is_busy)

    def _end_for_memory(self) -> None:
        """What else the process holds is unknown: a fresh one takes over."""
        self._loop.call_later(LAST_ANSWER_S, self.stop, EXIT_MEMORY)


def run(
    spec: WorkerSpec,
    listener: int,
    ready: Callable[[str], None],
    new_loop: Callable[[], asyncio.AbstractEventLoop] = lean_loop,
) -> int:
    """Be a worker: import the app, then serve at the socket `listener`. Returns the exit code.

    `ready` is called once, with "" or with why the app cannot run.
    """
    # Code at the top of the app's modules may read its variables and secrets; bindings wait for the worker.
    redact = hide_secrets(spec.secrets.values())
    install(Platform(), Env(plain_env(spec)))
    try:
        app = find_app(load_module(spec.directory, spec.main))
    except BaseException as error:  # noqa: BLE001 - whatever the app's import raises is reported, and ends this process
        traceback.print_exc()
        ready(redact(f"cannot import {spec.main}: {type(error).__name__}: {error}"))
        return EXIT_IMPORT

    async def main() -> int:
        return await Worker(spec, app).serve(socket.socket(fileno=listener), lambda: ready(""))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main())
