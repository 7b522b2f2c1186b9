import pytest

from littoral.core.errors import LittoralError, NotFound, Unavailable
from littoral.gateway.origins.transport import OriginFailed, Stage
from littoral.gateway.proxy_status import has_reached_origin, proxy_status


def failed(stage: Stage, *, timed_out: bool = False) -> OriginFailed:
    error = OriginFailed("ask", "origin", "it failed")
    error.stage, error.timed_out = stage, timed_out
    return error


@pytest.mark.parametrize(
    ("error", "kind", "was_reached"),
    [
        (failed("connect"), "destination_unavailable", False),
        (failed("connect", timed_out=True), "connection_timeout", False),
        (failed("head", timed_out=True), "http_response_timeout", True),
        (failed("head"), "http_response_incomplete", True),
        (failed("send"), "http_response_incomplete", True),
        (Unavailable("reach", "pool", "all are ill"), "destination_unavailable", False),
        (NotFound("x", "y", "z"), "proxy_internal_error", False),
    ],
)
def test_an_error_says_whose_it_is(error: LittoralError, kind: str, was_reached: bool) -> None:
    value = proxy_status("littoral-edge", error)
    assert value == f"littoral-edge; error={kind}"
    assert has_reached_origin([("proxy-status", value)]) is was_reached
    assert has_reached_origin([("proxy-status", f'{value}; details="x"')]) is was_reached


def test_what_says_nothing_of_the_kind_was_not_reached() -> None:
    assert not has_reached_origin([("x-error", "error=http_response_timeout"), ("proxy-status", "other")])
