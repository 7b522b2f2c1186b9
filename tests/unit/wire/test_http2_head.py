"""Heads in HTTP/2: what they mean in HTTP/1, and what they must not hold. Its refusals are in the tests of the connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.http2_head import read_http2_head
from littoral.wire.request_head import REQUEST_LINE, RefusedRequest, read_fields

ASKED = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"H:8"), (b":path", b"/a?b")]


def test_a_head_means_what_it_would_in_http_1():
    fields = [(b"host", b"h:8"), (b"x-a", b"b\xe4"), (b"te", b"trailers"), (b"content-length", b"3")]
    head = read_http2_head([*ASKED, *fields], "https", 10, 100)
    assert (head.method, head.target, head.host, head.body_length, head.protocol) == ("GET", "/a?b", "h:8", 3, "")
    assert head.fields == (("host", "h:8"), ("x-a", "bä"), ("te", "trailers"), ("content-length", "3"))


def test_the_host_may_be_said_as_in_http_1():
    head = read_http2_head([*ASKED[:2], ASKED[3], (b"host", b"h")], "https", 10, 100)
    assert (head.host, head.fields) == ("h", (("host", "h"),))


def test_an_extended_connect_asks_for_a_protocol():
    lines = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *ASKED[1:]]
    head = read_http2_head(lines, "https", 10, 100)
    assert (head.method, head.protocol, head.target) == ("CONNECT", "websocket", "/a?b")


PSEUDO = st.sampled_from([*ASKED, (b":path", b"/"), (b":path", b"/ HTTP/1.1"), (b":method", b"PO ST"), (b":x", b"")])
FIELDS = st.tuples(
    st.one_of(st.sampled_from([b"x-a", b"host", b"content-length", b"connection", b"X"]), st.binary(max_size=4)),
    st.one_of(st.sampled_from([b"h", b"3", b"a\r\nb: c", b" a", b"close"]), st.binary(max_size=6)),
)


@given(st.lists(PSEUDO, max_size=5), st.lists(FIELDS, max_size=4))
def test_what_is_taken_can_be_written_in_http_1_and_means_the_same(
    pseudo: list[tuple[bytes, bytes]], fields: list[tuple[bytes, bytes]]
):
    try:
        head = read_http2_head([*pseudo, *fields], "https", 10, 100)
    except RefusedRequest:
        return
    line = f"{head.method} {head.target} HTTP/1.1\r\n".encode()
    match = REQUEST_LINE.fullmatch(line)
    assert match is not None
    block = "".join(f"{name}: {value}\r\n" for name, value in head.fields).encode("latin-1")
    expectations = {"expect", "content-length", "transfer-encoding"}
    if not expectations & {name for name, _ in head.fields}:
        section = read_fields(block, 20)
        assert (section.fields, section.host) == (head.fields, head.host)


@pytest.mark.parametrize("count", [3, 20])
def test_fields_are_counted_before_they_are_looked_at(count: int):
    with pytest.raises(RefusedRequest) as refused:
        read_http2_head([(b"", b"")] * count, "https", 10, 100)
    assert refused.value.status == (431 if count == 20 else 400)
