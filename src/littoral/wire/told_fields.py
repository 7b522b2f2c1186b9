"""What an app is told of a request beside its method and its URL: header fields, nearly all of which the next request has as well.

Those follow from what the client says and from how it came here, and are made and written once for all requests that say the same. Two more
follow from the request's id. Whoever reads fields adds them; most functions read none, and then nobody does.
"""

from typing import TYPE_CHECKING

from msgspec import Raw
from msgspec.msgpack import Decoder, Encoder

from littoral.wire.trace_context import TRACEPARENT, traceparent

REQUEST_ID = "x-request-id"

_encode = Encoder().encode
_decode = Decoder(list[tuple[str, str]]).decode


class ToldFields:
    """Of requests with which a trace begins: what is the same for all of them."""

    __slots__ = ("encoded", "fields")

    encoded: Raw
    """As msgpack."""

    def __init__(self, fields: tuple[tuple[str, str], ...]) -> None:
        self.fields = fields

    def of(self, request_id: str) -> list[tuple[str, str]]:
        """Those of one request."""
        return [*self.fields, *_own(request_id)]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Raw:
            # What is not there yet is `encoded`: nobody needs it of what is told within one process.
            if name != "encoded":
                raise AttributeError(name)
            self.encoded = encoded = Raw(_encode(self.fields))
            return encoded


def read_told_fields(encoded: Raw, request_id: str, *, in_new_trace: bool) -> list[tuple[str, str]]:
    """What `encoded` says of one request; in_new_trace: whether a trace begins with it, so that its own are to be added."""
    fields = _decode(encoded)
    return [*fields, *_own(request_id)] if in_new_trace else fields


def _own(request_id: str) -> tuple[tuple[str, str], ...]:
    return (REQUEST_ID, request_id), (TRACEPARENT, traceparent(None, request_id))
