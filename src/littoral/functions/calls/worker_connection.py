"""A gateway's connection to one worker: requests and answers, and the bodies that come in pieces.

A body that is short travels within its frame; any other one in pieces, in both directions at once where both are long. The wall
time of a request whose body comes in pieces begins anew with each piece that the worker takes, for it cannot answer what has not
come. From the head of an answer on, there is a bound on how long nothing comes of it (FUNCTION_STREAM_IDLE_S).
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import msgspec

from littoral.core.errors import BadGateway, LittoralError
from littoral.core.function_limits import FUNCTION_BODY_BYTES, FUNCTION_GRACE_MS
from littoral.functions.calls.function_request import FunctionRequest
from littoral.functions.calls.function_stream import FunctionStream
from littoral.functions.connection import FrameConnection
from littoral.functions.messages import FRAME_OVERHEAD_BYTES, REVISION, Answer, AnswerError, Call, PackedCall
from littoral.functions.meters import UNKNOWN
from littoral.functions.pieces import (
    BROKEN,
    END,
    GONE,
    MESSAGE_BYTE,
    PIECE,
    ROOM,
    piece_head,
    read_end_of_answer,
    read_piece,
    read_room,
)
from littoral.wire.told_fields import ToldFields

if TYPE_CHECKING:
    from littoral.functions.calls.asked import Asked
    from littoral.functions.calls.worker_link import WorkerLink

_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode

Reply = tuple[Answer, FunctionStream | None]
"""An answer, and where its body comes if that is not in it."""
CLOCK_S = 0.001
"""What the loop's clock counts in."""


