"""A worker's side of its bindings: calls to the hub, pipelined over one connection that is opened when first needed.

While the hub restarts, calls wait; those that were under way are sent again where their operations may be repeated: reads,
and writes that leave the same behind. A call is under way once a hub was asked that has said that it is there.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from littoral.functions.connection import FrameConnection
from littoral.functions.messages import BindingAnswer, BindingCall
from littoral.workers import BindingError

FIRST_RETRY_S, LAST_RETRY_S = 0.01, 0.5

_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(BindingAnswer).decode


@dataclass(slots=True)
class _Waiting:
    body: bytes
    future: asyncio.Future[Any]
    repeatable: bool
    error: type[BindingError]
    what: str
    sent: bool = False


class BindingClient:
    """Carries `env.<BINDING>` calls: `caller` gives each kind of binding its way to the hub."""

    def __init__(self, path: str, credential: str, wait_s: float, max_bytes: int) -> None:
        """credential: shown to the hub first. wait_s: how long a call waits for the hub, where its request does not
        end it sooner. max_bytes: the longest frame the hub takes."""
        self._max_bytes = max_bytes
        self._path = path
        self._credential = credential
        self._wait_s = wait_s
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._connection: _HubConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._delay_s = 0.0
        self.closing: list[Callable[[], None]] = []
        """What has connections of its own, and closes them with this one."""

    def caller(
        self,
        kind: str,
        noun: str,
        error: type[BindingError],
        *,
        too_long: str = "Send less at once",
        repeatable: bool = True,
        wait_s: float | None = None,
    ) -> "Caller":
        """How bindings of one kind call the hub.

        noun: what such a binding is called in errors. error: what a failed call raises. too_long: what to do about a call that
        does not fit into a frame. repeatable: whether a call under way
        is asked again where the hub restarts, or else fails. wait_s: instead of the client's.
        """
        return Caller(self, kind, noun, error, too_long, repeatable, self._wait_s if wait_s is None else wait_s)

    async def ask(self, caller: "Caller", operation: str, name: str, arguments: list[object]) -> Any:
        """Raises the caller's error: the hub refused, or did not answer in time."""
        number = next(self._ids)
        what = f"cannot {operation} in {caller.noun} {name}"
        body = _encode(BindingCall(number, operation, name, arguments, caller.kind))
        if len(body) > self._max_bytes:
            raise caller.error(
                f"{what}: it takes {len(body)} bytes with all that belongs to it; at most {self._max_bytes} fit. "
                f"{caller.too_long}"
            )
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[number] = _Waiting(body, future, caller.repeatable, caller.error, what)
        if self._connection is not None:
            waiting.sent = True
            self._connection.send(body)
        else:
            self._connect()
        try:
            async with asyncio.timeout(caller.wait_s):
                return await future
        except TimeoutError:
            raise caller.error(
                f"{what}: the node did not answer within {caller.wait_s:g} s. "
                "Try again; if it goes on, look at the node's log"
            ) from None
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Let go of the hub; calls that wait get no answer."""
        for close in self.closing:
            close()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def answered(self, answer: BindingAnswer) -> None:
        """The hub answered a call. One that nobody waits for any more is dropped."""
        self._delay_s = 0.0
        waiting = self._waiting.get(answer.id)
        if waiting is None or waiting.future.done():
            return
        if answer.error:
            waiting.future.set_exception(waiting.error(answer.error))
        else:
            waiting.future.set_result(answer.result)

    def lost(self, connection: "_HubConnection") -> None:
        """The hub is gone; connect again if anything waits for it."""
        if self._connection is not connection:
            return
        self._connection = None
        for number, waiting in list(self._waiting.items()):
            if waiting.sent and not waiting.repeatable:
                del self._waiting[number]
                if not waiting.future.done():
                    cause = "the node restarted meanwhile, and may have done it or not"
                    waiting.future.set_exception(waiting.error(f"{waiting.what}: {cause}"))
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
            # Of one that ends before it has said a word nothing was asked.
            try:
                if not await connection.admitted:
                    continue
            except asyncio.CancelledError:
                connection.close()
                raise
            for waiting in self._waiting.values():
                waiting.sent = True
                connection.send(waiting.body)
            self._connection = connection
            break
        self._connecting = None


@dataclass(frozen=True, slots=True)
class Caller:
    """A `littoral.workers.binding.BindingCaller`."""

    client: BindingClient
    kind: str
    noun: str
    error: type[BindingError]
    too_long: str
    repeatable: bool
    wait_s: float

    async def __call__(self, operation: str, name: str, arguments: list[object]) -> Any:
        """See BindingCaller."""
        return await self.client.ask(self, operation, name, arguments)


class _HubConnection(FrameConnection):
    def __init__(self, client: BindingClient, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._client = client
        self.admitted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def received(self, body: bytes) -> None:
        if self.admitted.done():
            self._client.answered(_decode_answer(body))
        else:
            self.admitted.set_result(True)

    def lost(self) -> None:
        if not self.admitted.done():
            self.admitted.set_result(False)
        self._client.lost(self)
