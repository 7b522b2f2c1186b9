"""The body of a request of HTTP/1, as it comes on its connection (RFC 9112, sections 6 and 7). No I/O."""

from collections.abc import Callable

from littoral.core.gateway_limits import GATEWAY_BODY_RATE, GATEWAY_BODY_S
from littoral.core.limit import Limit
from littoral.drivers.web_body import IncomingBytes
from littoral.drivers.web_host import WebBounds
from littoral.wire.chunked_body import ChunkedBody
from littoral.wire.request_head import FieldSection


class RequestBody:
    """That of one request, until it has come whole."""

    __slots__ = ("_came", "_chunks", "_left", "_since_s", "incoming", "unread", "wants_continue")

    def __init__(self, section: FieldSection, taken: Callable[[int], None], now_s: float, *, is_1_1: bool) -> None:
        """section: says how it is framed. taken: see IncomingBytes."""
        self.incoming: IncomingBytes | None = IncomingBytes(taken)
        """On its way to who answers; None once nobody wants it: then it is dropped."""
        self.wants_continue = section.expects_continue and is_1_1
        """Whether the client waits to be told that it may send it."""
        self.unread = 0
        """How much of it was dropped, in bytes."""
        self._chunks = ChunkedBody() if section.chunked else None
        """Of one in chunks, and `_left` of another."""
        self._left = section.body_length or 0
        self._since_s = now_s
        """When what is waited for began, and `_came` how much of it came since then."""
        self._came = 0

    def take(self, data: bytes) -> bytes | None:
        """More has come. Returns what follows the body, once that is whole. Raises BrokenChunks."""
        self.wants_continue = False
        self._came += len(data)
        rest: bytes | None = None
        if self._chunks is not None:
            piece, rest = self._chunks.feed(data)
        else:
            piece = data[: self._left]
            self._left -= len(piece)
            if not self._left:
                rest = data[len(piece) :]
        if self.incoming is None:
            self.unread += len(data)
        else:
            self.incoming.feed(piece)
        return rest

    def drop(self, now_s: float) -> None:
        """The request was answered."""
        self.incoming = None
        self.go_on(now_s)

    def go_on(self, now_s: float) -> None:
        """It is read again."""
        self._since_s, self._came = now_s, 0

    def is_worth_reading(self, bounds: WebBounds) -> bool:
        """Whether the rest of it is read where nobody wants it, so that the connection can go on. Nobody knows whether a client
        that was not told to go on sends it all the same."""
        return not self.wants_continue and self._left <= bounds.unread_bytes

    def lateness(self, now_s: float, bounds: WebBounds, *, is_answered: bool) -> Limit | None:
        """Which limit it is beyond, if it is: where it is waited for it has to get on, and before the answer by more than a
        drop."""
        if self.incoming is not None and not self.incoming.wanted:
            self.go_on(now_s)
            return None
        if now_s - self._since_s < bounds.body_s:
            return None
        came = self._came
        self.go_on(now_s)
        if not came:
            return GATEWAY_BODY_S
        return GATEWAY_BODY_RATE if not is_answered and came < bounds.body_rate * bounds.body_s else None