class WorkerConnection(FrameConnection):
    """One connection to one worker."""

    def __init__(self, link: "WorkerLink") -> None:
        super().__init__(link.client.limits[FUNCTION_BODY_BYTES] + FRAME_OVERHEAD_BYTES)
        self.link = link
        self._last = 0
        """The number of the last request."""
        self._overdue: set[int] = set()
        self._leaving = False
        self._pid = 0
        self._condemned = False
        self.gone = False
        self.serves: asyncio.Future[bool] = self.loop.create_future()
        """Whether the worker takes requests, as soon as that is known: it says who it is when it has started."""
        self.revision = UNKNOWN
        """Of the worker's code, as soon as it has said so: before its first answer."""
        self.pending: dict[int, Asked] = {}
        """Requests without an answer, or the head of one."""
        self._timer: asyncio.TimerHandle | None = None
        """For all deadlines: it fires at the earliest, or at that of a request that has been answered meanwhile."""
        self._look_s = inf
        """When it fires."""
        self.streams: dict[int, FunctionStream] = {}
        """Of requests or answers that come in pieces."""
        self._begun = 0
        """Answers whose head has come, and their end has not."""

    @property
    def load(self) -> int:
        """The requests that the worker is busy with."""
        return len(self.pending) + self._begun

    @property
    def takes_requests(self) -> bool:
        """Whether it is there, and nobody is leaving."""
        return not self.gone and not self._leaving

    def opened(self) -> None:
        self._pid = self.peer_pid()

    def ask(self, asked: "Asked") -> int:
        """Ask the worker; `asked` is called back. Returns what the request is called here. Raises TimedOut where there is no time
        left."""
        deadline_s = asked.deadline_s
        left_s = deadline_s - self.loop.time()
        if left_s <= 0:
            raise self.link.client.timed_out()
        number = self._last = self._last + 1
        self.pending[number] = asked
        request = asked.request
        body = request.body
        whole = body if isinstance(body, bytes) else b""
        stream = None
        if body is not whole:
            stream = self.streams[number] = FunctionStream(self, number)
        left_ms = int(left_s * 1000)
        if stream is None:
            self.send_whole(number, request, whole, left_ms)
        else:
            self.send_call(number, request, whole, left_ms, more=True)
        if stream is not None and isinstance(body, AsyncIterator):
            stream.feed(body)
        if request.when_gone is not None:
            request.when_gone(partial(self.client_gone, number))
        if deadline_s < self._look_s:
            self._look_at(deadline_s)
        return number

    def send_whole(self, number: int, request: FunctionRequest, body: bytes, left_ms: int) -> None:
        """Pass a request on to the worker with all that belongs to it."""
        self.send_call(number, request, body, left_ms, more=False)

    def send_call(self, number: int, request: FunctionRequest, body: bytes, left_ms: int, *, more: bool) -> None:
        """Pass a request on to the worker. more: whether its body follows in pieces."""
        told = request.headers
        url, name, event = request.url, request.request_id, request.event
        call: Call
        if isinstance(told, ToldFields):
            call = PackedCall(number, request.method, url, told.encoded, body, left_ms, name, event, more, True)
        else:
            call = Call(number, request.method, url, told, body, left_ms, name, event, more)
        self.send(_encode(call))

    def leave(self) -> None:
        """Close once every request is answered."""
        self._leaving = True
        self._close_if_done()

    def received(self, body: bytes) -> None:
        if body and body[0] < MESSAGE_BYTE:
            self._take_piece(*read_piece(body))
            return
        self.answered(_decode_answer(body))

    def answered(self, answer: Answer) -> None:
        """The worker has said something."""
        asked = self.pending.pop(answer.id, None)
        if asked is not None:
            stream = None
            if answer.more:
                stream = self._begin(answer)
            elif answer.id in self.streams:
                self.streams.pop(answer.id).finish()
            asked.answered(answer, stream)
        elif answer.id == 0 and answer.headers:
            self.revision = dict(answer.headers).get(REVISION, UNKNOWN)
            self._settle(serves=True)
        elif answer.id == 0:
            self._leaving = True
            self._settle(serves=False)
            self.link.lost(self)
        elif not answer.more:
            self._overdue.discard(answer.id)
        if self._leaving:
            self._close_if_done()

    def lost(self) -> None:
        self.gone = True
        self._settle(serves=False)
        self.link.lost(self)
        alone = self.load == 1 and not self._condemned
        pending, self.pending = self.pending, {}
        streams, self.streams = self.streams, {}
        self._overdue.clear()
        for stream in streams.values():
            if stream.begun:
                self.link.client.failed(self, "died")
            cause = "its worker died while it answered"
            stream.finish(BadGateway("call app", self.link.client.app, cause, "The node's log has more"))
        self._look_no_more()
        for asked in pending.values():
            asked.lost(alone=alone)

    def _settle(self, *, serves: bool) -> None:
        if not self.serves.done():
            self.serves.set_result(serves)

    # Bodies in pieces

    def _begin(self, answer: Answer) -> FunctionStream:
        stream = self.streams.get(answer.id)
        if stream is None:
            stream = self.streams[answer.id] = FunctionStream(self, answer.id)
        stream.begun = True
        stream.length = answer.length
        self._begun += 1
        return stream

    def _take_piece(self, kind: int, number: int, rest: bytes) -> None:
        """Raises ValueError for what no worker sends."""
        stream = self.streams.get(number)
        if kind == PIECE:
            if stream is not None:
                stream.incoming.feed(rest)
        elif kind == ROOM:
            count = read_room(rest)
            if stream is not None:
                stream.outgoing.add_room(count)
        elif kind in (END, BROKEN):
            self._overdue.discard(number)
            cpu_us, why = read_end_of_answer(rest)
            self.link.client.computed(self, cpu_us)
            if stream is not None and stream.begun:
                failure = None if kind == END else self._failure(why)
                self.forget(stream)
                stream.finish(failure)
            if self._leaving:
                self._close_if_done()
        else:
            raise ValueError(f"frame of unknown kind {kind}")

    def _failure(self, said: bytes) -> LittoralError:
        """A worker runs an app's code, and may say anything: what is no word of ours is an exception."""
        why: AnswerError
        try:
            why = msgspec.convert(said.decode("ascii", "replace"), AnswerError) or "exception"
        except msgspec.ValidationError:
            why = "exception"
        self.link.client.failed(self, why)
        return self.link.client.error(why)

    def forget(self, stream: FunctionStream) -> None:
        """Nothing more is wanted of it."""
        if self.streams.pop(stream.number, None) is not None and stream.begun:
            self._begun -= 1

    def body_broke(self, stream: FunctionStream, error: Exception) -> None:
        """The request's body ended before its end."""
        asked = self.pending.get(stream.number)
        if asked is None:
            self.client_gone(stream.number)
        else:
            self.give_back(stream.number)
            asked.fail(error)

    def client_gone(self, number: int) -> None:
        """Tell the worker, if it still works for that client."""
        if (number in self.pending or number in self.streams) and not self.gone:
            self.send_with(piece_head(GONE, number), b"")

    def leave_stream(self, stream: FunctionStream) -> None:
        """Nobody reads the rest. Where another protocol is spoken, the function hears of it, and ends it itself."""
        self.client_gone(stream.number)
        self.forget(stream)
        if not stream.switched:
            self.send(_encode(Call(stream.number, "")))
        self._expect_end(stream.number, self.link.client.limits[FUNCTION_GRACE_MS] / 1000 + self.link.client.wall_s)

    # Ends

    def _close_if_done(self) -> None:
        if not self.pending and not self._overdue and not self.streams:
            self.close()

    def _look_at(self, moment_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look_s = moment_s
        self._timer = self.loop.call_at(moment_s, self._look_for_late)

    def _look_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._look_s = None, inf

    def _look_for_late(self) -> None:
        """End what is past its deadline; the next one is looked for when it can be."""
        self._timer, self._look_s = None, inf
        # A timer may be early by less than what the loop's clock counts in.
        now_s = self.loop.time() + CLOCK_S
        next_s = inf
        for number, asked in list(self.pending.items()):
            if asked.deadline_s <= now_s and number in self.pending:
                self._expire(number, asked, now_s)
            if number in self.pending and asked.deadline_s < next_s:
                next_s = asked.deadline_s
        if next_s < self._look_s:
            self._look_at(next_s)

    def _expire(self, number: int, asked: "Asked", now_s: float) -> None:
        stream = self.streams.get(number)
        if stream is not None and (until_s := stream.moved_s + self.link.client.wall_s) > now_s:
            asked.deadline_s = until_s
            return
        del self.pending[number]
        self._cancel(number, 0.0)
        asked.fail(self.link.client.timed_out())

    def give_back(self, number: int) -> None:
        """Whoever asked does not wait any more. Nothing happens to what has ended."""
        if number in self.pending:
            # It was the client that left: the function may take its time to put things in order.
            self.client_gone(number)
            del self.pending[number]
            self._cancel(number, self.link.client.wall_s)
        elif (stream := self.streams.get(number)) is not None:
            stream.close()

    def _cancel(self, number: int, patience_s: float) -> None:
        if (stream := self.streams.pop(number, None)) is not None:
            stream.finish()
        if not self.gone:
            self.send(_encode(Call(number, "")))
            self._expect_end(number, patience_s + self.link.client.limits[FUNCTION_GRACE_MS] / 1000)

    def _expect_end(self, number: int, patience_s: float) -> None:
        if not self.gone:
            self._overdue.add(number)
            self.loop.call_later(patience_s, self._give_up, number)

    def _give_up(self, number: int) -> None:
        if number in self._overdue:
            # One order is enough, whatever else is overdue: the connection's end clears the rest.
            self._overdue.clear()
            self._condemned = True
            self.link.client.kill(self._pid)
