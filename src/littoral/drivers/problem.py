"""The boundary of a request: whatever a handler raises is answered, and what is a fault of ours is logged."""

import logging
import os

from littoral.core.errors import LittoralError
from littoral.core.http import AnyResponse, Handler, Request, Response
from littoral.wire.problem import problem_response

_log = logging.getLogger("littoral.http")


async def answer(handler: Handler, request: Request) -> AnyResponse:
    """What `handler` answers; errors become problem details. An error that is not in our tree is logged as a fault."""
    try:
        return await handler(request)
    except LittoralError as error:
        return problem_response(error)
    except Exception:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is logged and answered
        return unexpected_response(request.method, request.path)


def check_status(status: int) -> None:
    """Raises ValueError for what is the status of no whole answer: it may be of a handler's making, or another node's."""
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is the status of no answer")


def unexpected_response(method: str, path: str) -> Response:
    """Log the exception being handled with a new request id, and answer with that id only."""
    request_id = os.urandom(8).hex()
    _log.exception("request %s failed: %s %s", request_id, method, path)
    remedy = f"The node's log has the reason under {request_id}"
    fault = LittoralError("handle", f"{method} {path[:120]}", "the node failed to", remedy)
    return problem_response(fault, request_id)
