import json

from littoral.core.errors import NotFound, Unavailable
from littoral.gateway.problems import problem_response


class _Private(NotFound):
    pass


def test_an_error_becomes_problem_details() -> None:
    status, headers, body = problem_response(Unavailable("call app", "shop", "it restarts", "Try again"), "r-1")
    assert status == 503
    assert dict(headers) == {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        "x-request-id": "r-1",
        "retry-after": "1",
    }
    assert json.loads(body) == {
        "type": "urn:littoral:problem:unavailable",
        "title": "Unavailable",
        "status": 503,
        "detail": "cannot call app shop: it restarts. Try again",
        "instance": "urn:littoral:request:r-1",
    }


def test_the_type_names_a_class_of_the_error_tree() -> None:
    _, _, body = problem_response(_Private("find", "x", "it is not there"), "r-1")
    assert json.loads(body)["type"] == "urn:littoral:problem:not-found"
