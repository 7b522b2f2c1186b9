"""Bounds of bodies that do not travel whole, and of WebSockets, as a worker is told them."""

from msgspec import Struct

from littoral.core.function_limits import (
    FUNCTION_BODY_BYTES,
    FUNCTION_DRAIN_S,
    FUNCTION_STREAM_BYTES,
    WEB_SOCKET_MESSAGE_BYTES,
    WEB_SOCKET_PING_S,
    WEB_SOCKET_UNSENT_BYTES,
)
from littoral.core.limits import Limits


class StreamTerms(Struct, array_like=True, frozen=True):
    """What each is for is said with the limit of its name."""

    window_bytes: int = FUNCTION_STREAM_BYTES.default
    request_bytes: int = FUNCTION_BODY_BYTES.default
    """The most of a request's body that is read whole."""
    drain_s: int = FUNCTION_DRAIN_S.default
    message_bytes: int = WEB_SOCKET_MESSAGE_BYTES.default
    unsent_bytes: int = WEB_SOCKET_UNSENT_BYTES.default
    ping_s: int = WEB_SOCKET_PING_S.default


def stream_terms(limits: Limits, request_bytes: int = 0) -> StreamTerms:
    """As a node's limits have them. request_bytes: what the app has of its own, or 0."""
    return StreamTerms(
        limits[FUNCTION_STREAM_BYTES],
        min(request_bytes or limits[FUNCTION_BODY_BYTES], limits[FUNCTION_BODY_BYTES]),
        limits[FUNCTION_DRAIN_S],
        limits[WEB_SOCKET_MESSAGE_BYTES],
        limits[WEB_SOCKET_UNSENT_BYTES],
        limits[WEB_SOCKET_PING_S],
    )
