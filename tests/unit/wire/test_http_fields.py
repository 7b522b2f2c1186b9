"""What of an answer an HTTP connection cannot carry."""

import pytest

from littoral.core.http import Headers
from littoral.wire.http_fields import flaw_of


@pytest.mark.parametrize("status", [200, 204, 304, 599])
@pytest.mark.parametrize(
    "headers", [(), (("x-!#$%&'*+.^_`|~", ""),), (("X", "a\tb ~"),), (("x", "\u00e9\u00ff"),), (("x", "1"), ("x", "2"))]
)
def test_what_can_be_sent(status: int, headers: Headers):
    assert flaw_of(status, headers) == ""


@pytest.mark.parametrize("status", [-1, 0, 100, 199, 600])
def test_a_status_that_is_none(status: int):
    assert flaw_of(status, ()) == f"{status} is the status of no answer"


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "a\r\n", "\u00e9", "a\0"])
def test_a_name_that_is_none(name: str):
    assert flaw_of(200, (("x", "1"), (name, "1"))) == f"{name!r} is no name of a header field"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nb: c", "\0", "\x7f", "\x1b", "\x85\u0100", "\u20ac"])
def test_a_value_that_is_none(value: str):
    assert flaw_of(200, (("x", value),)) == "the header field x holds a character that none may hold"
