"""A worker's side of its bindings: calls to the hub, pipelined over one connection that is opened when first needed.

While the hub restarts, calls wait; those that were under way are sent again. Every operation may be repeated: reads,
and writes that leave the same value.
"""

import asyncio
import itertools
from typing import Any

import msgspec

from littoral.functions.connection import FrameConnection
from littoral.functions.messages import BindingAnswer, BindingCall
from littoral.workers import KVError

FIRST_RETRY_S, LAST_RETRY_S = 0.01, 0.5

_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(BindingAnswer).decode


class BindingClient:
    """Carries `env.<BINDING>` calls. Its `call` is a `littoral.workers.kv.KVCaller`."""

    def __init__(self, path: str, credential: str, wait_s: float, max_bytes: int) -> None:
        """credential: shown to the hub first. wait_s: how long a call waits for the hub, where its request does not
        end it sooner. max_bytes: the longest frame the hub takes."""
        self._max_bytes = max_bytes
        self._path = path
        self._credential = credential
        self._wait_s = wait_s
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[bytes, asyncio.Future[Any]]] = {}
        self._connection: _HubConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._delay_s = 0.0

    async def call(self, operation: str, namespace: str, arguments: list[object]) -> Any:
        """Raises KVError: the hub refused, or did not answer in time."""
        number = next(self._ids)
        body = _encode(BindingCall(number, operation, namespace, arguments))
        if len(body) > self._max_bytes:
            raise KVError(
                f"cannot {operation} in namespace {namespace}: key and value take {len(body)} bytes; "
                f"at most {self._max_bytes} fit. Store less under one key"
            )
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (body, future)
        if self._connection is not None:
            self._connection.send(body)
        else:
            self._connect()
        try:
            async with asyncio.timeout(self._wait_s):
                return await future
        except TimeoutError:
            raise KVError(
                f"cannot {operation} in namespace {namespace}: the node did not answer within {self._wait_s:g} s. "
                "Try again; if it goes on, look at the node's log"
            ) from None
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Let go of the hub; calls that wait get no answer."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def answered(self, answer: BindingAnswer) -> None:
        """The hub answered a call. One that nobody waits for any more is dropped."""
        self._delay_s = 0.0
        waiting = self._waiting.get(answer.id)
        if waiting is None or waiting[1].done():
            return
        if answer.error:
            waiting[1].set_exception(KVError(answer.error))
        else:
            waiting[1].set_result(answer.result)

    def lost(self, connection: "_HubConnection") -> None:
        """The hub is gone; connect again if anything waits for it."""
        if self._connection is not connection:
            return
        self._connection = None
        if self._waiting:
            self._connect()

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._keep_connecting())

    async def _keep_connecting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(self._delay_s)
            # Grows until a call is answered: a hub that accepts and then closes must not be hammered either.
            self._delay_s = min(max(self._delay_s * 2, FIRST_RETRY_S), LAST_RETRY_S)
            try:
                _, connection = await loop.create_unix_connection(
                    lambda: _HubConnection(self, self._max_bytes), self._path
                )
            except OSError:
                continue
            connection.send(_encode(self._credential))
            for body, _ in self._waiting.values():
                connection.send(body)
            self._connection = connection
            break
        self._connecting = None


class _HubConnection(FrameConnection):
    def __init__(self, client: BindingClient, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._client = client

    def received(self, body: bytes) -> None:
        self._client.answered(_decode_answer(body))

    def lost(self) -> None:
        self._client.lost(self)
