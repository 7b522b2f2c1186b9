"""The head of a request to an origin, as it is sent."""

from littoral.core.errors import InvalidInput
from littoral.gateway.origins.transport import Endpoint, OriginRequest

_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
"""Methods that mean something by a body: of none they say so (RFC 9110, section 8.6)."""


def request_head(endpoint: Endpoint, request: OriginRequest) -> bytes:
    """With the fields that frame the body. Raises InvalidInput for what would not be read there as one request."""
    fields, method, body = request.fields, request.method, request.body
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    text = f"{method} {request.target} HTTP/1.1\r\n{''.join(lines)}"
    # Were there one more of them, it would end a field, or a request, that nobody checked.
    ends = len(lines) + 1
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text or " " in request.target or " " in method:
        raise _refused(endpoint, "its request line or one of its fields holds a space, a line break or a NUL")
    if "\r\ncontent-length:" in text or "\r\ntransfer-encoding:" in text:
        raise _refused(endpoint, "its body is framed twice")
    if isinstance(body, bytes):
        end = f"content-length: {len(body)}\r\n\r\n" if body or method in _WITH_CONTENT else "\r\n"
    elif request.body_length is None:
        end = "transfer-encoding: chunked\r\n\r\n"
    else:
        end = f"content-length: {request.body_length}\r\n\r\n"
    try:
        return (text + end).encode("latin-1")
    except UnicodeEncodeError:
        raise _refused(endpoint, "it holds a character that HTTP/1.1 cannot carry") from None


def _refused(endpoint: Endpoint, cause: str) -> InvalidInput:
    return InvalidInput("send request to", str(endpoint), cause)
