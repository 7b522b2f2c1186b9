"""Errors as bodies, and back."""

import json

import pytest

from littoral.core import errors
from littoral.core.errors import Conflict, LittoralError, NotFound, Unavailable
from littoral.wire.problem import error_of, problem_response


class _Private(NotFound):
    pass


def test_an_error_becomes_problem_details():
    response = problem_response(Unavailable("call app", "shop", "it restarts", "Try again"), "r-1")
    assert response.status == 503
    assert dict(response.headers) == {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        "x-request-id": "r-1",
        "retry-after": "1",
    }
    assert json.loads(response.body) == {
        "type": "urn:littoral:problem:unavailable",
        "title": "Unavailable",
        "status": 503,
        "detail": "cannot call app shop: it restarts. Try again",
        "instance": "urn:littoral:request:r-1",
        "kind": "Unavailable",
        "operation": "call app",
        "subject": "shop",
        "cause": "it restarts",
        "remedy": "Try again",
    }


def test_only_what_may_pass_is_to_be_tried_again():
    headers = dict(problem_response(Conflict("append to", "s", "it is closed")).headers)
    assert "retry-after" not in headers
    assert "x-request-id" not in headers


def test_a_class_outside_the_tree_is_called_by_its_base():
    body = json.loads(problem_response(_Private("find", "x", "it is not there")).body)
    assert (body["type"], body["kind"]) == ("urn:littoral:problem:not-found", "NotFound")


@pytest.mark.parametrize(
    "kind",
    [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LittoralError)],
)
def test_every_error_survives_the_way_to_another_node(kind: type[LittoralError]):
    error = kind("do", "this", "it is so", "Do that")
    response = problem_response(error)
    again = error_of(response.status, response.body, "call", "eu")
    assert type(again) is kind
    assert again.args == error.args


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>Bad gateway", "it answered 502: <html>Bad gateway"),
        (b'{"title": "Oops", "status": 502, "kind": "NoSuchError"}', "it answered 502: Oops"),
        (b'{"title": "Oops", "status": 502, "kind": "ClassVar", "detail": "why"}', "it answered 502: why"),
        (b"\xff" * 1000, "it answered 502: " + "�" * 200),
    ],
)
def test_what_is_no_problem_of_ours_is_said_to_be_unavailable(body: bytes, said: str):
    error = error_of(502, body, "call", "eu")
    assert type(error) is Unavailable
    assert (error.operation, error.subject, error.cause) == ("call", "eu", said)


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (401, errors.Unauthenticated), (502, Unavailable)])
def test_an_answer_without_a_body_is_what_its_status_says(status: int, kind: type[LittoralError]):
    error = error_of(status, b"", "read", "it")
    assert (type(error), error.cause) == (kind, f"it answered {status}")
