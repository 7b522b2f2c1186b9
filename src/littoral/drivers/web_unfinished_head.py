"""A request's head of HTTP/1 that has not come whole yet, or never will (RFC 9112, sections 2 and 3). No I/O."""

from littoral.core.gateway_limits import GATEWAY_HEAD_BYTES, GATEWAY_TARGET_BYTES
from littoral.drivers.web_host import WebHost
from littoral.wire.request_head import REQUEST_LINE, RefusedRequest, flaw_in_part, refused_line

_LINE_REST = 128
"""Of a request line, what is not its target; more than any has."""


class UnfinishedHead:
    """What is known of one."""

    __slots__ = ("_listener", "_seen", "since_s")

    def __init__(self, listener: WebHost) -> None:
        self._listener = listener
        self.since_s = 0.0
        """When it began; 0 for none."""
        self._seen = 0
        """How much of it was looked at."""

    def look(self, data: bytes) -> None:
        """At all that has come of it. Raises RefusedRequest for what will be none."""
        bounds = self._listener.bounds
        if len(data) > bounds.target_bytes + _LINE_REST and b"\r\n" not in data:
            raise self.too_long()
        if len(data) > bounds.head_bytes:
            raise self.too_large()
        if flaw_in_part(data, self._seen if self.since_s else 0):
            raise RefusedRequest(400, "the head holds a control character, or a line that does not end in CRLF")
        self._seen = len(data)
        self.since_s = self.since_s or self._listener.now_s

    def flaw(self, line: bytes) -> RefusedRequest:
        """Why one that has come whole is none. line: its first."""
        if len(line) > self._listener.bounds.target_bytes + _LINE_REST:
            return self.too_long()
        if not REQUEST_LINE.match(line):
            return refused_line(line)
        return self.too_large()

    def too_long(self) -> RefusedRequest:
        """Of its target."""
        self._listener.reached(GATEWAY_TARGET_BYTES)
        return RefusedRequest(414, f"its target is longer than {self._listener.bounds.target_bytes} bytes")

    def too_large(self) -> RefusedRequest:
        """Of all of it."""
        self._listener.reached(GATEWAY_HEAD_BYTES)
        return RefusedRequest(431, f"its head is larger than {self._listener.bounds.head_bytes} bytes")


def without_empty_line(data: bytes) -> bytes:
    """One before a request is skipped (RFC 9112, section 2.2). Raises RefusedRequest for more of them."""
    rest = data.removeprefix(b"\r\n")
    if rest.startswith(b"\r"):
        raise RefusedRequest(400, "empty lines come before it")
    return rest
