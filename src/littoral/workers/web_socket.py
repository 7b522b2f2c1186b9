"""WebSockets as functions see them (WHATWG WebSockets, section 3; Workers' WebSocketPair).

    client, server = WebSocketPair.new().object_values()
    server.accept()
    server.addEventListener("message", lambda event: server.send(event.data))
    return Response(None, status=101, web_socket=client)

A pair is two ends: what is sent at one arrives at the other. A function keeps one of them and gives the other away, with a
response; whoever serves the function then carries messages between that end and the network. So it is with the end that comes
with a response, too.
"""

import asyncio
import inspect
import sys
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from typing import Any

from littoral.core.tasks import Tasks
from littoral.workers.buffers import Buffer
from littoral.workers.streams import as_bytes

CONNECTING, OPEN, CLOSING, CLOSED = range(4)
NORMAL, GOING_AWAY, NO_STATUS, ABNORMAL, TOO_LARGE, FAULT = 1000, 1001, 1005, 1006, 1009, 1011
HANDLERS = 16
"""So many asynchronous listeners of one WebSocket may be busy before the next message waits."""
WAITING_BYTES = 1 << 18
"""Of messages that a function has not taken: the sender waits then, if it can."""
UNSENT_BYTES = 1 << 22
"""Of messages that the network has not taken, where nobody says otherwise."""
REASON_BYTES = 123

Listener = Callable[..., Any]


class WebSocketError(RuntimeError):
    """A message cannot be sent: the WebSocket is not open, or its client does not take what was sent before."""


class MessageEvent:
    """A message came."""

    __slots__ = ("data", "type")

    def __init__(self, data: str | bytes) -> None:
        self.type = "message"
        self.data: str | Buffer = data if isinstance(data, str) else Buffer(data)


class CloseEvent:
    """The WebSocket was closed."""

    __slots__ = ("code", "reason", "type", "wasClean")

    def __init__(self, code: int = NO_STATUS, reason: str = "", *, clean: bool = True) -> None:
        self.type = "close"
        self.code = code
        self.reason = reason
        self.wasClean = clean
        """Whether both sides had said so."""


class ErrorEvent:
    """Something went wrong; a CloseEvent follows."""

    __slots__ = ("error", "message", "type")

    def __init__(self, error: BaseException) -> None:
        self.type = "error"
        self.error = error
        self.message = str(error)


Event = MessageEvent | CloseEvent


