"""Where a response ends."""

import pytest

from littoral.drivers.origin_framing import BadFraming, Framing, framing_of


def judged(*fields, method="GET", status=200, version="1.1"):
    return framing_of(method, status, version, fields)


def test_a_length_frames_a_body():
    assert judged(("content-length", "5")) == Framing(5, True, False, True, None)
    assert judged(("content-length", "0")) == Framing(0, False, False, True, None)
    assert judged(("content-length", "9" * 18)).length == 10**18 - 1


def test_chunks_frame_a_body():
    assert judged(("transfer-encoding", "Chunked")) == Framing(None, True, False, True, None)


def test_without_either_the_body_ends_with_the_connection():
    assert judged() == Framing(None, True, True, False, None)


@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", 200), ("GET", 304), ("GET", 204)],
)
def test_there_are_responses_without_a_body_whatever_they_say(method, status):
    assert not judged(method=method, status=status).has_body
    assert judged(method=method, status=status).keep


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_of_a_body_that_is_not_sent_the_length_is_known(method, status):
    assert judged(("content-length", "5"), method=method, status=status) == Framing(5, False, False, True, None)


@pytest.mark.parametrize(
    "fields",
    [
        [("content-length", "5"), ("transfer-encoding", "chunked")],
        [("content-length", "5"), ("content-length", "6")],
        [("content-length", "5"), ("content-length", "5")],
        [("content-length", "5, 5")],
        [("content-length", "+5")],
        [("content-length", "-5")],
        [("content-length", "0x5")],
        [("content-length", "5 ")],
        [("content-length", "")],
        [("content-length", "²")],
        [("content-length", "9" * 19)],
        [("transfer-encoding", "gzip")],
        [("transfer-encoding", "gzip, chunked")],
        [("transfer-encoding", "chunked, chunked")],
        [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        [("transfer-encoding", "chunked"), ("transfer-encoding", "identity")],
        [("transfer-encoding", "xchunked")],
        [("transfer-encoding", "\x0bchunked")],
        [("transfer-encoding", "")],
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(fields):
    with pytest.raises(BadFraming):
        judged(*fields)


def test_http_1_0_knows_no_chunks():
    with pytest.raises(BadFraming, match=r"HTTP/1\.0"):
        judged(("transfer-encoding", "chunked"), version="1.0")


@pytest.mark.parametrize("field", [("content-length", "5"), ("transfer-encoding", "chunked")])
def test_no_content_does_not_announce_some(field):
    with pytest.raises(BadFraming, match="204"):
        judged(field, status=204)
    assert judged(("content-length", "0"), status=204).keep


@pytest.mark.parametrize(
    ("version", "options", "keep"),
    [
        ("1.1", [], True),
        ("1.1", ["keep-alive"], True),
        ("1.1", ["close"], False),
        ("1.1", ["Close"], False),
        ("1.1", ["keep-alive, close"], False),
        ("1.1", ["keep-alive", "close"], False),
        ("1.1", ["close", "keep-alive"], False),
        ("1.1", ["x-hop"], True),
        ("1.0", ["x-hop"], False),
        ("1.0", [], False),
        ("1.0", ["keep-alive"], True),
        ("1.0", ["Keep-Alive"], True),
        ("1.0", ["keep-alive, close"], False),
    ],
)
def test_a_connection_goes_on_if_both_sides_know_it(version, options, keep):
    fields = [("content-length", "0"), *(("connection", each) for each in options)]
    assert judged(*fields, version=version).keep is keep


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("timeout=5", 5), ("timeout=5, max=100", 5), ("max=3, Timeout=7", 7), ("timeout=x", None), ("5", None)],
)
def test_for_how_long_it_waits_is_what_it_says(value, seconds):
    assert judged(("content-length", "0"), ("keep-alive", value)).keep_s == seconds
