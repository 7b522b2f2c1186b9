"""Errors on the wire: problem details (RFC 9457), with the parts of our error tree as extension members.

This is the one place where an error becomes a body, and a body an error again. Nothing of the code it came from is in
it: what an operator needs of that is in the node's log, under the request's id.
"""

import re
from collections.abc import Callable

import msgspec

from littoral.core import errors
from littoral.core.errors import LittoralError
from littoral.core.http import AnyResponse, Handler, Headers, Request, Response
from littoral.core.undecodable import UNDECODABLE
from littoral.wire.answers import NO_STORE

Fault = Callable[[str, str, Exception], Response]
"""What is answered to a request, by its method and path, that an exception outside of our tree ended: a fault of ours,
which whoever answers sees to it that somebody hears of."""

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = "1"
"""A part that restarts is back within this."""
RETRY_AFTER_DIGITS = 4
"""What asks to be left alone for longer than a few hours is not taken at its word."""

_CAPITAL = re.compile("[A-Z]")
_RETRYABLE = frozenset({429, 503})


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The members of RFC 9457 section 3.1, and extension members (section 3.2)."""

    title: str
    status: int
    type: str = "about:blank"
    """Names the kind of error: urn:littoral:problem:timed-out."""
    detail: str = ""
    instance: str = ""
    """urn:littoral:request:ID; the node's log has more under the id."""
    kind: str = ""
    """Name of the class in `littoral.core.errors`: what a program of ours decides by."""
    operation: str = ""
    subject: str = ""
    cause: str = ""
    remedy: str = ""


_WORDLESS: dict[int, type[LittoralError]] = {
    kind.status: kind
    for kind in (errors.Unauthenticated, errors.Forbidden, errors.NotFound, errors.MethodNotAllowed, errors.Gone)
}
"""What an answer without a body means: what will be so again, however often it is asked."""


async def answer(handler: Handler, request: Request, fault: Fault) -> AnyResponse:
    """The boundary of a request: what `handler` answers, or the error that it raised."""
    try:
        return await handler(request)
    except LittoralError as error:
        return problem_response(error)
    except Exception as error:  # noqa: BLE001 -- whatever it is, somebody hears of it, and it is answered
        return fault(request.method, request.path, error)


def problem_of(error: LittoralError, request_id: str = "") -> Problem:
    """What is said of `error`."""
    public = next(kind for kind in type(error).__mro__ if kind.__module__ == LittoralError.__module__)
    words = _CAPITAL.sub(lambda match: f"-{match[0].lower()}", public.__name__).removeprefix("-")
    return Problem(
        error.title,
        error.status,
        f"urn:littoral:problem:{words}",
        str(error),
        f"urn:littoral:request:{request_id}" if request_id else "",
        public.__name__,
        error.operation,
        error.subject,
        error.cause,
        error.remedy,
    )


def problem_response(error: LittoralError, request_id: str = "", headers: Headers = ()) -> Response:
    """`error` as a response. `headers` are sent too."""
    fields = [("content-type", CONTENT_TYPE), NO_STORE, *headers]
    if request_id:
        fields.append(("x-request-id", request_id))
    if error.status in _RETRYABLE:
        fields.append(("retry-after", RETRY_AFTER_S))
    return Response(error.status, fields, msgspec.json.encode(problem_of(error, request_id)))


def fault_response(method: str, path: str, remedy: str, request_id: str = "") -> Response:
    """What is said of a fault of ours: nothing but where to look."""
    return problem_response(LittoralError("handle", f"{method} {path[:120]}", "the node failed to", remedy), request_id)


def error_of(status: int, body: bytes, operation: str, subject: str, headers: Headers = ()) -> LittoralError:
    """The error that another node answered with. What is no problem of ours becomes Unavailable with the beginning of
    the body; operation and subject are then the caller's. An answer to HEAD has no body: what it says is its status.
    headers: of the answer."""
    error = _read(status, body, operation, subject)
    if isinstance(error, errors.Unavailable):
        error.retry_after_s = _retry_after_s(headers)
    return error


def _read(status: int, body: bytes, operation: str, subject: str) -> LittoralError:
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except UNDECODABLE:
        if not body:
            return _WORDLESS.get(status, errors.Unavailable)(operation, subject, f"it answered {status}")
        text = body[:200].decode("utf-8", "replace")
        return errors.Unavailable(operation, subject, f"it answered {status}: {text}")
    kind = getattr(errors, problem.kind, None)
    if isinstance(kind, type) and issubclass(kind, LittoralError):
        return kind(problem.operation, problem.subject, problem.cause, problem.remedy)
    return errors.Unavailable(operation, subject, f"it answered {status}: {problem.detail or problem.title}")


def _retry_after_s(headers: Headers) -> float:
    """RFC 9110, section 10.2.3; of its two forms the number of seconds, which is the one that nodes send."""
    text = next((value for name, value in headers if name.lower() == "retry-after"), "")
    return float(text) if text.isdecimal() and len(text) <= RETRY_AFTER_DIGITS else 0.0
