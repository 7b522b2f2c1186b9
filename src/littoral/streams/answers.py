"""What every answer about a stream has in common, and how a refusal is said (RFC 9457 problem details)."""

from littoral.core.errors import LittoralError
from littoral.core.http import Headers, Response
from littoral.store.stream import StreamInfo
from littoral.streams.slices import Slice
from littoral.wire.durable_streams import STREAM_CLOSED, STREAM_NEXT_OFFSET, STREAM_UP_TO_DATE, format_offset
from littoral.wire.problem import problem_response

SAFETY: Headers = (("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin"))
"""A stream holds whatever somebody appended: no browser is to guess at it, or show it inside another site."""

NO_STORE: Headers = (("Cache-Control", "no-store"),)


def answer(status: int, headers: Headers = (), body: bytes = b"") -> Response:
    """A response with the headers that all have."""
    return Response(status, (*SAFETY, *headers), body)


def problem(error: LittoralError, headers: Headers = ()) -> Response:
    """A refusal: what was asked, why not, what to do."""
    return problem_response(error, headers=(*SAFETY, *headers))


def tail_headers(info: StreamInfo) -> Headers:
    """Where the stream ends, and whether for good."""
    closed = ((STREAM_CLOSED, "true"),) if info.closed else ()
    return ((STREAM_NEXT_OFFSET, format_offset(info.next)), *closed)


def slice_headers(piece: Slice) -> Headers:
    """Where to read on after a slice, and whether there is anything yet, or ever."""
    headers = [(STREAM_NEXT_OFFSET, format_offset(piece.next))]
    if piece.up_to_date:
        headers.append((STREAM_UP_TO_DATE, "true"))
    if piece.at_end:
        headers.append((STREAM_CLOSED, "true"))
    return headers
