"""Reads the responses that come on one connection: what of them has come, and where they end. No I/O.

    interim    passed on; the head that is waited for is still to come
    head       is known: `framing` says where the body ends
    complete   the message is over; whatever else has come was not asked for (`has_excess`)
    flaw       it cannot be read: nothing after it means anything

A response that comes whole in one read takes none of the steps that others take: that is most of them.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import httptools

from littoral.core.gateway_limits import ORIGIN_FIELDS, ORIGIN_HEAD_BYTES, ORIGIN_INTERIM
from littoral.core.limit import Limit
from littoral.core.limits import Limits
from littoral.drivers.origin_framing import BadFraming, Framing, framing_of
from littoral.drivers.origin_parser import BEGIN, END, HEAD, Event, Field, Head, read_fields, response_parser
from littoral.drivers.origin_response import OriginResponse
from littoral.gateway.field_block import Fields
from littoral.wire.http_fields import may_be_remembered

Inform = Callable[[int, Fields], None]

VERSIONS = frozenset({"1.1", "1.0"})
HEADS_KEPT = 512


class _Known(NamedTuple):
    """The head of a response, read."""

    status: int
    version: str
    fields: Fields
    framing: Framing
    """With a length."""


_known: dict[bytes, _Known] = {}
"""Heads of responses that came whole, as they came: until their date changes, many are the same."""


def _remember(head: bytes, known: _Known) -> None:
    if len(_known) >= HEADS_KEPT:
        _known.clear()
    _known[head] = known


class ResponseReader:
    """See the module."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._head_most_bytes = limits[ORIGIN_HEAD_BYTES]
        self._most_fields = limits[ORIGIN_FIELDS]
        self.inform: Inform | None = None
        """Is given interim responses."""
        self.may_switch = False
        """Whether 101 was asked for."""
        self._events: list[Event] = []
        self._heads: list[Head] = []
        self._feed = response_parser(self._events, self._heads).feed_data
        self.forget()

    def forget(self) -> None:
        """The response is over: the next is another."""
        self.has_begun = False
        """Whether anything of it has come."""
        self.framing: Framing | None = None
        """Known once its head has come."""
        self.is_complete = False
        self.has_excess = False
        self.flaw = ""
        self.limit: Limit | None = None
        """The one that the flaw is about."""
        self._fields: list[Field] = []
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._head_before = b""
        """Of a response to HEAD: what has come of its head."""
        self._interim = 0
        """The status of the interim response that is being read."""
        self._interims = 0
        self._overhead_bytes = 0
        """What has come since the last piece of the body: trailers, and extensions of chunks."""

    def read(self, response: OriginResponse, data: bytes) -> Framing | None:
        """What comes. Returns how the response was framed if it has come whole, at once and alone: then it has all that came,
        and there is nothing else to look at. What the head says is given to the response in any case."""
        if response.method == "HEAD":
            self._read_head_only(response, data)
        elif not self.has_begun and (known := self._known_head(response, data)) is not None:
            return known
        else:
            error = None
            try:
                self._feed(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as raised:
                error = raised
            if error is None and not self.has_begun and (framing := self._read_whole(response, data)) is not None:
                return framing
            self._sort(response, data, error)
        self.has_begun = True
        self._check_size(response, len(data))
        return None

    def take_body(self) -> bytes:
        """What of it has come and was not yet taken."""
        body = self._body
        if not body:
            return b""
        self._body = []
        return body[0] if len(body) == 1 else b"".join(body)

    def take_trailers(self) -> Fields:
        """Of a response that is complete. If they are too many there are none, and what follows them is not to be read."""
        if len(self._fields) > self._most_fields:
            self._limits.hit(ORIGIN_FIELDS)
            self.has_excess = True
            return ()
        return read_fields(self._fields)

    def _known_head(self, response: OriginResponse, data: bytes) -> Framing | None:
        """Of a whole response that begins as others did; the parser, which is between two responses, does not hear of it."""
        end = data.find(b"\r\n\r\n") + 4
        known = _known.get(data[:end])
        if known is None or len(data) - end != known.framing.length or len(known.fields) > self._most_fields:
            return None
        response.status, response.version, response.fields = known.status, known.version, known.fields
        response.length, response.whole = known.framing.length, data[end:]
        return known.framing

    def _read_whole(self, response: OriginResponse, data: bytes) -> Framing | None:
        """None if it has not come whole, or is remarkable in any way: then nothing is done."""
        events, heads = self._events, self._heads
        if len(heads) != 1 or events[-1] != END or events[0] != BEGIN or len(data) > self._head_most_bytes:
            return None
        body = events[-2]
        if body == HEAD:
            body, end = b"", -2
        elif events[-3] == HEAD:
            end = -3
        else:
            return None
        status, version = heads[0]
        if not 200 <= status <= 599 or version not in VERSIONS:
            return None
        if len(events) > self._most_fields or type(body) is not bytes:
            return None
        fields = tuple(read_fields(cast("list[Field]", events[1:end])))
        try:
            framing = framing_of(response.method, status, version, fields)
        except BadFraming:
            return None
        if framing[2] or (body and not framing[1]):
            return None
        events.clear()
        heads.clear()
        response.status, response.version, response.fields = status, version, fields
        response.length, response.whole = framing[0], body
        if framing[0] == len(body) and may_be_remembered(fields):
            _remember(data[: len(data) - len(body)], _Known(status, version, fields, framing))
        return framing

    def _sort(self, response: OriginResponse, data: bytes, error: Exception | None) -> None:
        """What the parser has found, and why it went no further."""
        heads = iter(self._heads)
        for event in self._events:
            if self.is_complete:
                self.has_excess = True
                break
            if isinstance(event, bytes):
                self._body.append(event)
            elif isinstance(event, tuple):
                self._fields.append(event)
            elif event == HEAD:
                self._judge(response, *next(heads))
            elif event == END:
                self._end_message()
            if self.flaw:
                return
        self._events.clear()
        self._heads.clear()
        if error is not None:
            self._stop(data, error)

    def _stop(self, data: bytes, error: Exception) -> None:
        if isinstance(error, httptools.HttpParserUpgrade):
            self._body = [data[error.args[0] :]]
        elif not self.is_complete:
            self.flaw = f"what it sends is no HTTP/1.1: {error}"

    def _end_message(self) -> None:
        if self._interim:
            self._pass_on(self._interim, read_fields(self._fields))
        else:
            self.is_complete = self.framing is not None

    def _read_head_only(self, response: OriginResponse, data: bytes) -> None:
        """A response to HEAD, which the parser does not know to have no body."""
        data = self._head_before + data
        while not self.flaw and self.framing is None and (end := data.find(b"\r\n\r\n") + 4) >= 4:
            error = None
            try:
                self._feed(data[:end])
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as raised:
                error = raised
            self._sort(response, data[:end], error)
            data = data[end:]
        self._head_before = data
        if self.framing is not None:
            self._feed = response_parser(self._events, self._heads).feed_data
            self.is_complete, self.has_excess = True, bool(data)

    def _judge(self, response: OriginResponse, status: int, version: str) -> None:
        """What a head says."""
        fields = self._fields
        if version not in VERSIONS or not 100 <= status <= 599:
            self.flaw = f"it answers with the status {status} of HTTP/{version}, which is none of HTTP/1.1"
            return
        if len(fields) > self._most_fields:
            self.limit = ORIGIN_FIELDS
            self.flaw = f"its response has more than {self._most_fields} fields"
            return
        if status < 200 and status != 101:
            self._interim = status
            return
        read = read_fields(fields)
        if status == 101 and not (self.may_switch and any(name == "upgrade" for name, _ in read)):
            self.flaw = "it switches to another protocol without having been asked, or without saying to which"
            return
        try:
            self.framing = framing_of(response.method, status, version, read)
        except BadFraming as error:
            self.flaw = f"nobody can tell where its response ends: {error}"
            return
        response.status, response.version, response.fields = status, version, read
        response.length = self.framing.length
        self._fields = []

    def _pass_on(self, status: int, fields: Fields) -> None:
        """An interim response."""
        self._interim = 0
        self._fields = []
        self._interims += 1
        most = self._limits[ORIGIN_INTERIM]
        if self._interims > most:
            self.limit = ORIGIN_INTERIM
            self.flaw = f"it sends more than {most} interim responses"
        elif self.inform is not None:
            self.inform(status, fields)

    def _check_size(self, response: OriginResponse, size: int) -> None:
        """Of the head, and of what comes after a body; of the body itself any size is fine."""
        most = self._head_most_bytes
        if self.flaw:
            return
        framing = self.framing
        if framing is None:
            self._head_bytes += size
            if self._head_bytes > most:
                self._is_too_large("the head of its response")
        elif not response.has_head:
            if self._head_bytes + size > most:
                # Something of a body may have come with it: what of it was the head?
                size = self._head_bytes + sum([len(name) + len(value) for name, value in response.fields])
                if size > most:
                    self.framing = None
                    self._is_too_large("the head of its response")
            elif response.status != 101 and not framing.has_body and (self._body or not self.is_complete):
                self.flaw = "nobody can tell where its response ends"
        elif self._body:
            self._overhead_bytes = 0
        else:
            self._overhead_bytes += size
            if self._overhead_bytes > most and not self.is_complete:
                self._is_too_large("what follows its body")

    def _is_too_large(self, what: str) -> None:
        self.limit = ORIGIN_HEAD_BYTES
        self.flaw = f"{what} is larger than {self._head_most_bytes} bytes"
