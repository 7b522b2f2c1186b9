"""Length-prefixed frames: how the processes of one node talk over Unix sockets.

A frame is a 4-byte big-endian length and that many bytes of msgpack. What the msgpack holds is up to the
two ends; pipelined requests carry an id and may be answered in any order.
"""

from collections.abc import Iterator

HEADER_BYTES = 4


class FrameTooLarge(Exception):
    """The peer announced a frame over the limit; the connection cannot go on."""


def frame(body: bytes) -> bytes:
    """`body` with its length in front."""
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def frame_head(size: int) -> bytes:
    """What stands in front of a body of `size` bytes, for who writes that in parts."""
    return size.to_bytes(HEADER_BYTES, "big")


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self, max_bytes: int) -> None:
        """max_bytes: the longest body accepted."""
        self.max_bytes = max_bytes
        """May be changed: it holds from the next frame on."""
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the bodies that are complete now. Raises FrameTooLarge before any of such a body is buffered."""
        buffer = self._rest + data if self._rest else data
        position, end = 0, len(buffer)
        while end - position >= HEADER_BYTES:
            length = int.from_bytes(buffer[position : position + HEADER_BYTES], "big")
            if length > self.max_bytes:
                raise FrameTooLarge(f"{length} bytes announced, at most {self.max_bytes} allowed")
            following = position + HEADER_BYTES + length
            if following > end:
                break
            yield buffer[position + HEADER_BYTES : following]
            position = following
        self._rest = buffer[position:]
