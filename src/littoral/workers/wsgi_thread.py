"""A WSGI application that is called while its request still comes: in a thread of its own, where it can wait for more.

All that one call does is done in one thread and one context, one step after the other: the call itself, each piece of the response,
and the end. Whoever gives a step up has it broken off: a thread that nobody waits for must not hold up the worker.
"""

import asyncio
import contextlib
import ctypes
import io
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from littoral.workers.streams import ReadableStream

Result = TypeVar("Result")

AT_ONCE = 16
"""In a worker: each of them takes a thread. The others wait."""
AGAIN_S = 0.05
"""Code that goes on when it was broken off is broken off again after so long."""

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class GivenUp(BaseException):
    """Raised in the application's code: nobody waits for it any more."""


def turn() -> asyncio.Semaphore:
    """One of AT_ONCE."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


class CallThread:
    """Runs the steps of one call."""

    def __init__(self, body: ReadableStream) -> None:
        """body: of the request."""
        self._input = StreamedInput(body)
        self.input = io.BufferedReader(self._input)
        """The same with all that the specification asks of `wsgi.input`."""
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, "wsgi")
        self._context = copy_context()
        self._number = 0
        """Of the thread, while it takes a step."""

    async def run(self, step: Callable[..., Result], *arguments: Any) -> Result:
        """What a step returns. Raises what it raises."""
        working = self._executor.submit(self._context.run, self._take, step, *arguments)
        try:
            return await asyncio.wrap_future(working)
        except asyncio.CancelledError:
            self._break_off(working)
            raise

    def end(self, last: Callable[[], object]) -> None:
        """Take the last step, whatever becomes of it, and let the thread go."""
        with contextlib.suppress(RuntimeError):
            self._executor.submit(self._context.run, last)
        self._executor.shutdown(wait=False)

    def _take(self, step: Callable[..., Result], *arguments: Any) -> Result:
        self._number = threading.get_ident()
        try:
            return step(*arguments)
        finally:
            self._number = 0

    def _break_off(self, working: "Future[Any]") -> None:
        if working.done():
            return
        self._input.give_up()
        if self._number:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._number), ctypes.py_object(GivenUp))
        self._loop.call_later(AGAIN_S, self._break_off, working)


class StreamedInput(io.RawIOBase):
    """`wsgi.input`: what comes of a request's body, as the application reads it, in another thread than the event loop's."""

    def __init__(self, body: ReadableStream) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: AsyncIterator[bytes] = aiter(body)
        self._left = memoryview(b"")
        self._coming: Future[bytes] | None = None

    def give_up(self) -> None:
        """Who waits for more waits no longer."""
        if self._coming is not None:
            self._coming.cancel()

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Some bytes; 0 at the end. Raises what ends the body before that."""
        if not self._left:
            self._coming = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            self._left = memoryview(self._coming.result())
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    async def _next(self) -> bytes:
        return await anext(self._pieces, b"")
