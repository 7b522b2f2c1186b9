"""Proxy-Status (RFC 9209): that an error is this gateway's own, and not one of the origin's, and what went wrong.

A child's gateway goes by it: where its parent has reached the origin, and that has failed, the origin is not asked once more.
"""

from littoral.core.errors import LittoralError, Unavailable
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import OriginFailed

PROXY_STATUS = "proxy-status"
CONNECTION_TIMEOUT = "connection_timeout"
UNAVAILABLE = "destination_unavailable"
RESPONSE_TIMEOUT = "http_response_timeout"
RESPONSE_INCOMPLETE = "http_response_incomplete"
INTERNAL = "proxy_internal_error"
"""Error types of section 2.3."""

_OF_THE_ORIGIN = frozenset({RESPONSE_TIMEOUT, RESPONSE_INCOMPLETE})


def proxy_status(name: str, error: LittoralError) -> str:
    """The field's value for an error that is answered. name: this gateway's, a token."""
    return f"{name}; error={_error_type(error)}"


def _error_type(error: LittoralError) -> str:
    if isinstance(error, OriginFailed):
        if error.stage == "connect":
            return CONNECTION_TIMEOUT if error.timed_out else UNAVAILABLE
        return RESPONSE_TIMEOUT if error.timed_out else RESPONSE_INCOMPLETE
    return UNAVAILABLE if isinstance(error, Unavailable) else INTERNAL


def has_reached_origin(fields: Fields) -> bool:
    """Whether an answer says that an origin was reached, and has failed."""
    said = [value.partition("error=")[2].split(";")[0].strip() for name, value in fields if name == PROXY_STATUS]
    return any(each in _OF_THE_ORIGIN for each in said)
