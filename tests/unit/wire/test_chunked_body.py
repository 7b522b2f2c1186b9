"""Bodies in chunks: what they bring, however they are cut, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.chunked_body import EXTENSION_BYTES, TRAILER_BYTES, BrokenChunks, ChunkedBody

BODIES = st.lists(st.binary(min_size=1, max_size=30), max_size=6)


def encoded(pieces: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    chunks = [b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join([*chunks, b"0\r\n", trailers, b"\r\n"])


def fed(parts: list[bytes]) -> tuple[bytes, bytes | None]:
    body, came, rest = ChunkedBody(), b"", None
    for part in parts:
        if rest is not None:
            rest += part
            continue
        piece, rest = body.feed(part)
        came += piece
    return came, rest


@given(BODIES, st.sampled_from([b"", b";a", b';a=b;c="d;\\"e"']), st.sampled_from([b"", b"A: b\r\nC:\r\n"]), st.data())
def test_a_body_is_the_same_however_it_is_cut(
    pieces: list[bytes], extension: bytes, trailers: bytes, data: st.DataObject
):
    wire = encoded(pieces, extension, trailers) + b"NEXT"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    parts = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert fed(parts) == (b"".join(pieces), b"NEXT")


@pytest.mark.parametrize(
    "wire",
    [
        b"g\r\n",
        b"\r\n",
        b"1\r\nab",
        b"1\n",
        b"1 \r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1" * 16 + b"\r\n",
        b"1;=a\r\n",
        b"1\r\na\n",
    ],
)
def test_what_is_no_chunk_is_refused_as_soon_as_it_is_seen(wire: bytes):
    with pytest.raises(BrokenChunks):
        ChunkedBody().feed(wire)
    with pytest.raises(BrokenChunks):
        fed([bytes([byte]) for byte in wire])


@pytest.mark.parametrize(
    "wire",
    [
        b"1" + b"0" * 600,
        encoded([b"x"] * (EXTENSION_BYTES // 100 + 1), b";" + b"a" * 100),
        b"0\r\n" + b"A: b\r\n" * (TRAILER_BYTES // 6 + 1),
        b"0\r\n" + b"A" * (TRAILER_BYTES + 1),
    ],
)
def test_what_is_no_body_is_bounded(wire: bytes):
    with pytest.raises(BrokenChunks):
        ChunkedBody().feed(wire)


@given(st.lists(st.one_of(st.binary(max_size=8), st.sampled_from([b"1\r\n", b"\r\n", b"0\r\n", b"a: b\r\n", b"x"]))))
def test_no_bytes_raise_anything_else(parts: list[bytes]):
    body = ChunkedBody()
    try:
        for part in parts:
            if body.feed(part)[1] is not None:
                return
    except BrokenChunks:
        pass
