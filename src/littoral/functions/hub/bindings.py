"""The hub's side of functions' bindings: who asks, and which handler answers.

There is a handler for each kind of binding. What an app may touch it decides by what is placed, never by what the call says.
"""

import asyncio
import hashlib
import hmac
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from littoral.core.errors import InvalidInput, LimitReached, LittoralError
from littoral.core.function_limits import BINDING_INFLIGHT, CACHE_API_OBJECT_BYTES
from littoral.core.limits import CONTROL_FRAME_BYTES, KV_VALUE_BYTES, Limits
from littoral.core.tasks import Tasks
from littoral.functions.connection import FrameConnection, check_socket_path
from littoral.functions.hub.platform_socket import serve_workers
from littoral.functions.messages import BindingAnswer, BindingCall

CREDENTIAL_BYTES = 1024
"""The longest first frame of a connection: nobody knows yet whose it is."""
CREDENTIAL_S = 5.0
"""A connection on which nobody has said by then who it is, is closed."""
CONNECTIONS_PER_SLOT = 8
"""A worker has one, and so have those before it that finish their requests."""
FRAMES_HELD = 8
"""Calls of a connection wait while those under way may hold so many of the longest frames."""
FRAMES_UNREAD = 64
"""A worker that has asked for so many of the longest frames, and does not read them, is dropped."""
VALUE_READS = frozenset({("kv", "get"), ("cache", "match")})
"""Kind and operation of the calls that say little, and are answered with whole values."""

_encode = msgspec.msgpack.Encoder().encode
_ADMITTED = _encode(BindingAnswer(0))
_decode_credential = msgspec.msgpack.Decoder(str).decode
_decode_call = msgspec.msgpack.Decoder(BindingCall).decode


def binding_frame_bytes(limits: Limits) -> int:
    """The longest frame between a worker and the hub: a value, or a page of keys, and what stands around it."""
    return _value_bytes(limits) + limits[CONTROL_FRAME_BYTES]


def _value_bytes(limits: Limits) -> int:
    return max(limits[KV_VALUE_BYTES], limits[CACHE_API_OBJECT_BYTES])


class Credentials:
    """What a worker shows to prove which app it is: "app slot mac", the MAC made with a key only the hub has.

    Nothing needs to be remembered: workers keep theirs while the hub restarts, given that the key is kept.
    """

    def __init__(self, key: bytes) -> None:
        """key: at least 32 random bytes."""
        assert len(key) >= 32
        self._key = key

    def issue(self, app: str, slot: int) -> str:
        """The credential of an app's worker."""
        return f"{app} {slot} {self._mac(app, slot)}"

    def app(self, credential: str) -> str | None:
        """The app it proves, or None."""
        app, _, rest = credential.partition(" ")
        slot, _, mac = rest.partition(" ")
        if slot.isdecimal() and hmac.compare_digest(mac.encode(), self._mac(app, int(slot)).encode()):
            return app
        return None

    def derived_key(self, purpose: str) -> bytes:
        """A key for credentials of another kind: who has it cannot make these."""
        return hmac.new(self._key, f"key {purpose}".encode(), hashlib.sha256).digest()

    def _mac(self, app: str, slot: int) -> str:
        return hmac.new(self._key, f"{app} {slot}".encode(), hashlib.sha256).hexdigest()


class BindingHandler(Protocol):
    """Answers the calls of one kind of binding."""

    async def __call__(self, app: str, call: BindingCall) -> Any:
        """The result, which msgpack can carry. Raises LittoralError: the function is told its sentence.

        app: who asks, as its credential proved. Refuse what it has no binding for. A call whose hub restarts under way is
        asked again, unless the worker's side said that it may not be (`BindingClient.caller`).
        """
        ...


