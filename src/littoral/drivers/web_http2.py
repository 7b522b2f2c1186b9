"""One connection of HTTP/2 at the gateway: frames are the library h2's, and each stream is an exchange.

What one client may cost is bounded: streams at once (h2 ends a connection with more), unpacked heads and their frames (h2,
too), requests taken back (CVE-2023-44487) and frames that carry nothing, both in ten seconds. A stream that was reset still
counts until what it began has ended.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from littoral.core.gateway_limits import (
    GATEWAY_BODY_S,
    GATEWAY_CONTROL_FRAMES,
    GATEWAY_FIELDS,
    GATEWAY_IDLE_S,
    GATEWAY_STREAM_RESETS,
    GATEWAY_STREAMS,
    GATEWAY_TARGET_BYTES,
)
from littoral.core.limits import API_WRITE_S
from littoral.drivers.web_client import ClientConnection
from littoral.drivers.web_host import WebHost
from littoral.drivers.web_stream import Http2Exchange
from littoral.wire.http2_head import read_http2_head
from littoral.wire.packed_fields import FieldPacker, FieldUnpacker
from littoral.wire.request_head import RefusedRequest, TooManyFields

WINDOW_BYTES = 1024 * 1024
"""Of a connection: what all its streams together may send ahead of who reads them."""
FLOOD_S = 10.0
"""In which requests that are taken back, and frames that carry nothing, are counted."""
_CONFIG = H2Configuration(
    client_side=False,
    # Heads are judged stream by stream: a wrong one ends its stream, not those of others behind the same proxy.
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class Http2Connection(ClientConnection):
    """One client."""

    def __init__(self, listener: WebHost) -> None:
        super().__init__(listener)
        self.wire = wire = H2Connection(_CONFIG)
        bounds = listener.bounds
        wire.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: bounds.streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: bounds.head_bytes,
                SettingCodes.INITIAL_WINDOW_SIZE: bounds.read_bytes,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            },
        )
        wire.encoder = FieldPacker()  # type: ignore[assignment]
        wire.decoder = FieldUnpacker(bounds.head_bytes)
        self._streams: dict[int, Http2Exchange] = {}
        """Those that are not over for us: their answers are not sent, or what they began has not ended."""
        self._is_ending = False
        """Whether no stream is begun any more."""
        self._is_flushing = False
        """Whether what was made is sent later in this turn."""
        self._has_room = False
        """Whether a window was opened in this turn."""
        self._counted_since_s = listener.now_s
        self._resets = 0
        self._idle_frames = 0

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._open(self, transport):
            self.wire.initiate_connection()
            self.wire.increment_flow_control_window(WINDOW_BYTES - 65_535)
            self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self.listener.closed(self)

    def eof_received(self) -> bool:
        self._leave()
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        # What is read is answered, if only with an acknowledgement.
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.blocked = False
        if not self._gone:
            self._transport.resume_reading()
            self._pump()
            self.flush()

    def data_received(self, data: bytes) -> None:
        if self._gone:
            return
        self._is_flushing = True
        try:
            for event in self.wire.receive_data(data):
                self._take(event)
            if self._has_room:
                self._has_room = False
                self._pump()
        except H2Error:
            self.listener.refused("malformed")
            self._hang_up(lingers=True)
        except Exception as error:  # noqa: BLE001 -- whatever a client makes of it, it ends its connection and nothing else
            self.listener.fault("HTTP/2", self.client, error)
            self.abort()
        finally:
            self._is_flushing = False
            self.flush()

    def _leave(self) -> None:
        if self._gone:
            return
        self._gone = True
        for exchange in tuple(self._streams.values()):
            exchange.lose()
        self._streams.clear()

    # Frames

    def _take(self, event: Event) -> None:
        take = self._TAKES.get(type(event))
        if take is not None and not self._gone:
            take(self, event)
            self._end_flood()

    def _end_body(self, event: StreamEnded) -> None:
        if (exchange := self._streams.get(event.stream_id)) is not None:
            exchange.body_ended()

    def _end_stream(self, event: StreamReset) -> None:
        self._resets += 1
        if (exchange := self._streams.get(event.stream_id)) is not None:
            exchange.lose()

    def _open_windows(self, event: WindowUpdated) -> None:
        self._has_room = True

    def _take_idle(self, event: Event) -> None:
        self._idle_frames += 1
        self._has_room |= isinstance(event, RemoteSettingsChanged)

    def _take_goodbye(self, event: ConnectionTerminated) -> None:
        self.finish()

    def _take_data(self, event: DataReceived) -> None:
        exchange = self._streams.get(event.stream_id)
        data = event.data or b""
        unread = event.flow_controlled_length
        if not data and event.stream_ended is None:
            self._idle_frames += 1
        if exchange is not None and exchange.feed(data):
            unread -= len(data)
        if unread:
            self.wire.acknowledge_received_data(unread, event.stream_id)

    def _end_flood(self) -> None:
        bounds = self.listener.bounds
        for count, most, limit in (
            (self._resets, bounds.stream_resets, GATEWAY_STREAM_RESETS),
            (self._idle_frames, bounds.control_frames, GATEWAY_CONTROL_FRAMES),
        ):
            if count > most and not self._gone:
                self.listener.refused("flood", limit)
                self.wire.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
                self._hang_up(lingers=True)

    def _begin_stream(self, event: RequestReceived) -> None:
        if self._gone:
            return
        bounds = self.listener.bounds
        if self._is_ending or len(self._streams) >= bounds.streams:
            # The client may ask again elsewhere: nothing was done.
            if not self._is_ending:
                self.listener.reached(GATEWAY_STREAMS)
            self.wire.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        exchange = Http2Exchange(self, event.stream_id, has_ended=event.stream_ended is not None)
        self._streams[event.stream_id] = exchange
        try:
            head = read_http2_head(event.headers, self.scheme, bounds.fields, bounds.target_bytes)
        except RefusedRequest as refused:
            self.refuse(exchange, refused)
            return
        exchange.take(head)
        exchange.start()

    def refuse(self, exchange: Http2Exchange, refused: RefusedRequest) -> None:
        """Say why it is not looked at any further."""
        if isinstance(refused, TooManyFields):
            self.listener.reached(GATEWAY_FIELDS)
        elif refused.status == 414:
            self.listener.reached(GATEWAY_TARGET_BYTES)
        why = {408: "late", 414: "head", 431: "head", 405: "unsupported", 417: "unsupported"}
        self.listener.refused(why.get(refused.status, "malformed"))  # type: ignore[arg-type]
        exchange.refuse(refused.status, refused.cause)

    _TAKES: ClassVar[dict[type[Event], Callable[["Http2Connection", Any], None]]] = {
        RequestReceived: _begin_stream,
        DataReceived: _take_data,
        StreamEnded: _end_body,
        StreamReset: _end_stream,
        WindowUpdated: _open_windows,
        ConnectionTerminated: _take_goodbye,
        PingReceived: _take_idle,
        RemoteSettingsChanged: _take_idle,
        PriorityUpdated: _take_idle,
        UnknownFrameReceived: _take_idle,
    }

    # Streams

    def over(self, exchange: Http2Exchange) -> None:
        """Of an exchange: nothing more is sent, and what it began has ended, or may yet."""
        if not exchange.is_running:
            self._streams.pop(exchange.stream_id, None)
            if not self._streams:
                self._since_s = self.listener.now_s
                if self._is_ending and not self._gone:
                    self._loop.call_soon(self._close_if_idle)

    def _pump(self) -> None:
        """A frame for each stream in turn, as long as there is room; who had one comes last the next time."""
        is_sending = True
        while is_sending:
            is_sending = False
            for exchange in tuple(self._streams.values()):
                if exchange.pump():
                    is_sending = True
                    if self._streams.pop(exchange.stream_id, None) is not None:
                        self._streams[exchange.stream_id] = exchange

    def flush(self) -> None:
        """Send the frames that were made."""
        if not self._is_flushing and not self._gone and (data := self.wire.data_to_send()):
            self._transport.write(data)

    # Ends

    def finish(self) -> None:
        """See Ticked. The library knows no end but an abrupt one, so the frame that announces it is ours."""
        if self._is_ending or self._gone:
            return
        self._is_ending = True
        self.flush()
        frame = GoAwayFrame(0, last_stream_id=self.wire.highest_inbound_stream_id, error_code=ErrorCodes.NO_ERROR)
        self._transport.write(frame.serialize())
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._streams and not self._gone:
            self._hang_up(lingers=False)

    def _hang_up(self, *, lingers: bool) -> None:
        """Once the client has taken what was written. lingers: what it still sends is dropped for a while, or the system
        would answer that with a reset, which takes from it why it is hung up."""
        if not self._gone and (data := self.wire.data_to_send()):
            self._transport.write(data)
        self._leave()
        self._since_s = self.listener.now_s
        self._note_unsent()
        if not lingers:
            self._transport.close()
        elif self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        """See Ticked."""
        self._leave()
        self._transport.abort()

    def tick(self, now_s: float) -> None:
        """See Ticked."""
        bounds = self.listener.bounds
        if now_s - self._counted_since_s >= FLOOD_S:
            self._counted_since_s, self._resets, self._idle_frames = now_s, 0, 0
        if self.blocked or self._gone:
            self._tick_unsent(now_s)
            return
        for exchange in tuple(self._streams.values()):
            exchange.tick(now_s)
        self.flush()
        if not self._streams and now_s - self._since_s >= bounds.idle_s:
            self.listener.refused("idle", GATEWAY_IDLE_S)
            self.finish()

    def _tick_unsent(self, now_s: float) -> None:
        if self._is_unread(now_s):
            self.listener.refused("unread", API_WRITE_S)
            self.abort()
        elif self._gone and not self._unsent and now_s - self._since_s >= self.listener.bounds.linger_s:
            self.abort()

    def late(self, exchange: Http2Exchange) -> None:
        """The body of a request does not get on."""
        self.listener.reached(GATEWAY_BODY_S)
        self.refuse(exchange, RefusedRequest(408, f"its body did not get on within {self.listener.bounds.body_s} s"))

    def unread(self) -> None:
        """The client takes nothing of an answer."""
        self.listener.refused("unread", API_WRITE_S)
