"""The head of a request to an origin, as it is sent."""

from littoral.core.errors import InvalidInput
from littoral.core.remembered import Remembered
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import Endpoint, OriginRequest
from littoral.wire.http_fields import may_be_remembered

_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
"""Methods that mean something by a body: of none they say so (RFC 9110, section 8.6)."""
_FRAMES = ("content-length:", "transfer-encoding:")
_HELD = "its request line or one of its fields holds a space, a line break or a NUL"
_KEPT = 2048


def request_head(endpoint: Endpoint, request: OriginRequest) -> bytes:
    """With the fields that frame the body. Raises InvalidInput for what would not be read there as one request."""
    fields, method, target, body = request.fields, request.method, request.target, request.body
    line = f"{method} {target} HTTP/1.1\r\n"
    try:
        # A space more would be another target.
        if line.count(" ") != 2:
            raise ValueError(_HELD)
        lines = _known_lines[fields] if type(fields) is tuple else _lines(fields)
        if isinstance(body, bytes):
            end = b"content-length: %d\r\n\r\n" % len(body) if body or method in _WITH_CONTENT else b"\r\n"
        elif request.body_length is None:
            end = b"transfer-encoding: chunked\r\n\r\n"
        else:
            end = b"content-length: %d\r\n\r\n" % request.body_length
        return b"".join((_lines(request.own, line), lines, end))
    except UnicodeEncodeError:
        raise _refused(endpoint, "it holds a character that HTTP/1.1 cannot carry") from None
    except ValueError as error:
        raise _refused(endpoint, str(error)) from None


def _lines(fields: Fields, first: str = "") -> bytes:
    """first: the request line, if that goes before. Raises UnicodeEncodeError, ValueError."""
    text = first + "".join([f"{name}: {value}\r\n" for name, value in fields])
    # Were there one more of them, it would end a field, or a request, that nobody checked.
    ends = len(fields) + bool(first)
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise ValueError(_HELD)
    if text.startswith(_FRAMES) or "\r\ncontent-length:" in text or "\r\ntransfer-encoding:" in text:
        raise ValueError("its body is framed twice")
    return text.encode("latin-1")


_known_lines = Remembered(_lines, _KEPT, may_be_remembered)


def _refused(endpoint: Endpoint, cause: str) -> InvalidInput:
    return InvalidInput("send request to", str(endpoint), cause)
