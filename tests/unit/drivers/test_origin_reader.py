"""What the reader of responses makes of what its parser finds. Most of it is shown by the connection's tests."""

import pytest

from littoral.core.gateway_limits import ORIGIN_FIELDS
from littoral.core.limits import Limits
from littoral.drivers import origin_reader
from littoral.drivers.origin_parser import BEGIN, END, HEAD
from littoral.drivers.origin_reader import ResponseReader
from littoral.drivers.origin_response import OriginResponse


class Source:
    """Where nothing comes from."""

    def read_on(self):
        pass

    def close(self):
        pass


def reading(method="GET", **limits):
    """A reader, and the response it reads."""
    return ResponseReader(Limits(limits)), OriginResponse(Source(), method)


def test_a_response_that_comes_at_once_leaves_nothing_behind():
    reader, response = reading()
    for body in (b"ok", b"", b"x" * 1000):
        framing = reader.read(response, b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        assert framing is not None
        assert (framing.length, response.whole, reader.has_begun, reader._events) == (len(body), body, False, [])


def test_a_head_that_came_before_is_known_and_is_not_mistaken_for_the_head_of_another_body():
    head = b"HTTP/1.1 200 OK\r\nx-known: %d\r\ncontent-length: 2\r\n\r\n"
    reader, response = reading()
    for _ in range(2):
        framing = reader.read(response, head % 1 + b"ok")
        assert framing is not None
        assert (response.status, response.whole, dict(response.fields)["x-known"]) == (200, b"ok", "1")
    assert head % 1 in origin_reader._known
    # More than it announces, less than it announces, in two reads: as ever.
    assert reader.read(response, head % 1 + b"okHTTP/1.1 200 OK\r\n") is None
    assert reader.has_excess
    reader, response = reading()
    assert reader.read(response, head % 1 + b"o") is None
    assert reader.read(response, b"k") is None
    assert (reader.is_complete, reader.take_body()) == (True, b"ok")
    reader, response = reading("HEAD")
    assert reader.read(response, head % 1) is None
    assert reader.is_complete


@pytest.mark.parametrize("field", [b"set-cookie: id=1", b"x: " + b"long" * 1000])
def test_what_is_for_one_or_is_long_is_not_known_again(field):
    reader, response = reading()
    data = b"HTTP/1.1 200 OK\r\n" + field + b"\r\ncontent-length: 2\r\n\r\nok"
    assert reader.read(response, data) is not None
    assert data[:-2] not in origin_reader._known


def test_known_heads_are_not_without_bound():
    reader, response = reading()
    for number in range(2 * origin_reader.HEADS_KEPT):
        assert reader.read(response, b"HTTP/1.1 200 OK\r\nn: %d\r\ncontent-length: 0\r\n\r\n" % number) is not None
        assert len(origin_reader._known) <= origin_reader.HEADS_KEPT


def test_one_that_does_not_is_the_same_in_the_end():
    reader, response = reading()
    assert reader.read(response, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n") is None
    assert reader.framing is not None
    assert not reader.is_complete
    assert reader.read(response, b"ok") is None
    assert (reader.is_complete, reader.take_body(), reader.take_body()) == (True, b"ok", b"")


def test_trailers_that_are_too_many_are_counted():
    reader, response = reading(**{ORIGIN_FIELDS.name: 1})
    reader.read(response, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\r\na: b\r\n\r\n")
    assert (reader.take_trailers(), reader.has_excess) == ((), True)
    assert reader._limits.reached[ORIGIN_FIELDS.name] == 1


@pytest.mark.parametrize(
    ("status", "fields", "body"),
    [
        (304, [], [b"hello"]),
        (200, [(b"content-length", b"0")], [b"hello"]),
        (204, [], [b"hello"]),
    ],
)
@pytest.mark.parametrize("is_at_once", [True, False])
def test_should_parser_and_framing_disagree_nobody_knows(status, fields, body, is_at_once):
    """No bytes are known that make them."""
    reader, response = reading()
    events = [BEGIN, *fields, HEAD, *body, *([END] if is_at_once else [])]
    reader._feed = lambda data: (reader._events.extend(events), reader._heads.append((status, "1.1")))
    assert reader.read(response, b"...") is None
    assert "where its response ends" in reader.flaw
