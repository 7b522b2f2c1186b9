"""Heads of requests: what is read, and that whoever reads them otherwise reads the same."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire import request_head
from littoral.wire.request_head import (
    REQUEST_LINE,
    RefusedRequest,
    TooManyFields,
    flaw_in_part,
    read_authority,
    read_fields,
    read_target,
)


def test_fields_keep_their_order_and_lose_their_case():
    section = read_fields(b"Host: h\r\nX-A:one\r\nx-a: \t two \t\r\nEmpty:\r\nX-A:one\r\n", 5)
    expected = [("host", "h"), ("x-a", "one"), ("x-a", "two"), ("empty", ""), ("x-a", "one")]
    assert section.fields == tuple(expected)
    assert (section.host, section.body_length, section.chunked, section.close) == ("h", None, False, False)
    with pytest.raises(TooManyFields):
        read_fields(b"a: b\r\n" * 6, 5)


def test_what_is_secret_or_long_is_not_kept_and_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_head, "_FIELDS_KEPT", 10)
    read_fields(b"".join(b"X-Kept: %d\r\n" % number for number in range(25)), 100)
    read_fields(b"Cookie: a\r\nAuthorization: b\r\nX-Long: %b\r\n" % (b"x" * 300), 100)
    assert 0 < len(request_head._fields) <= 10
    assert all(line.startswith("X-Kept") for line in request_head._fields)


@pytest.mark.parametrize(
    ("value", "close", "keep_alive"),
    [("close", True, False), ("Keep-Alive", False, True), ("a ,\tCLOSE", True, False), ("closed", False, False)],
)
def test_what_is_said_of_the_connection_is_read(value: str, *, close: bool, keep_alive: bool):
    section = read_fields(f"Connection: {value}\r\n".encode(), 5)
    assert (section.close, section.keep_alive) == (close, keep_alive)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("H.Example", "h.example"),
        ("h:80", "h:80"),
        ("h:", "h"),
        ("[::1]:80", "[::1]:80"),
        ("a@h", None),
        ("h:x", None),
        ("h:65536", None),
        ("[::1", None),
        ("h%00", None),
        ("h\\x", None),
        ("", None),
    ],
)
def test_a_host_is_a_name_or_an_address_and_perhaps_a_port(text: str, read: str | None):
    if read is None:
        with pytest.raises(RefusedRequest):
            read_authority(text)
    else:
        assert read_authority(text) == read


@pytest.mark.parametrize(
    ("method", "target", "path"),
    [
        ("GET", "http://h", "/"),
        ("OPTIONS", "http://h", "*"),
        ("OPTIONS", "http://h/", "/"),
        ("GET", "HTTP://H/a?b", "/a?b"),
        ("GET", "http://h?b", "/?b"),
        ("GET", "http://h//x", "//x"),
    ],
)
def test_of_a_url_path_and_host_are_left(method: str, target: str, path: str):
    section = read_fields(b"X: y\r\nHost: other\r\n", 5)
    assert read_target(method, target, "http", section) == (path, "h", (("host", "h"), ("x", "y")))


@pytest.mark.parametrize(
    ("part", "is_flawed"),
    [
        (b"GET / HTTP/1.1\r", False),
        (b"GET / HTTP/1.1\r\nX: y", False),
        (b"a\nb", True),
        (b"a\rb", True),
        (b"a\x00", True),
    ],
)
def test_a_part_is_seen_to_be_none_wherever_it_was_cut(part: bytes, *, is_flawed: bool):
    for cut in range(len(part) + 1):
        assert (flaw_in_part(part[:cut], 0) or flaw_in_part(part, cut)) is is_flawed


class Other:
    """How httptools, which is llhttp of Node.js, reads a head."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[str, str]] = []
        self.is_whole = False

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.is_whole = True


NAMES = st.sampled_from(["Host", "Content-Length", "Transfer-Encoding", "Connection", "X-A", "Expect", "x_b", "X ", ""])
VALUES = st.one_of(
    st.sampled_from(["h", "5", "chunked", "close", "5, 5", "gzip, chunked", "\tx \t", "a\rb", "a\n b"]),
    st.text(st.characters(max_codepoint=255), max_size=6),
)
LINES = st.builds("{}: {}\r\n".format, NAMES, VALUES)
METHODS = st.sampled_from(["GET", "POST", "M-SEARCH", "PURGE"])
TARGETS = st.one_of(st.sampled_from(["/", "*", "http://h/x"]), st.text(st.characters(max_codepoint=255), max_size=5))


@given(METHODS, TARGETS, st.lists(LINES, max_size=5))
def test_what_is_taken_is_read_the_same_by_another_reader(method: str, target: str, lines: list[str]):
    data = f"{method} /{target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1")
    match = REQUEST_LINE.match(data)
    if match is None:
        return
    end = data.index(b"\r\n\r\n")
    try:
        section = read_fields(data[match.end() : end + 2], 10)
    except RefusedRequest:
        return
    other = Other()
    parser = httptools.HttpRequestParser(other)
    parser.feed_data(data[: end + 4])
    assert other.is_whole
    assert other.target == match[2]
    # It leaves the white space behind a value.
    assert [(name, value.strip(" \t")) for name, value in other.fields] == list(section.fields)
