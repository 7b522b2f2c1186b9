"""The hub's side of functions' bindings: who asks, what they may touch, and the call itself."""

import asyncio
import contextlib
import hashlib
import hmac
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import msgspec

from littoral.core.errors import Forbidden, InvalidInput, LimitReached, LittoralError
from littoral.core.kv import KeyValue
from littoral.core.limits import BINDING_INFLIGHT, CONTROL_FRAME_BYTES, KV_LIST_KEYS, KV_VALUE_BYTES, Limits
from littoral.core.tasks import Tasks
from littoral.functions.connection import FrameConnection, check_socket_path
from littoral.functions.messages import BindingAnswer, BindingCall

_encode = msgspec.msgpack.Encoder().encode
_decode_credential = msgspec.msgpack.Decoder(str).decode
_decode_call = msgspec.msgpack.Decoder(BindingCall).decode


def binding_frame_bytes(limits: Limits) -> int:
    """The longest frame between a worker and the hub: a value, or a page of keys, and what stands around it."""
    return limits[KV_VALUE_BYTES] + limits[CONTROL_FRAME_BYTES]


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

    def _mac(self, app: str, slot: int) -> str:
        return hmac.new(self._key, f"{app} {slot}".encode(), hashlib.sha256).hexdigest()


class BindingServer:
    """Answers the calls of all workers of the node at run/bindings.sock."""

    def __init__(
        self,
        path: Path,
        kv: KeyValue,
        credentials: Credentials,
        namespaces: Callable[[str], Collection[str]],
        limits: Limits,
        failed: Callable[[BaseException], None],
    ) -> None:
        """namespaces: those an app has bindings for, as placed now. failed: receives errors that are faults of ours."""
        self._path = path
        self._kv = kv
        self._credentials = credentials
        self._namespaces = namespaces
        self._limits = limits
        self._tasks = Tasks(failed)
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[_WorkerConnection] = set()
        self.calls = 0
        """Calls answered."""

    async def start(self) -> None:
        """Listen. Raises StartupError where the path is too long."""
        path = check_socket_path(self._path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        frame_bytes = binding_frame_bytes(self._limits)
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: _WorkerConnection(self, frame_bytes), path
        )
        os.chmod(path, 0o600)

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

    def admit(self, credential: str) -> str | None:
        """The app that the credential proves, or None."""
        return self._credentials.app(credential)

    def handle(self, app: str, call: BindingCall, connection: "_WorkerConnection") -> None:
        """Start the call; its answer goes to `connection`."""
        self._tasks.start(self._answer(app, call, connection), f"binding {app} {call.operation}")

    def overloaded(self, inflight: int) -> bool:
        """Whether a worker with so many calls under way may not start another."""
        if inflight < self._limits[BINDING_INFLIGHT]:
            return False
        self._limits.hit(BINDING_INFLIGHT)
        return True

    async def _answer(self, app: str, call: BindingCall, connection: "_WorkerConnection") -> None:
        try:
            answer = BindingAnswer(call.id, await self._perform(app, call))
        except LittoralError as error:
            answer = BindingAnswer(call.id, error=str(error))
        finally:
            connection.inflight -= 1
        self.calls += 1
        connection.send(_encode(answer))

    async def _perform(self, app: str, call: BindingCall) -> Any:
        if call.namespace not in self._namespaces(app):
            raise Forbidden(
                f"{call.operation} in namespace",
                call.namespace,
                f"app {app} has no binding for it",
                "Add it under spec.kv of the app",
            )
        match call.operation, call.arguments:
            case "get", [str(key)]:
                return await self._kv.get(call.namespace, key)
            case "put", [str(key), bytes(value)]:
                await self._kv.put(call.namespace, key, value)
                return None
            case "delete", [str(key)]:
                await self._kv.delete(call.namespace, key)
                return None
            case "list", [str(prefix), str() | None as cursor, int(limit)]:
                if limit < 1:
                    raise InvalidInput("list keys of", call.namespace, f"limit {limit} is below 1")
                page = await self._kv.list(call.namespace, prefix, cursor, min(limit, self._limits[KV_LIST_KEYS]))
                return [page.keys, page.cursor]
            case _:
                raise InvalidInput(
                    "call binding of namespace",
                    call.namespace,
                    f"{call.operation} does not take these arguments",
                    "Keys, prefixes and cursors are str, values str or bytes, limits int",
                )


class _WorkerConnection(FrameConnection):
    def __init__(self, server: BindingServer, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._server = server
        self._app: str | None = None
        self.inflight = 0

    def opened(self) -> None:
        self._server.opened(self)

    def received(self, body: bytes) -> None:
        if self._app is None:
            self._app = self._server.admit(_decode_credential(body))
            if self._app is None:
                # Whoever this is, it is no worker of ours: nothing to explain.
                raise ValueError("wrong credential")
            return
        call = _decode_call(body)
        if self._server.overloaded(self.inflight):
            error = LimitReached("call binding of namespace", call.namespace, "too many calls of this worker under way")
            self.send(_encode(BindingAnswer(call.id, error=str(error))))
            return
        self.inflight += 1
        self._server.handle(self._app, call, self)

    def lost(self) -> None:
        self._server.lost(self)
