"""Errors as HTTP responses: problem details (RFC 9457).

A response never holds a stack trace: what an operator needs of it is in the log, under the request's id.
"""

import logging
import os

import msgspec

from littoral.core.errors import LittoralError
from littoral.core.http import AnyResponse, Handler, Request, Response

CONTENT_TYPE = "application/problem+json"
_log = logging.getLogger("littoral.http")


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The members of RFC 9457 section 3.1, and the parts of the error as extension members (section 3.2)."""

    title: str
    status: int
    detail: str
    kind: str = ""
    """Name of the class in `littoral.core.errors`: what a program decides by."""
    cause: str = ""
    remedy: str = ""
    request_id: str = ""
    """The word to look for in the node's log."""


def problem_response(problem: Problem) -> Response:
    """The problem as a response."""
    return Response(problem.status, [("content-type", CONTENT_TYPE)], msgspec.json.encode(problem))


def error_response(error: LittoralError) -> Response:
    """The response for an error of ours: its status and words, nothing of the code it came from."""
    kind = type(error).__name__
    return problem_response(Problem(error.title, error.status, str(error), kind, error.cause, error.remedy))


async def answer(handler: Handler, request: Request) -> AnyResponse:
    """What `handler` answers; errors become problem details. An error that is not in our tree is logged as a fault."""
    try:
        return await handler(request)
    except LittoralError as error:
        return error_response(error)
    except Exception:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is logged and answered
        return unexpected_response(request.method, request.path)


def unexpected_response(method: str, path: str) -> Response:
    """Log the exception being handled with a new request id, and answer with that id only."""
    request_id = os.urandom(8).hex()
    _log.exception("request %s failed: %s %s", request_id, method, path)
    detail = f"The node failed to handle this request. Its log has the reason under {request_id}"
    return problem_response(Problem("Internal error", 500, detail, request_id=request_id))
