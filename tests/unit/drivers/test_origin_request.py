"""Heads of requests as they are sent."""

import pytest

from littoral.core.errors import InvalidInput
from littoral.drivers.origin_request import request_head
from littoral.gateway.origins.transport import Endpoint, OriginRequest

ORIGIN = Endpoint("http", "origin", 80)


async def pieces():
    yield b"x"


def head(method="GET", target="/a%2Fb?c", fields=(("host", "o"),), body=b"", length=0):
    return request_head(ORIGIN, OriginRequest(method, target, fields, body, length)).decode("latin-1")


def test_nothing_but_the_framing_is_added():
    assert head() == "GET /a%2Fb?c HTTP/1.1\r\nhost: o\r\n\r\n"
    assert head("POST", body=b"abc") == "POST /a%2Fb?c HTTP/1.1\r\nhost: o\r\ncontent-length: 3\r\n\r\n"
    assert head("DELETE", body=b"abc").endswith("content-length: 3\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_methods_that_mean_something_by_a_body_say_that_there_is_none(method):
    assert head(method).endswith("\r\ncontent-length: 0\r\n\r\n")


def test_a_body_in_pieces_is_of_a_length_or_chunked():
    assert head("PUT", body=pieces(), length=7).endswith("\r\ncontent-length: 7\r\n\r\n")
    assert head("PUT", body=pieces(), length=None).endswith("\r\ntransfer-encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    "changed",
    [
        {"target": "/ HTTP/1.1\r\nx: y"},
        {"target": "/a b"},
        {"target": "/\n"},
        {"method": "GET /x"},
        {"method": "GET\r\n"},
        {"fields": (("x", "a\r\ny: b"),)},
        {"fields": (("x", "a\nb"),)},
        {"fields": (("x", "a\rb"),)},
        {"fields": (("x", "a\0b"),)},
        {"fields": (("x\r\ny", "a"),)},
        {"fields": (("content-length", "5"),)},
        {"fields": (("a", "b"), ("transfer-encoding", "chunked"))},
        {"fields": (("x", "€"),)},
    ],
)
def test_what_would_not_be_read_as_one_request_is_not_sent(changed):
    with pytest.raises(InvalidInput):
        head(**changed)
