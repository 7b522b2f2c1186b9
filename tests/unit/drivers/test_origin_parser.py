"""What the parser of responses finds."""

import httptools
import pytest

from littoral.drivers import origin_parser
from littoral.drivers.origin_parser import BEGIN, END, HEAD, KNOWN_FIELDS, Event, Head, read_fields, response_parser

LATE = [
    b"5\nhello\n0\n\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5\rXhello\r\n0\r\n\r\n",
    b"0\r\nx : y\r\n\r\n",
    b"0\r\nx: y\r\n z\r\n\r\n",
    b"0\r\ncontent-length: 5\r\n\r\n",
]
"""Chunks that somebody could read in another way."""
HEADS = [
    b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n x: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: a\x01b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: a\nb: c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx\x80: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: y\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.2 200 OK\r\n\r\n",
    b"http/1.1 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"<html>",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n",
]
"""Heads that somebody could read in another way, or that are none."""


def found(*pieces):
    events: list[Event] = []
    heads: list[Head] = []
    parser = response_parser(events, heads)
    for piece in pieces:
        parser.feed_data(piece)
    return events, heads


def test_a_message_is_a_list_of_events():
    events, heads = found(
        b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-enco", b"ding: chunked\r\n\r\n2\r\nab\r\n",
        b"0\r\nx: y\r\n\r\nH",
    )  # fmt: skip
    assert heads == [(103, "1.1"), (200, "1.1")]
    assert events == [
        BEGIN, (b"link", b"a"), HEAD, END,
        BEGIN, (b"transfer-encoding", b"chunked"), HEAD, b"ab", (b"x", b"y"), END, BEGIN,
    ]  # fmt: skip


def test_the_rest_after_a_switch_is_left():
    with pytest.raises(httptools.HttpParserUpgrade) as upgrade:
        found(b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nrest")
    assert upgrade.value.args[0] == len(b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")


@pytest.mark.parametrize("head", HEADS)
def test_the_parser_is_strict_about_heads(head):
    with pytest.raises(httptools.HttpParserError):
        found(head)


@pytest.mark.parametrize("chunks", LATE)
def test_the_parser_is_strict_about_chunks(chunks):
    with pytest.raises(httptools.HttpParserError):
        found(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunks)


def test_fields_are_text_with_names_in_lower_case():
    assert read_fields([(b"X-Name", b"caf\xe9 \t"), (b"a", b""), (b"a", b"1"), (b"a", b"\xa0")]) == [
        ("x-name", "café"), ("a", ""), ("a", "1"), ("a", "\xa0"),
    ]  # fmt: skip


def test_what_is_remembered_of_fields_is_bounded():
    read_fields([(b"n%d" % number, b"v") for number in range(3 * KNOWN_FIELDS)])
    read_fields([(b"n", b"v" * 1000)])
    assert len(origin_parser._known) <= KNOWN_FIELDS
    assert (b"n", b"v" * 1000) not in origin_parser._known
