"""A request's body as it comes: where it ends, what becomes of one that nobody wants, and when it is late."""

import pytest

from littoral.core.gateway_limits import GATEWAY_BODY_RATE, GATEWAY_BODY_S
from littoral.core.limit import Limit
from littoral.core.limits import Limits
from littoral.drivers.web_host import WebBounds
from littoral.drivers.web_request_body import RequestBody
from littoral.wire.chunked_body import BrokenChunks
from littoral.wire.request_head import FieldSection, read_fields

BOUNDS = WebBounds.of(Limits())
BEGAN_S = 100.0
LATE_S = BEGAN_S + BOUNDS.body_s


def section(*lines: str) -> FieldSection:
    return read_fields("".join(f"{line}\r\n" for line in ("host: h", *lines)).encode(), 10)


def body_of(*lines: str, is_1_1: bool = True) -> RequestBody:
    return RequestBody(section(*lines), lambda size: None, BEGAN_S, is_1_1=is_1_1)


@pytest.mark.parametrize(
    ("line", "pieces", "held", "rest"),
    [
        ("content-length: 3", [b"abc"], 3, b""),
        ("content-length: 3", [b"a", b"bcGET"], 3, b"GET"),
        ("content-length: 3", [b"ab"], 2, None),
        ("transfer-encoding: chunked", [b"1\r\na\r\n", b"0\r\n\r\nGET"], 1, b"GET"),
        ("transfer-encoding: chunked", [b"2\r\na"], 1, None),
    ],
)
def test_where_it_ends(line: str, pieces: list[bytes], held: int, rest: bytes | None) -> None:
    body = body_of(line)
    assert body.incoming is not None
    assert [body.take(piece) for piece in pieces][-1] == rest
    assert body.incoming.held == held


def test_chunks_that_are_none_end_nowhere() -> None:
    with pytest.raises(BrokenChunks):
        body_of("transfer-encoding: chunked").take(b"x\r\n")


def test_what_nobody_wants_is_counted_and_dropped() -> None:
    body = body_of("content-length: 5")
    body.take(b"a")
    body.drop(BEGAN_S)
    assert body.take(b"bcdeGET") == b"GET"
    assert (body.incoming, body.unread) == (None, 7)


@pytest.mark.parametrize(
    ("lines", "is_1_1", "waits", "is_worth"),
    [
        (["content-length: 5"], True, False, True),
        ([f"content-length: {BOUNDS.unread_bytes}"], True, False, True),
        ([f"content-length: {BOUNDS.unread_bytes + 1}"], True, False, False),
        (["transfer-encoding: chunked"], True, False, True),
        (["content-length: 5", "expect: 100-continue"], True, True, False),
        (["content-length: 5", "expect: 100-continue"], False, False, True),
    ],
)
def test_whether_its_rest_is_read(lines: list[str], *, is_1_1: bool, waits: bool, is_worth: bool) -> None:
    body = body_of(*lines, is_1_1=is_1_1)
    assert (body.wants_continue, body.is_worth_reading(BOUNDS)) == (waits, is_worth)
    body.take(b"0")
    assert not body.wants_continue, "it has come unasked"


@pytest.mark.parametrize(
    ("came", "now_s", "is_answered", "limit"),
    [
        (0, LATE_S - 1, False, None),
        (0, LATE_S, False, GATEWAY_BODY_S),
        (0, LATE_S, True, GATEWAY_BODY_S),
        (BOUNDS.body_rate * BOUNDS.body_s - 1, LATE_S, False, GATEWAY_BODY_RATE),
        (BOUNDS.body_rate * BOUNDS.body_s - 1, LATE_S, True, None),
        (BOUNDS.body_rate * BOUNDS.body_s, LATE_S, False, None),
    ],
)
def test_when_it_is_late(came: int, now_s: float, *, is_answered: bool, limit: Limit | None) -> None:
    body = body_of("content-length: 1000000")
    assert body.incoming is not None
    body.take(b"x" * came)
    body.incoming.wanted = True
    assert body.lateness(now_s, BOUNDS, is_answered=is_answered) is limit
    if now_s >= LATE_S:
        assert body.lateness(now_s + BOUNDS.body_s - 1, BOUNDS, is_answered=is_answered) is None


def test_one_that_is_not_waited_for_is_never_late() -> None:
    body = body_of("content-length: 5")
    assert body.lateness(LATE_S * 9, BOUNDS, is_answered=False) is None
    assert body.incoming is not None
    body.incoming.wanted = True
    assert body.lateness(LATE_S * 9 + BOUNDS.body_s - 1, BOUNDS, is_answered=False) is None
