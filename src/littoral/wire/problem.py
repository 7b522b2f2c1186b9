"""Errors on the wire: problem details (RFC 9457), with the parts of our error tree as extension members."""

import msgspec

from littoral.core import errors
from littoral.core.errors import LittoralError

CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The members of RFC 9457 section 3.1, and extension members (section 3.2)."""

    title: str
    status: int
    detail: str = ""
    instance: str = ""
    """The request's id: the word to look for in the node's log."""
    kind: str = ""
    """Name of the class in `littoral.core.errors`: what a program decides by."""
    operation: str = ""
    subject: str = ""
    cause: str = ""
    remedy: str = ""


def problem_of(error: LittoralError, instance: str = "") -> Problem:
    """What is said of `error`: its words, nothing of the code it came from."""
    return Problem(
        error.title,
        error.status,
        str(error),
        instance,
        type(error).__name__,
        error.operation,
        error.subject,
        error.cause,
        error.remedy,
    )


def error_of(status: int, body: bytes, operation: str, subject: str) -> LittoralError:
    """The error that another node answered with. What is no problem of ours becomes Unavailable with the beginning of
    the body; operation and subject are then the caller's."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        text = body[:200].decode("utf-8", "replace")
        return errors.Unavailable(operation, subject, f"it answered {status}: {text}")
    kind = getattr(errors, problem.kind, None)
    if isinstance(kind, type) and issubclass(kind, LittoralError):
        return kind(problem.operation, problem.subject, problem.cause, problem.remedy)
    return errors.Unavailable(operation, subject, f"it answered {status}: {problem.detail or problem.title}")
