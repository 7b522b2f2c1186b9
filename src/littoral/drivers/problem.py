"""What a request is answered that a fault of ours ended: the log has the fault."""

import logging
import os

from littoral.core.http import Response
from littoral.wire.problem import fault_response

_log = logging.getLogger("littoral.http")


def unexpected_response(method: str, path: str, error: Exception) -> Response:
    """Log `error` with a new request id, and answer with that id only."""
    request_id = os.urandom(8).hex()
    _log.error("request %s failed: %s %s", request_id, method, path, exc_info=error)
    return fault_response(method, path, f"The node's log has the reason under {request_id}", request_id)
