"""Why there is no response: told to the log and to the hub in full, and to the gateway in a word."""

import asyncio
import sys
import traceback
from collections.abc import Callable

from littoral.functions.messages import Answer, AnswerError, Call, WorkerSpec
from littoral.functions.worker.alarm import Overtime
from littoral.functions.worker.cpu_time import CpuOvertime
from littoral.functions.worker.error_page import error_page
from littoral.functions.worker.exceptions import ExceptionTeller
from littoral.functions.worker.running import Running
from littoral.workers.streams import BodyTooLarge


class ResponseTooLarge(Exception):
    """The app's answer has more bytes than the app may send."""


class Failures:
    """Of one worker."""

    def __init__(self, spec: WorkerSpec, teller: ExceptionTeller, out_of_memory: Callable[[], None]) -> None:
        """out_of_memory: is called when a listener of a WebSocket ran out of it; of requests the worker sees by the answer."""
        self._spec = spec
        self._teller = teller
        self._out_of_memory = out_of_memory

    def explain(self, call: Call, error: BaseException, running: Running) -> AnswerError:
        """Log why there is no response, and put it in a word."""
        if running.is_gone and isinstance(error, (asyncio.CancelledError, ConnectionError)):
            # Clients come and go.
            return "cancelled"
        if isinstance(error, BodyTooLarge):
            return "request-too-large"
        trace = "".join(traceback.format_exception(error))
        if not isinstance(error, (asyncio.CancelledError, ResponseTooLarge)):
            self._teller.note(error, f"{call.method} {call.url}", call.request_id)
        if isinstance(error, asyncio.CancelledError) and running.cancelled:
            log_call(call, f"cancelled: {call.method} {call.url}: {running.cancelled}", trace)
            return "cancelled"
        if isinstance(error, ResponseTooLarge):
            log_call(call, f"dropped: {call.method} {call.url} was answered with {error}")
            return "too-large"
        if isinstance(error, CpuOvertime):
            used = f"{running.cpu.used_us // 1000} ms of CPU time, more than it may (limits.cpuTimeMs, event-cpu-ms)"
            log_call(call, f"interrupted: {call.method} {call.url} took {used}", trace)
            return "cpu"
        if isinstance(error, Overtime):
            log_call(call, f"interrupted: {call.method} {call.url} computed past its wall time", trace)
            return "timeout"
        if isinstance(error, MemoryError):
            log_call(call, f"over the memory limit of {self._spec.memory_bytes} bytes; the worker is replaced", trace)
            return "memory"
        log_call(call, f"exception in {call.method} {call.url}", trace)
        return "exception"

    def shown(self, call: Call, error: BaseException) -> Answer:
        """The page of an exception, for whoever develops the app."""
        accept = next((value for name, value in call.fields() if name == "accept"), "")
        kind, page = error_page(error, f"{call.method} {call.url}", self._spec.directory, accept)
        return Answer(call.id, 500, [("content-type", kind), ("cache-control", "no-store")], page)

    def raised_by_listener(self, call: Call, error: BaseException) -> None:
        """Nobody waits for what the listeners of a WebSocket return."""
        trace = "".join(traceback.format_exception(error))
        self._teller.note(error, f"a listener of the WebSocket of {call.url}", call.request_id)
        log_call(call, f"exception in a listener of the WebSocket of {call.url}", trace)
        if isinstance(error, MemoryError):
            # As of requests.
            self._out_of_memory()

    def raised_in_background(self, error: BaseException) -> None:
        """Its request may have been answered long ago."""
        self._teller.note(error, "work given to ctx.waitUntil", "")
        text = "".join(traceback.format_exception(error))
        sys.stderr.write(f"exception in work given to ctx.waitUntil\n{text}")
        sys.stderr.flush()


def log_call(call: Call, message: str, trace: str = "") -> None:
    """Lines of the app's log, each with the request that they are about."""
    lines = [message, *trace.splitlines()]
    sys.stderr.write("".join(f"[{call.request_id}] {line}\n" for line in lines))
    sys.stderr.flush()