class WebSocket:
    """One end of a WebSocket. Listen with `addEventListener` or `on...`, after `accept`; or take messages one by one with
    `receive`, or with `async for`."""

    CONNECTING, OPEN, CLOSING, CLOSED = CONNECTING, OPEN, CLOSING, CLOSED
    READY_STATE_CONNECTING, READY_STATE_OPEN, READY_STATE_CLOSING, READY_STATE_CLOSED = range(4)

    def __init__(self) -> None:
        self.readyState = CONNECTING
        self.protocol = ""
        self.extensions = ""
        self.url: str | None = None
        self.onmessage: Listener | None = None
        self.onclose: Listener | None = None
        self.onerror: Listener | None = None
        self.onopen: Listener | None = None
        self.most_bytes = UNSENT_BYTES
        """What may wait here before the other end's `send` fails."""
        self.context: Context | None = None
        """In which listeners are called; None for that of whoever sends."""
        self.failed: Callable[[BaseException], None] = _log
        """Receives what a listener raises."""
        self.other: WebSocket = self
        """The other end."""
        self._listeners: dict[str, list[Listener]] = {}
        self._waiting: deque[Event] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._accepted = False
        self._said_close = False
        self._pump: asyncio.Task[None] | None = None
        self._busy: set[asyncio.Task[Any]] = set()

    # What functions use

    def accept(self, options: object = None) -> None:
        """Take part in it: what comes is given to listeners from now on."""
        self._accepted = True
        if self.readyState == CONNECTING:
            self.readyState = OPEN
        self._start()

    def send(self, message: object) -> None:
        """Send text (str) or bytes. Raises WebSocketError where it is not open, and where more waits than may; then it is
        closed. `drained` waits for room."""
        data = message if isinstance(message, str) else as_bytes(message)
        if self.readyState == CONNECTING:
            raise WebSocketError("call accept() before send()")
        if self.readyState != OPEN:
            raise WebSocketError("this WebSocket is closed")
        other = self.other
        if other._waiting_bytes > other.most_bytes:
            self.end(FAULT, "its client does not take what was sent")
            raise WebSocketError(f"more than {other.most_bytes} bytes wait to be sent; wait with `await drained()`")
        other._arrive(MessageEvent(data), len(data))

    async def drained(self) -> None:
        """Return once what was sent is taken, but for little."""
        other = self.other
        while other._waiting_bytes > WAITING_BYTES and self.readyState == OPEN:
            other._taken.clear()
            await other._taken.wait()

    @property
    def bufferedAmount(self) -> int:
        """Bytes that were sent and not taken yet."""
        return self.other._waiting_bytes

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say that nothing more is sent; the second time, nothing. Raises ValueError for a code that is none to send, or a
        reason of more than 123 bytes."""
        if code != NORMAL and not 3000 <= code <= 4999 and code not in _OF_SERVERS:
            raise ValueError(f"{code} is no code to close with: 1000, 1001, 1003, 1007-1014 and 3000-4999 are")
        if len(reason.encode()) > REASON_BYTES:
            raise ValueError(f"a reason has at most {REASON_BYTES} bytes")
        self.end(code, reason)

    def addEventListener(self, kind: str, listener: Listener, options: object = None) -> None:
        """Have `listener` called with each event of a kind: message, close, error. It may be asynchronous."""
        self._listeners.setdefault(kind, []).append(listener)
        self._start()

    def removeEventListener(self, kind: str, listener: Listener, options: object = None) -> None:
        """Do not call it any more."""
        if listener in self._listeners.get(kind, ()):
            self._listeners[kind].remove(listener)

    add_event_listener, remove_event_listener = addEventListener, removeEventListener

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED."""
        return self.readyState

    async def receive(self) -> Event:
        """The next message, or how it was closed; that again and again. For who has no listeners."""
        while not self._waiting:
            if self.readyState == CLOSED:
                return CloseEvent(ABNORMAL, clean=False)
            self._arrived.clear()
            await self._arrived.wait()
        return self._take()

    async def __aiter__(self) -> Any:
        """Messages, until it is closed."""
        while isinstance(event := await self.receive(), MessageEvent):
            yield event.data

    # What passes between the ends

    def end(self, code: int, reason: str, *, clean: bool = True) -> None:
        if self._said_close:
            return
        self._said_close = True
        if self.readyState != CLOSED:
            self.readyState = CLOSING
        self.other._arrive(CloseEvent(code, reason, clean=clean), 0)
        self._taken.set()

    def _arrive(self, event: Event, size: int) -> None:
        self._waiting.append(event)
        self._waiting_bytes += size
        self._arrived.set()
        self._start()

    def _take(self) -> Event:
        event = self._waiting.popleft()
        if isinstance(event, CloseEvent):
            # Whoever has closed it, too, waits for nothing else any more.
            self.readyState = CLOSED
            self._taken.set()
            self.other._taken.set()
        else:
            self._waiting_bytes -= len(event.data)
            self._taken.set()
        return event

    def _start(self) -> None:
        """Give what waits to the listeners, if there are any."""
        if self._accepted and self._waiting and self._pump is None and self._has_listeners():
            loop = asyncio.get_running_loop()
            work = self._give()
            # In a task of its own: what listeners do is then the function's work, and can be interrupted as such.
            if self.context is None:
                self._pump = loop.create_task(work, name="WebSocket")
            else:
                self._pump = loop.create_task(work, name="WebSocket", context=self.context)

    def _has_listeners(self) -> bool:
        return bool(any(self._listeners.values()) or self.onmessage or self.onclose or self.onerror)

    async def _give(self) -> None:
        try:
            while self._waiting:
                while len(self._busy) >= HANDLERS:
                    await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)
                event = self._take()
                self._call(event.type, event)
                # Whoever else is served by this process has a turn between two messages.
                await asyncio.sleep(0)
        finally:
            self._pump = None
            self._start()

    def _call(self, kind: str, event: object) -> None:
        own = getattr(self, f"on{kind}", None)
        for listener in [*self._listeners.get(kind, ()), *([own] if own is not None else [])]:
            try:
                result = listener(event)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - it is the function's code, and is told of in its log
                self._raised(error, kind)
                continue
            if inspect.isawaitable(result):
                task = _background.start(self._awaited(result, kind), "listener of a WebSocket")
                self._busy.add(task)
                task.add_done_callback(self._busy.discard)

    async def _awaited(self, result: Awaitable[object], kind: str) -> None:
        try:
            await result
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            self._raised(error, kind)

    def _raised(self, error: BaseException, kind: str) -> None:
        self.failed(error)
        if kind != "error":
            self._call("error", ErrorEvent(error))


_OF_SERVERS = frozenset({1001, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class WebSocketPair:
    """Two ends of a WebSocket: one to give away, one to keep."""

    def __init__(self) -> None:
        self._ends = WebSocket(), WebSocket()
        one, other = self._ends
        one.other, other.other = other, one

    @classmethod
    def new(cls) -> "WebSocketPair":
        """As JavaScript's constructor."""
        return cls()

    def __getitem__(self, index: int | str) -> WebSocket:
        return self._ends[int(index)]

    def __iter__(self) -> Iterator[WebSocket]:
        return iter(self._ends)

    def object_values(self) -> list[WebSocket]:
        """Both, as JavaScript's Object.values gives them."""
        return list(self._ends)

    def object_keys(self) -> list[str]:
        """As JavaScript's Object.keys."""
        return ["0", "1"]


def _log(error: BaseException) -> None:
    sys.stderr.write("exception in a listener of a WebSocket\n")
    sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.flush()


_background = Tasks(_log)
