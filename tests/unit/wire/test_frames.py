import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.frames import HEADER_BYTES, FrameReader, FrameTooLarge, frame


def test_a_frame_is_its_length_and_its_body():
    assert frame(b"hello") == b"\x00\x00\x00\x05hello"


def test_frames_that_arrive_together_come_out_one_by_one():
    reader = FrameReader(max_bytes=100)
    assert list(reader.feed(frame(b"one") + frame(b"two"))) == [b"one", b"two"]


def test_a_frame_that_arrives_in_parts_comes_out_when_it_is_whole():
    reader = FrameReader(max_bytes=100)
    sent = frame(b"hello")
    assert list(reader.feed(sent[:2])) == []
    assert list(reader.feed(sent[2:6])) == []
    assert list(reader.feed(sent[6:] + frame(b"next")[:5])) == [b"hello"]
    assert list(reader.feed(frame(b"next")[5:])) == [b"next"]


def test_an_empty_body_is_a_frame():
    assert list(FrameReader(max_bytes=1).feed(frame(b"") + frame(b"x"))) == [b"", b"x"]


def test_a_body_at_the_limit_passes():
    assert list(FrameReader(max_bytes=4).feed(frame(b"four"))) == [b"four"]


def test_a_body_over_the_limit_is_refused_on_its_announcement():
    reader = FrameReader(max_bytes=4)
    announced = frame(b"fives")[:HEADER_BYTES]
    with pytest.raises(FrameTooLarge, match="5 bytes announced, at most 4 allowed"):
        list(reader.feed(announced))


def test_frames_before_the_refused_one_are_delivered():
    frames = FrameReader(max_bytes=4).feed(frame(b"good") + b"\xff\xff\xff\xff")
    assert next(frames) == b"good"
    with pytest.raises(FrameTooLarge, match="4294967295"):
        next(frames)


@given(st.lists(st.binary(max_size=40), max_size=12), st.data())
def test_no_way_of_cutting_the_bytes_changes_the_frames(bodies: list[bytes], data: st.DataObject):
    sent = b"".join(map(frame, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=10)))
    reader = FrameReader(max_bytes=40)
    received: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        received += reader.feed(sent[start:end])
    assert received == bodies
