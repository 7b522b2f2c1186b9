"""One gateway process's connection to a worker: calls come in, answers go out."""

import sys
from typing import Protocol

import msgspec

from littoral.functions.connection import FrameConnection
from littoral.functions.messages import Answer, Call, PackedCall
from littoral.functions.pieces import GONE, MESSAGE_BYTE, read_piece
from littoral.functions.worker.call_streams import CallStreams
from littoral.functions.worker.running import Running

_encode = msgspec.msgpack.Encoder().encode
_decode_call = msgspec.msgpack.Decoder(PackedCall).decode


class Calls(Protocol):
    """Who handles what gateways ask; the worker."""

    def start(self, call: Call, gateway: "GatewayConnection") -> Running | None:
        """Handle `call`; it may have been answered when this returns. None where there are too many already."""
        ...

    def gateway_opened(self, gateway: "GatewayConnection") -> None:
        """A gateway connected."""
        ...

    def gateway_lost(self, gateway: "GatewayConnection") -> None:
        """A gateway is gone; nobody waits for its requests any more."""
        ...


class GatewayConnection(FrameConnection):
    """One gateway process's connection to this worker."""

    def __init__(self, worker: Calls, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._max_bytes = max_bytes
        self._worker = worker
        self._running: dict[int, Running] = {}

    def opened(self) -> None:
        self._worker.gateway_opened(self)

    def received(self, body: bytes) -> None:
        if body and body[0] < MESSAGE_BYTE:
            self._take_piece(*read_piece(body))
            return
        call = _decode_call(body)
        if not call.method:
            running = self._running.get(call.id)
            if running is not None:
                running.cancel()
            return
        started = self._worker.start(call, self)
        if started is None:
            self.send(_encode(Answer(call.id, error="overload")))
        elif started.task is not None:
            self._running[call.id] = started

    def _take_piece(self, kind: int, number: int, rest: bytes) -> None:
        """Raises ValueError for what no gateway sends."""
        running = self._running.get(number)
        if running is None:
            # It was answered meanwhile.
            return
        if kind == GONE:
            running.leave()
        elif running.streams is not None:
            running.streams.take(kind, rest)
            if not running.streams.begun:
                running.moved(self.loop.time())

    def finished(self, answer: Answer, streams: CallStreams | None = None) -> None:
        """Send the answer to a request of this gateway's, or the end of one that was begun."""
        self._running.pop(answer.id, None)
        if streams is not None and streams.begun:
            streams.finish(answer.error, answer.cpu_us)
            return
        body = _encode(answer)
        if len(body) > self._max_bytes:
            # The gateway would have to break off the connection, and with it the neighbours' requests.
            sys.stderr.write(f"a response of {len(body)} bytes was dropped; at most {self._max_bytes} are passed on\n")
            sys.stderr.flush()
            body = _encode(Answer(answer.id, error="too-large"))
        self.send(body)

    def lost(self) -> None:
        for running in self._running.values():
            running.leave()
            running.cancel()
        self._running.clear()
        self._worker.gateway_lost(self)
