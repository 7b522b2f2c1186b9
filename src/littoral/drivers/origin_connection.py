"""One HTTP/1.1 connection to an origin: one request at a time.

    asked      the parser reads the response; its head is given out when it has come, its body as it comes
    paused     nothing is read while more of a body is held than one may hold
    complete   the connection is handed back, unless what came says otherwise, or more came than the response
    idle       whatever comes now was not asked for: the connection is closed. It could be an answer that somebody has smuggled
               in for the next request
    switched   bytes both ways, until it is closed
    lost       who waits hears why; of a connection that had been idle, and on which nothing came back, that too

There is one timer per connection. It is not moved with each request, but looks when it fires for how long there is still time.
"""

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from math import inf
from typing import Protocol, cast

from littoral.core.gateway_limits import (
    ORIGIN_CONNECTION_S,
    ORIGIN_IDLE_CONNECTIONS,
    ORIGIN_IDLE_S,
    ORIGIN_READ_AHEAD_BYTES,
)
from littoral.core.limit import Limit
from littoral.core.limits import Limits
from littoral.drivers.origin_duplex import OriginDuplex
from littoral.drivers.origin_framing import Framing
from littoral.drivers.origin_reader import Inform, ResponseReader
from littoral.drivers.origin_response import OriginResponse
from littoral.drivers.origin_upload import BodyLength, upload
from littoral.gateway.origins.transport import Endpoint, OriginFailed, OriginRequest, OriginTimeouts, Stage

KEEP_MARGIN_S = 1.0
"""A connection is given up so much earlier than its origin says it closes it: a request takes time to arrive."""
LOOK_AFTER_S = 0.01
"""Once a connection was idle for so long, it is looked at before it is used: the event loop may be late with what it says."""


class Owner(Protocol):
    """Who keeps connections."""

    limits: Limits

    def made(self, connection: "OriginConnection") -> "list[OriginConnection]":
        """It is open. Returns where it is to be kept for the next request."""
        ...

    def lost(self, connection: "OriginConnection") -> None:
        """It is no more."""
        ...

    def uploading(self, task: "asyncio.Task[None]") -> None:
        """The task sends a request's body; it ends with its connection."""
        ...


