"""What calls an app besides clients, on the worker's side: cron triggers, queues, and other apps."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from littoral.functions.event_messages import Asked, Batch, Given, Returned, Rpc, Scheduled, Settled
from littoral.functions.messages import EventKind
from littoral.functions.worker.loader import App, NoHandler
from littoral.workers import Context, Env, Request, Response
from littoral.workers.events import Message, MessageBatch, ScheduledController
from littoral.workers.queue import read_body

_encode = msgspec.msgpack.Encoder().encode
_decode_scheduled = msgspec.msgpack.Decoder(Scheduled).decode
_decode_batch = msgspec.msgpack.Decoder(Batch).decode
_decode_rpc = msgspec.msgpack.Decoder(Rpc).decode
_decode_asked = msgspec.msgpack.Decoder(Asked).decode


class AppEvent(Protocol):
    """One event at the app that it is for."""

    async def run(self, app: App, env: Env, ctx: Context) -> bytes:
        """Have the app handle it; the answer's body. Raises whatever the app's code raises, NoHandler."""
        ...

    def failed(self, error: BaseException) -> bytes:
        """The answer's body where `run` raised."""
        ...


class ScheduledEvent:
    """Calls `scheduled`."""

    def __init__(self, body: bytes) -> None:
        self._said = _decode_scheduled(body)

    async def run(self, app: App, env: Env, ctx: Context) -> bytes:
        """See AppEvent."""
        if app.scheduled is None:
            raise NoHandler("the app has a cron trigger, and no method scheduled (or function on_scheduled)")
        await app.scheduled(ScheduledController(self._said.cron, self._said.scheduled_ms), env, ctx)
        return b""

    def failed(self, error: BaseException) -> bytes:
        """See AppEvent."""
        return b""


class QueueEvent:
    """Calls `queue`."""

    def __init__(self, body: bytes) -> None:
        self._said = _decode_batch(body)
        self._messages: list[Message] = []

    async def run(self, app: App, env: Env, ctx: Context) -> bytes:
        """See AppEvent."""
        if app.queue is None:
            raise NoHandler("the app consumes a queue, and has no method queue (or function on_queue)")
        self._messages = [_message(each) for each in self._said.messages]
        await app.queue(MessageBatch(self._said.queue, self._messages), env, ctx)
        return self._settled()

    def failed(self, error: BaseException) -> bytes:
        """See AppEvent."""
        return self._settled()

    def _settled(self) -> bytes:
        done = [index for index, message in enumerate(self._messages) if message.settled is True]
        again = {
            index: message.retry_after_s for index, message in enumerate(self._messages) if message.settled is False
        }
        return _encode(Settled(done, again))


class RpcEvent:
    """Calls a method of an entry point's own, or has it answer another app's request."""

    def __init__(self, body: bytes) -> None:
        self._said = _decode_rpc(body)

    async def run(self, app: App, env: Env, ctx: Context) -> bytes:
        """See AppEvent."""
        # Loaded by workers that are called so.
        from littoral.workers.rpc_values import load_values, sent_values  # noqa: PLC0415
        from littoral.workers.service import DEPTH  # noqa: PLC0415

        said = self._said
        DEPTH.set(said.depth)
        ctx = ctx.with_props(said.props)
        entry = app.named(said.entrypoint)
        if not said.method:
            return _encode(Returned(value=await self._fetch(entry, env, ctx)))
        arguments, named = load_values(said.arguments)
        result = await entry.call(said.method, arguments, named, env, ctx)
        try:
            return _encode(Returned(value=await sent_values(result)))
        except TypeError as error:
            raise TypeError(f"{said.method} returned what cannot be passed on: {error}") from None

    async def _fetch(self, entry: App, env: Env, ctx: Context) -> list[Any]:
        asked = _decode_asked(self._said.arguments)
        request = Request.received(asked.method, asked.url, asked.headers, asked.body, "")
        response = await entry.fetch(request, env, ctx)
        if not isinstance(response, Response):
            raise TypeError(f"fetch returned {type(response).__name__}; it must return a workers.Response")
        return [response.status, [list(pair) for pair in response.headers.items()], bytes(await response.bytes())]

    def failed(self, error: BaseException) -> bytes:
        """See AppEvent."""
        return _encode(Returned(type(error).__name__, str(error)))


def _message(given: Given) -> Message:
    return Message(given.id, read_body(given.content_type, given.body), given.sent_ms, given.attempts)


_EVENTS: dict[EventKind, Callable[[bytes], AppEvent]] = {
    "scheduled": ScheduledEvent,
    "queue": QueueEvent,
    "rpc": RpcEvent,
}


def read_event(kind: EventKind, body: bytes) -> AppEvent:
    """What a call's body says."""
    return _EVENTS[kind](body)
