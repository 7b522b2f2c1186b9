"""A body in chunks (RFC 9112, section 7.1), taken apart as it comes, and refused where it is not as the RFC writes it."""

import re

LINE_BYTES = 512
"""Of a chunk's size with its extensions."""
EXTENSION_BYTES = 16 * 1024
"""Of all extensions of a body: nobody uses them, and each may be longer than its chunk."""
TRAILER_BYTES = 8 * 1024

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;%b(?:=(?:%b|%b))?)*)" % (_TOKEN, _TOKEN, _QUOTED))
_TRAILER = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % _TOKEN)


class BrokenChunks(Exception):
    """What was sent is no chunked body; where the next request begins is not known."""


class ChunkedBody:
    """One body."""

    __slots__ = ("_extension_bytes", "_in_trailers", "_left", "_part", "_trailer_bytes", "_wants_end")

    def __init__(self) -> None:
        self._part = b""
        """Of a line that has not come whole."""
        self._left = 0
        """Bytes of the chunk still to come."""
        self._wants_end = False
        """Whether the line's end behind a chunk's data is due."""
        self._in_trailers = False
        self._extension_bytes = 0
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What of the body `data` brings, and, once the body has ended, what follows it. Raises BrokenChunks."""
        pieces: list[bytes] = []
        if self._part:
            data, self._part = self._part + data, b""
        at = 0
        while True:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._wants_end = True
                if self._left:
                    return b"".join(pieces), None
            end = self._line_end(data, at)
            if end < 0:
                self._part = data[at:]
                return b"".join(pieces), None
            line, at = data[at:end], end + 2
            if self._wants_end:
                self._wants_end = False
            elif not self._in_trailers:
                self._begin_chunk(line)
            elif line:
                self._check_trailer(line)
            else:
                return b"".join(pieces), data[at:]

    def _line_end(self, data: bytes, at: int) -> int:
        """Where the line at `at` ends; -1 if it has not come whole."""
        if self._wants_end:
            came = data[at : at + 2]
            if came == b"\r\n":
                return at
            if came not in {b"", b"\r"}:
                raise BrokenChunks("a chunk is longer than its size")
            return -1
        end = data.find(b"\r\n", at)
        most = TRAILER_BYTES if self._in_trailers else LINE_BYTES
        if (len(data) if end < 0 else end) - at > most:
            raise BrokenChunks("a line between chunks is too long")
        if end < 0 and data.find(b"\n", at) >= 0:
            raise BrokenChunks("a line ends in a bare line feed")
        return end

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise BrokenChunks("the size of a chunk is no number")
        self._extension_bytes += len(match[2])
        if self._extension_bytes > EXTENSION_BYTES:
            raise BrokenChunks("the extensions of its chunks are too long")
        self._left = int(match[1], 16)
        self._in_trailers = not self._left

    def _check_trailer(self, line: bytes) -> None:
        """Trailers are dropped: nothing that was decided by the head is changed behind the body."""
        self._trailer_bytes += len(line) + 2
        if self._trailer_bytes > TRAILER_BYTES or not _TRAILER.fullmatch(line):
            raise BrokenChunks("a line behind the last chunk is no field, or they are too long")