class OriginConnection(asyncio.Protocol):
    """See the module."""

    def __init__(self, endpoint: Endpoint, owner: Owner) -> None:
        self.endpoint = endpoint
        self.is_closed = False
        """Whether it takes no more requests, and gives no more of a response."""
        self.duplex: OriginDuplex | None = None
        """The way on, once the origin has switched to another protocol."""
        self._owner = owner
        self._idle: list[OriginConnection] = []
        limits = self._limits = owner.limits
        self._most_idle = limits[ORIGIN_IDLE_CONNECTIONS]
        self._idle_s = limits[ORIGIN_IDLE_S]
        self._read_ahead_bytes = limits[ORIGIN_READ_AHEAD_BYTES]
        loop = self._loop = asyncio.get_running_loop()
        self._time = loop.time
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._is_tls = False
        self._readable = select.poll()
        self._is_lost = False
        self._is_paused = False
        self._is_ended = False
        """Whether nothing more is sent."""
        self._is_used = False
        """Whether it has answered a request."""
        self._idle_since_s = 0.0
        self._until_s = inf
        """When it is to be closed, whatever it does."""

        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = inf
        """When it fires; inf while there is none."""
        self._deadline_s = inf
        self._late = ""
        """What the origin has not done when the deadline comes."""
        self._left_bytes = 0
        self._timeouts = OriginTimeouts()

        self._drained: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None

        self._response: OriginResponse | None = None
        """The one that is waited for, or read."""
        self._reader = ResponseReader(limits)

    # Its owner

    def is_fit(self, *, look: bool) -> bool:
        """Whether a request may be sent: it is open, not too old, and its origin has said nothing, not even that it closes.
        look: ask the system, however short it was idle."""
        now_s = self._time()
        if self.is_closed or now_s >= self._until_s or self._transport.is_closing():
            return False
        if look or now_s - self._idle_since_s >= LOOK_AFTER_S:
            return not self._readable.poll(0)
        return True

    def ask(
        self,
        head: bytes,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Inform | None = None,
        told: Callable[[], None] | None = None,
        *,
        wants_switch: bool = False,
    ) -> OriginResponse:
        """Send a request. told: see OriginResponse."""
        assert self._response is None
        response = self._response = OriginResponse(self, request.method, told)
        self._reader.inform = inform
        self._reader.may_switch = wants_switch
        self._timeouts = timeouts
        body = request.body
        if isinstance(body, bytes):
            self._transport.write(head + body if body else head)
            deadline_s = self._deadline_s = self._time() + timeouts.head_s
            self._late = "send the head of its response"
            if self._timer_s > deadline_s:
                self._start_timer()
        else:
            self._transport.write(head)
            self._deadline_s = inf
            self._upload = self._loop.create_task(self._send_body(body, request.body_length))
            self._owner.uploading(self._upload)
        return response

    def close(self) -> None:
        """End it at once. Who waits for a response hears of it."""
        if self.is_closed:
            return
        self.is_closed = True
        self._stop_timer()
        if self._upload is not None:
            self._upload.cancel()
        self._transport.abort()

    # The event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._until_s = self._time() + self._limits[ORIGIN_CONNECTION_S]
        self._idle = self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            if self.duplex is not None:
                self.duplex.feed(data)
            else:
                self.close()
            return
        reader = self._reader
        framing = reader.read(response, data)
        if framing is not None:
            self._finish(response, framing, may_stay=self._upload is None)
            response.come()
        elif reader.flaw:
            self._refuse(reader.flaw, reader.limit)
        elif reader.framing is None:
            pass
        elif response.has_head:
            self._go_on(response)
        else:
            self._begin(response)

    def eof_received(self) -> bool:
        response = self._response
        if self.duplex is not None:
            self.duplex.at_end()
            return not self._is_tls and not self._is_ended
        if response is not None:
            if self._reader.framing is not None and self._reader.framing.until_close:
                # Over TLS this is called for a proper end only: a body that is cut off is not taken for a whole one.
                self._complete(response)
            else:
                self._broke_off("closed")
        self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        if self.duplex is not None:
            self.duplex.lost()
        if self._response is not None:
            if self.is_closed:
                self._fail("the gateway has closed the connection")
            else:
                self._broke_off("reset" if exc is not None else "closed")
        self._wake_writer()
        self.close()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        self._wake_writer()

    # What has come

    def _stay(self, keep_s: float | None) -> bool:
        """Wait for another request, if there is room."""
        now_s = self._time()
        idle_s = self._idle_s if keep_s is None else min(self._idle_s, keep_s - KEEP_MARGIN_S)
        if idle_s <= 0 or now_s >= self._until_s or self.is_closed:
            return False
        idle = self._idle
        if len(idle) >= self._most_idle:
            self._limits.hit(ORIGIN_IDLE_CONNECTIONS)
            return False
        self._idle_since_s = now_s
        deadline_s = self._deadline_s = now_s + idle_s
        if self._timer_s > deadline_s:
            self._start_timer()
        idle.append(self)
        return True

    def _begin(self, response: OriginResponse) -> None:
        """Its head has come, and not all of it at once."""
        body = self._reader.take_body()
        if response.status == 101:
            self._switch(response, body)
        elif self._reader.is_complete:
            response.whole = body
            self._complete(response)
        else:
            if body:
                response.feed(body)
            self._wait_for_more(response)
        response.come()

    def _go_on(self, response: OriginResponse) -> None:
        """More of its body has come."""
        if body := self._reader.take_body():
            response.feed(body)
        if self._reader.is_complete:
            self._complete(response)
        else:
            self._wait_for_more(response)

    def _wait_for_more(self, response: OriginResponse) -> None:
        if response.held_bytes > self._read_ahead_bytes:
            self.pause(is_full=True)
            self._deadline_s = inf
        elif self._upload is None:
            self._allow(self._timeouts.idle_s, "go on with its response")

    def read_on(self) -> None:
        """The response has room for more."""
        response = self._response
        if self._is_paused and response is not None and response.held_bytes <= self._read_ahead_bytes // 2:
            self.pause(is_full=False)
            self._wait_for_more(response)

    def pause(self, *, is_full: bool) -> None:
        """Read no more for now, or again."""
        if self._is_paused is is_full or self.is_closed:
            return
        self._is_paused = is_full
        if is_full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _complete(self, response: OriginResponse) -> None:
        """It is whole."""
        reader = self._reader
        framing = reader.framing
        assert framing is not None
        trailers = reader.take_trailers()
        may_stay = not reader.has_excess and self._upload is None
        reader.forget()
        self._finish(response, framing, may_stay=may_stay)
        response.end(trailers)

    def _finish(self, response: OriginResponse, framing: Framing, *, may_stay: bool) -> None:
        """Keep the connection, if it may be used again."""
        self._response = response.source = None
        self._is_used = True
        if not (may_stay and framing.keep and self._stay(framing.keep_s)):
            self.close()

    def _switch(self, response: OriginResponse, came: bytes) -> None:
        self._response = None
        self._deadline_s = inf
        self.duplex = OriginDuplex(self, came)
        response.end(())

    # The end of it

    def _broke_off(self, how: str) -> None:
        when = "in the middle of the response" if self._reader.framing is not None else "before a response came"
        self._fail(f"the connection was {how} {when}", reused=self._is_used and not self._reader.has_begun)

    def _refuse(self, flaw: str, limit: Limit | None) -> None:
        if limit is not None:
            self._limits.hit(limit)
        self._fail(flaw, f"The limit is {limit.name}" if limit is not None else "Check what listens there")

    def _fail(self, cause: str, remedy: str = "", *, timed_out: bool = False, reused: bool = False) -> None:
        response, self._response = self._response, None
        assert response is not None
        if self._reader.framing is not None:
            stage: Stage = "body"
        else:
            stage = "send" if self._upload is not None else "head"
        failure = OriginFailed("get response from", str(self.endpoint), cause, remedy)
        failure.stage, failure.timed_out, failure.reused = stage, timed_out, reused
        self.close()
        response.fail(failure)

    def _allow(self, seconds: float, late: str) -> None:
        """Close it if nothing happens for so long."""
        self._deadline_s = self._time() + seconds
        self._late = late
        if self._timer_s > self._deadline_s:
            self._start_timer()

    def _start_timer(self) -> None:
        self._stop_timer()
        if not self.is_closed:
            self._timer = self._loop.call_at(self._deadline_s, self._look_at_time)
            self._timer_s = self._deadline_s

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_s = None, inf

    def _look_at_time(self) -> None:
        self._timer, self._timer_s = None, inf
        now_s = self._time()
        if self._deadline_s <= now_s and self._upload is not None:
            left_bytes = self._transport.get_write_buffer_size()
            if left_bytes < self._left_bytes:
                self._left_bytes = left_bytes
                self._deadline_s = now_s + self._timeouts.idle_s
        if self._deadline_s > now_s:
            if self._deadline_s < inf:
                self._start_timer()
        elif self._response is not None:
            self._fail(f"it did not {self._late} in time", "The pool's timeouts say in what time", timed_out=True)
        elif self.duplex is None:
            self.close()

    # What is sent

    def write(self, data: bytes) -> None:
        """See `origin_upload.Line`."""
        if not self.is_closed:
            self._transport.write(data)

    async def drained(self) -> None:
        """See `origin_upload.Line`."""
        if self._drained is not None:
            if self._upload is not None:
                self._left_bytes = self._transport.get_write_buffer_size()
                self._allow(self._timeouts.idle_s, "take the request's body")
            await asyncio.shield(self._drained)
            if self._upload is not None:
                self._deadline_s = inf
        if self._is_lost:
            raise ConnectionResetError("the origin has closed the connection")

    def write_eof(self) -> None:
        """See `origin_duplex.Line`. TLS cannot close one way only: then the connection ends when all is sent."""
        if self.is_closed:
            return
        self._is_ended = True
        if self._transport.can_write_eof() and self.duplex is not None and not self.duplex.is_at_end:
            self._transport.write_eof()
        else:
            self._transport.close()

    def _wake_writer(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def _send_body(self, body: AsyncIterator[bytes], length: int | None) -> None:
        try:
            await upload(self, body, length)
        except asyncio.CancelledError:
            # The response is whole, or the connection has ended; whoever waited knows.
            return
        except ConnectionError:
            # `connection_lost` says it better.
            return
        except BodyLength as error:
            if self._response is not None:
                self._fail(str(error))
            return
        except Exception as error:  # noqa: BLE001 -- whatever the body's source raises is the caller's to hear
            self._body_broke(error)
            return
        self._upload = None
        response = self._response
        if response is None:
            return
        if response.has_head:
            self._wait_for_more(response)
        else:
            self._allow(self._timeouts.head_s, "send the head of its response")

    def _body_broke(self, error: Exception) -> None:
        response = self._response
        if response is None:
            return
        if response.has_head:
            self._fail("the request's body has broken off")
            return
        self._response = None
        self.close()
        response.fail(error)
