"""Frames of bodies that do not travel whole: bytes, beside the msgpack of `messages`, over the same connection.

1 byte     what it is; below 0x80, which no message's first byte is
8 bytes    the id of the Call, big-endian
the rest   as it says below

both ways            PIECE, END    of the body that goes this way; an END of the worker's says what it took, as BROKEN does
                     ROOM          so many more bytes (8, big-endian) may come of the body that goes the other way
gateway -> worker    GONE          the client has gone: nothing more comes of its body, and nobody reads the answer
worker -> gateway    BROKEN        the body of the answer ends before its end: 8 bytes say how many microseconds of CPU time the
                                   request took, and the rest says why, as an AnswerError
"""

import struct

PIECE, END, ROOM, GONE, BROKEN = 1, 2, 3, 4, 5
MESSAGE_BYTE = 0x80
"""The first byte of a frame is below this in these, and not below in messages, which are arrays."""

_HEAD = struct.Struct(">BQ")
_COUNT = struct.Struct(">Q")


def piece_head(kind: int, number: int) -> bytes:
    """What stands before the rest."""
    return _HEAD.pack(kind, number)


def room_frame(number: int, count: int) -> bytes:
    """There is room for so many more bytes."""
    return _HEAD.pack(ROOM, number) + _COUNT.pack(count)


def end_of_answer(cpu_us: int, why: str = "") -> bytes:
    """The rest of an END or BROKEN of the worker's."""
    return _COUNT.pack(cpu_us) + why.encode()


def read_end_of_answer(rest: bytes) -> tuple[int, bytes]:
    """The CPU time in microseconds, and why. Raises ValueError."""
    if len(rest) < _COUNT.size:
        raise ValueError("the end of an answer that does not say what it took")
    (cpu_us,) = _COUNT.unpack_from(rest)
    return int(cpu_us), rest[_COUNT.size :]


def read_piece(body: bytes) -> tuple[int, int, bytes]:
    """Kind, id and the rest. Raises ValueError for what is too short."""
    if len(body) < _HEAD.size:
        raise ValueError("a frame of a body without its head")
    kind, number = _HEAD.unpack_from(body)
    return kind, number, body[_HEAD.size :]


def read_room(rest: bytes) -> int:
    """How many bytes. Raises ValueError."""
    if len(rest) != _COUNT.size:
        raise ValueError("room for no number of bytes")
    (count,) = _COUNT.unpack(rest)
    return int(count)