class BindingServer:
    """Answers the calls of all workers of the node at run/srv/bindings."""

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, BindingHandler],
        credentials: Credentials,
        limits: Limits,
        failed: Callable[[BaseException], None],
    ) -> None:
        """handlers: by kind of binding. failed: receives errors that are faults of ours."""
        self._path = path
        self._handlers = handlers
        self._credentials = credentials
        self._limits = limits
        self._tasks = Tasks(failed)
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[_WorkerConnection] = set()
        self._shown: Counter[str] = Counter()
        """Connections by the credential that was shown there."""
        self.calls = 0
        """Calls answered."""

    async def start(self) -> None:
        """Listen. Raises StartupError where the path is too long."""
        path = check_socket_path(self._path)
        frame_bytes, value_bytes = binding_frame_bytes(self._limits), _value_bytes(self._limits)
        self._server = await serve_workers(path, lambda: _WorkerConnection(self, frame_bytes, value_bytes))

    async def stop(self) -> None:
        """Close; calls under way are dropped, and their workers ask again."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
        await self._tasks.stop()

    def opened(self, connection: "_WorkerConnection") -> None:
        """A worker connected."""
        self._connections.add(connection)

    def lost(self, connection: "_WorkerConnection") -> None:
        """A worker is gone."""
        self._connections.discard(connection)
        if connection.credential:
            self._shown[connection.credential] -= 1
            if not self._shown[connection.credential]:
                del self._shown[connection.credential]

    def admit(self, credential: str) -> str | None:
        """The app that the credential proves; None where it proves none, or has as many connections as it may."""
        app = self._credentials.app(credential)
        if app is None or self._shown[credential] >= CONNECTIONS_PER_SLOT:
            return None
        self._shown[credential] += 1
        return app

    def handle(self, app: str, call: BindingCall, connection: "_WorkerConnection", cost: int) -> None:
        """Start the call; its answer goes to `connection`, and `cost` back to it."""
        self._tasks.start(self._answer(app, call, connection, cost), f"binding {app} {call.kind} {call.operation}")

    def overloaded(self, inflight: int) -> bool:
        """Whether a worker with so many calls under way may not start another."""
        if inflight < self._limits[BINDING_INFLIGHT]:
            return False
        self._limits.hit(BINDING_INFLIGHT)
        return True

    async def _answer(self, app: str, call: BindingCall, connection: "_WorkerConnection", cost: int) -> None:
        body = b""
        try:
            answer = BindingAnswer(call.id, await self._perform(app, call))
            body = _encode(answer)
        except LittoralError as error:
            body = _encode(BindingAnswer(call.id, error=str(error)))
        finally:
            connection.performed(body, cost)
        self.calls += 1

    async def _perform(self, app: str, call: BindingCall) -> Any:
        handler = self._handlers.get(call.kind)
        if handler is None:
            raise InvalidInput("call binding", call.namespace, f"this node has no bindings of kind {call.kind[:40]!r}")
        return await handler(app, call)


class _WorkerConnection(FrameConnection):
    """From a worker. What it has asked for, and does not read, is held here: so nothing is read of it, and nothing begun, while
    it leaves answers unread, or while what is under way may hold as much as it may."""

    def __init__(self, server: BindingServer, frame_bytes: int, value_bytes: int) -> None:
        super().__init__(CREDENTIAL_BYTES)
        self._server = server
        self._frame_bytes = frame_bytes
        self._value_bytes = value_bytes
        self._app = ""
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[BindingCall, int]] = deque()
        """Calls that were not begun, and what each may hold."""
        self._held_bytes = 0
        """That those under way may hold."""
        self._unread = False
        """Whether the worker leaves answers unread."""
        self._reads = True
        self._inflight = 0
        self.credential = ""
        """By which it was admitted."""

    def opened(self) -> None:
        self._timer = self.loop.call_later(CREDENTIAL_S, self.close)
        self._server.opened(self)

    def received(self, body: bytes) -> None:
        if not self._app:
            self._introduced(_decode_credential(body))
            return
        call = _decode_call(body)
        if self._server.overloaded(self._inflight):
            error = LimitReached("call binding", call.namespace, "too many calls of this worker under way")
            self.send(_encode(BindingAnswer(call.id, error=str(error))))
            return
        self._inflight += 1
        cost = len(body) + (self._value_bytes if (call.kind, call.operation) in VALUE_READS else 0)
        self._waiting.append((call, cost))
        self._go_on()

    def _introduced(self, credential: str) -> None:
        app = self._server.admit(credential)
        if app is None:
            # Whoever this is, it is no worker of ours: nothing to explain.
            raise ValueError("wrong credential")
        self._app, self.credential = app, credential
        self.accept(self._frame_bytes)
        # The kernel goes on letting workers in while it ends a process: by this they know that somebody is there.
        self.send(_ADMITTED)
        if self._timer is not None:
            self._timer.cancel()

    def performed(self, answer: bytes, cost: int) -> None:
        """A call is over. answer: empty where there is none."""
        self._inflight -= 1
        self._held_bytes -= cost
        if answer:
            self.send(answer)
        if self.unwritten_bytes > FRAMES_UNREAD * self._frame_bytes:
            assert self.transport is not None
            self.transport.abort()
        self._go_on()

    def _go_on(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        most = FRAMES_HELD * self._frame_bytes
        while self._waiting and not self._unread and self._held_bytes + self._waiting[0][1] <= most:
            call, cost = self._waiting.popleft()
            self._held_bytes += cost
            self._server.handle(self._app, call, self, cost)
        reads = not (self._unread or self._waiting)
        if reads != self._reads:
            self._reads = reads
            if reads:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._unread = True
        self._go_on()

    def resume_writing(self) -> None:
        self._unread = False
        self._go_on()

    def lost(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        self._server.lost(self)
