"""Heads that have not come whole, and what is said of those that never will."""

from typing import cast

import pytest

from littoral.core.gateway_limits import GATEWAY_HEAD_BYTES, GATEWAY_TARGET_BYTES
from littoral.core.limits import Limits
from littoral.drivers.web_host import WebBounds, WebHost
from littoral.drivers.web_unfinished_head import UnfinishedHead, without_empty_line
from littoral.wire.request_head import RefusedRequest

LIMITS = {"gateway-target-bytes": 100, "gateway-head-bytes": 1000}


class Listener:
    """As much of one as a head asks."""

    def __init__(self) -> None:
        self.limits = Limits(LIMITS)
        self.bounds = WebBounds.of(self.limits)
        self.reached = self.limits.hit
        self.now_s = 5.0


def head() -> tuple[UnfinishedHead, Listener]:
    listener = Listener()
    return UnfinishedHead(cast("WebHost", listener)), listener


def test_it_is_known_since_when_it_comes() -> None:
    unfinished, listener = head()
    assert not unfinished.since_s
    unfinished.look(b"GET /")
    listener.now_s = 7.0
    unfinished.look(b"GET / HTTP/1.1\r\nHost")
    assert unfinished.since_s == 5.0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 300, 414),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 1000, 431),
        (b"GET / HTTP/1.1\nx", 400),
        (b"GET /\x00", 400),
        (b"\rGET", 400),
    ],
)
def test_what_will_be_none_is_refused_at_once(data: bytes, status: int) -> None:
    unfinished, listener = head()
    with pytest.raises(RefusedRequest) as refused:
        unfinished.look(data)
    assert refused.value.status == status
    assert listener.limits.reached[GATEWAY_TARGET_BYTES.name] == (status == 414)
    assert listener.limits.reached[GATEWAY_HEAD_BYTES.name] == (status == 431)


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n", 414), (b"GET / HTTP/1.1\r\n", 431), (b"nonsense\r\n", 400)],
)
def test_why_one_that_has_come_is_none(line: bytes, status: int) -> None:
    assert head()[0].flaw(line).status == status


def test_one_empty_line_before_a_request_is_skipped() -> None:
    assert without_empty_line(b"\r\nGET") == b"GET"
    assert without_empty_line(b"\r\n") == b""
    for more in (b"\r\n\r\nGET", b"\r\n\r"):
        with pytest.raises(RefusedRequest, match="empty lines"):
            without_empty_line(more)
