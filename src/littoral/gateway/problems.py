"""Errors as HTTP responses: problem details (RFC 9457). What a client sees of an error is here, and no stack trace."""

import re

import msgspec

from littoral.core.errors import LittoralError

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = "1"
"""A worker restarts within this, unless its app does not start at all."""

_CAPITAL = re.compile("[A-Z]")
_RETRYABLE = frozenset({429, 503})
_encode = msgspec.json.Encoder().encode


class Problem(msgspec.Struct, frozen=True):
    """The members of RFC 9457, section 3.1."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    """The request's id; the node's log has more under it."""


def problem_type(error: LittoralError) -> str:
    """The URI that names a kind of error: urn:littoral:problem:timed-out."""
    public = next(kind for kind in type(error).__mro__ if kind.__module__ == LittoralError.__module__)
    words = _CAPITAL.sub(lambda match: f"-{match[0].lower()}", public.__name__)
    return "urn:littoral:problem:" + words.removeprefix("-")


def problem_response(error: LittoralError, request_id: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body for `error`."""
    problem = Problem(problem_type(error), error.title, error.status, str(error), f"urn:littoral:request:{request_id}")
    headers = [("content-type", CONTENT_TYPE), ("cache-control", "no-store"), ("x-request-id", request_id)]
    if error.status in _RETRYABLE:
        headers.append(("retry-after", RETRY_AFTER_S))
    return error.status, headers, _encode(problem)
