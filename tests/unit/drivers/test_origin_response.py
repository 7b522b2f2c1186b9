"""However the bytes of a response are cut into reads, it is the same; and whatever bytes come, there is an answer or OriginFailed."""

import asyncio
import socket
from itertools import pairwise

import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from littoral.core.limits import Limits
from littoral.drivers.origin_connection import OriginConnection
from littoral.gateway.origins.transport import Endpoint, OriginFailed, OriginRequest, OriginTimeouts
from tests.support.origins import read_all

ENDPOINT = Endpoint("http", "origin", 80)


class Wire(asyncio.Transport):
    """What the event loop gives a connection; nothing is behind it."""

    def __init__(self):
        self.ends = socket.socketpair()
        self.is_open = True

    def write(self, data):
        pass

    def abort(self):
        self.is_open = False

    def is_closing(self):
        return not self.is_open

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def get_extra_info(self, name, default=None):
        return self.ends[0] if name == "socket" else None


class Owner:
    """Keeps one connection."""

    limits = Limits()

    def __init__(self):
        self.idle = []

    def made(self, connection):
        return self.idle

    def lost(self, connection):
        pass

    def uploading(self, task):
        pass


def received(reads, method="GET", *, closes=True):
    """What the reads are to who asked: what was heard on the way, and the answer or the failure's stage."""

    async def main():
        heard = []
        wire, owner = Wire(), Owner()
        connection = OriginConnection(ENDPOINT, owner)
        connection.connection_made(wire)
        response = connection.ask(
            b"", OriginRequest(method, "/", ()), OriginTimeouts(), lambda *said: heard.append(said)
        )
        for read in reads:
            if wire.is_open:
                connection.data_received(read)
        if closes and wire.is_open:
            connection.eof_received()
        if not wire.is_open:
            connection.connection_lost(None)
        try:
            await response.head()
            body = await read_all(response)
        except OriginFailed as failure:
            return heard, failure.stage
        finally:
            connection.close()
            for end in wire.ends:
                end.close()
        kept = bool(owner.idle)
        return heard, (response.status, list(response.fields), response.length, body, list(response.trailers), kept)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


TOKEN = st.text("abcXYZ-_1", min_size=1, max_size=8).map(lambda name: f"x-{name}")
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12).map(str)
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=4)
BODY = st.lists(st.binary(min_size=1, max_size=20), max_size=4)


def field_lines(fields):
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")


def as_read(fields):
    return [(name.lower(), value.strip(" \t")) for name, value in fields]


@st.composite
def responses(draw):
    """A valid response: its bytes, and what it is."""
    heard, wire = [], b""
    for _ in range(draw(st.integers(0, 2))):
        fields = draw(FIELDS)
        heard.append((103, as_read(fields)))
        wire += b"HTTP/1.1 103 Early Hints\r\n" + field_lines(fields) + b"\r\n"
    fields, pieces, trailers = draw(FIELDS), draw(BODY), []
    status = draw(st.sampled_from([200, 201, 404, 500, 204, 304]))
    body, length, kept = b"".join(pieces), None, True
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if status in (204, 304):
        framing, pieces, body = "none", [], b""
        end = b""
    elif framing == "length":
        length = len(body)
        fields = [*fields, ("Content-Length", str(length))]
        end = body
    elif framing == "chunked":
        fields = [("transfer-encoding", "chunked"), *fields]
        trailers = draw(FIELDS)
        end = b"".join(b"%X;e=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        end += b"0\r\n" + field_lines(trailers) + b"\r\n"
    else:
        end, kept = body, False
    wire += b"HTTP/1.1 %d Some reason\r\n" % status + field_lines(fields) + b"\r\n" + end
    return wire, (heard, (status, as_read(fields), length, body, as_read(trailers), kept))


def cut(wire, places):
    bounds = [0, *sorted({place % (len(wire) + 1) for place in places} - {0, len(wire)}), len(wire)]
    return [wire[start:end] for start, end in pairwise(bounds) if end > start]


PLACES = st.lists(st.integers(0, 10_000), max_size=8)


@given(responses(), PLACES)
def test_however_a_response_is_cut_it_is_the_same(response, places):
    wire, expected = response
    assert received(cut(wire, places)) == expected


@given(responses())
@settings(max_examples=20)
def test_it_is_the_same_byte_by_byte(response):
    wire, expected = response
    assert received([bytes([byte]) for byte in wire]) == expected


@given(PLACES, st.integers(0, 2), st.booleans())
def test_however_a_response_to_head_is_cut_it_ends_with_its_head(places, interims, has_more):
    wire = b"HTTP/1.1 103 Early\r\na: b\r\n\r\n" * interims + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    reads = cut(wire, places)
    if has_more:
        reads[-1] += b"h"
    heard, answer = received(reads, "HEAD")
    assert heard == [(103, [("a", "b")])] * interims
    assert answer == (200, [("content-length", "5")], 5, b"", [], not has_more)


@given(responses(), PLACES, st.binary(min_size=1, max_size=40))
def test_a_connection_on_which_more_came_is_not_kept(response, places, more):
    wire, (heard, (*answer, _)) = response
    if answer[2] is None and b"chunked" not in wire and answer[0] not in (204, 304):
        return  # The more is part of the body.
    reads = [*cut(wire, places)[:-1], cut(wire, places)[-1] + b"x" + more]
    assert received(reads) == (heard, (*answer, False))


@given(responses(), PLACES, st.integers(0, 10_000))
def test_a_response_that_is_cut_off_is_none(response, places, length):
    wire, expected = response
    short = wire[: length % len(wire)]
    if short.endswith(b"\r\n\r\n") or not expected[1][5]:
        return  # It may have ended there, with the connection.
    assert received(cut(short, places))[1] in ("head", "body")


SHARDS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n", b"HTTP/1.1 101 S\r\n", b"HTTP/1.1 204 N\r\n", b"HTTP/1.0 200 OK\r\n",
        b"content-length: 5\r\n", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n", b"keep-alive: timeout=0\r\n", b"x: y\r\n", b"\r\n", b"\n", b"\r",
        b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b"hello", b" ", b"\0", b"\xff",
    ]
)  # fmt: skip


@given(
    st.lists(st.one_of(SHARDS, st.binary(max_size=30)), max_size=12), st.sampled_from(["GET", "HEAD"]), st.booleans()
)
@settings(max_examples=400)
@example([b"HTTP/1.1 101 S\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"\r\n"], "GET", True)
@example([b"HTTP/1.1 200 OK\r\n\r\n"], "HEAD", True)
def test_whatever_comes_is_an_answer_or_a_failure(shards, method, is_one_read):
    wire = b"".join(shards)
    reads = [wire] if is_one_read else [shard for shard in shards if shard]
    _, result = received([read for read in reads if read], method)
    assert isinstance(result, tuple) or result in ("head", "body")


def test_a_body_is_read_by_one():
    async def main():
        connection = OriginConnection(ENDPOINT, Owner())
        wire = Wire()
        connection.connection_made(wire)
        response = connection.ask(b"", OriginRequest("GET", "/", ()), OriginTimeouts())
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        first = asyncio.ensure_future(response.read())
        await asyncio.sleep(0)
        with pytest.raises(AssertionError):
            await response.read()
        first.cancel()
        await asyncio.sleep(0)
        assert not wire.is_open, "whoever stops reading stops the origin"
        for end in wire.ends:
            end.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
