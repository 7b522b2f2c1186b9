"""The answer to one call whose body does not travel whole: sent piece by piece as it is made, or a WebSocket's messages."""

import math
from contextvars import copy_context
from functools import partial

import msgspec

from littoral.functions.messages import Answer, Call, WorkerSpec
from littoral.functions.worker.call_streams import CallStreams
from littoral.functions.worker.failures import Failures, ResponseTooLarge, log_call
from littoral.functions.worker.gateway_connection import GatewayConnection
from littoral.functions.worker.running import Running, current_running
from littoral.workers import Response
from littoral.workers.response import WITHOUT_BODY
from littoral.workers.streams import ReadableStream

_encode = msgspec.msgpack.Encoder().encode


def check_length(length: int, most: int) -> None:
    """Raises ResponseTooLarge. most: 0 for no bound."""
    if most and length > most:
        raise ResponseTooLarge(f"a response of more than {most} bytes (limits.responseBytes)")


class AnswerStream:
    """What gives it."""

    def __init__(
        self, call: Call, running: Running, gateway: GatewayConnection, spec: WorkerSpec, failures: Failures
    ) -> None:
        self._call = call
        self._running = running
        self._gateway = gateway
        self._terms = spec.streams
        self._most_bytes = spec.bounds.response_bytes
        self._failures = failures
        if running.streams is None:
            running.streams = CallStreams(gateway, call.id, spec.streams.window_bytes)
        self._streams = running.streams

    async def send(self, response: Response) -> Answer:
        """Send it. Returns what ends it; or the whole answer, where it has no body."""
        if response.status == 101:
            return await self._speak(response)
        call, running, whole, headers = self._call, self._running, response.whole, response.headers.items()
        stream = response.outgoing() if whole is None else None
        length = stream.length if stream is not None else len(whole or b"")
        is_bodiless = call.method == "HEAD" or response.status in WITHOUT_BODY
        check_length(length or 0, self._most_bytes)
        if is_bodiless and stream is not None:
            await stream.cancel()
        if is_bodiless and (length is None or response.status in WITHOUT_BODY):
            return Answer(call.id, response.status, headers)
        running.deadline = math.inf
        self._streams.begun = True
        # What it takes is said at its end.
        self._gateway.send(_encode(Answer(call.id, response.status, headers, more=True, length=length)))
        if stream is not None and not is_bodiless:
            await self._give(stream)
        elif whole is not None and not is_bodiless:
            await self._streams.write(whole)
        return Answer(call.id)

    async def _give(self, stream: ReadableStream) -> None:
        """Send the pieces that the function makes, each made when there is room for it."""
        running, streams = self._running, self._streams
        pieces = aiter(stream)
        given = 0
        try:
            while True:
                await streams.outgoing.room()
                running.in_app_code = True
                piece = await anext(pieces, None)
                running.in_app_code = False
                if piece is None:
                    return
                given += len(piece)
                check_length(given, self._most_bytes)
                await streams.write(piece)
        finally:
            # Wherever it was: what the function does in its `finally` is done now.
            running.in_app_code = True
            try:
                await stream.cancel()
            finally:
                running.in_app_code = False

    async def _speak(self, response: Response) -> Answer:
        """Carry the messages of a WebSocket until it is closed."""
        # Loaded by functions that use it only.
        from littoral.functions.web_socket_link import WebSocketLink, accepts  # noqa: PLC0415

        call, running, streams, end = self._call, self._running, self._streams, response.web_socket
        assert running.request is not None
        accept = accepts(running.request.headers.get)
        if accept is None or end is None:
            log_call(call, f"fetch answered {call.method} {call.url} with a WebSocket, which was not asked for")
            return Answer(call.id, error="invalid")
        # What its listeners do is the function's work, for as long as it takes, but for computing without a pause.
        listening = Running(math.inf, running.wall_s)
        listening.in_app_code = True
        listening.task = running.task
        end.other.context = copy_context()
        end.other.context.run(current_running.set, listening)
        end.other.failed = partial(self._failures.raised_by_listener, call)
        running.deadline = math.inf
        streams.begun = True
        headers = [*response.headers.items(), ("sec-websocket-accept", accept)]
        self._gateway.send(_encode(Answer(call.id, 101, headers, more=True)))
        link = WebSocketLink(end, streams, self._terms, is_client=False, limit=self._closed_at)
        streams.when_left = link.lost
        try:
            await link.run()
        finally:
            # It is one account: what the listeners took belongs to the request.
            running.cpu.used_ns += listening.cpu.used_ns
        return Answer(call.id)

    def _closed_at(self, bound: str) -> None:
        log_call(self._call, f"closed the WebSocket of {self._call.url}: {bound}")
