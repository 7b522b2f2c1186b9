"""What a worker and the node's egress say to each other over run/srv/egress, as frames.

    worker -> egress    its credential, once; then for each request: Ask, and where its body is not in that, pieces and an END
    egress -> worker    ADMITTED or REFUSED, once; then Head, and where its body is not in that, pieces and an END or a FAILED

One connection carries one request at a time. Whoever closes it breaks off what is under way. After a status of 101 the pieces of
both ways are bytes of the other protocol.

The kernel goes on letting workers in while it ends a process: that somebody is there is known once ADMITTED has come.
"""

import asyncio
from typing import Final

import msgspec
from msgspec import Struct

from littoral.wire.frames import HEADER_BYTES, frame

PIECE_BYTES = 64 * 1024
"""Of a body in one frame."""
HEAD_BYTES = 256 * 1024
"""Of a frame beside the body."""
FRAME_BYTES = HEAD_BYTES + PIECE_BYTES

PIECE: Final = 0
END: Final = 1
FAILED: Final = 2
"""The first byte of what is neither Ask nor Head: after it, a piece; nothing; why no more comes."""
ADMITTED: Final = b"\x03"
REFUSED: Final = b"\x04"
"""Whole frames."""


class Ask(Struct, array_like=True, frozen=True, gc=False):
    """One request."""

    url: str
    method: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    """All of it, unless it follows."""
    follows: bool = False
    """Whether it comes in pieces."""
    length: int | None = None
    """Of one that follows, where that is known."""
    web_socket: bool = False
    base: str = ""
    """What `url` is relative to, of a redirect."""
    request_id: str = ""
    """Of the request for whose sake this one is made."""
    number: int = 1
    """How many have been made for it, with this one."""
    waited: bool = False
    """Whether it had to wait for another of them to end."""
    traceparent: str = ""
    tracestate: str = ""
    cdn_loop: str = ""
    """As the request for whose sake this one is made had them."""


class Head(Struct, array_like=True, frozen=True, gc=False):
    """What became of it."""

    status: int = 0
    headers: list[tuple[str, str]] = []
    url: str = ""
    """As it was asked, in canonical form."""
    location: str = ""
    """Where its Location leads to from there; empty for nowhere."""
    body: bytes = b""
    follows: bool = False
    error: str = ""
    """A whole sentence; then there is no response."""


encode = msgspec.msgpack.Encoder().encode
decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_head = msgspec.msgpack.Decoder(Head).decode
decode_credential = msgspec.msgpack.Decoder(str).decode


def piece(data: bytes | memoryview) -> bytes:
    """The content of a frame that carries it."""
    return b"\0" + data


def end() -> bytes:
    """The content of a frame that says that a body is complete."""
    return bytes((END,))


def failed(why: str) -> bytes:
    """The content of a frame that says that no more of a body comes."""
    return bytes((FAILED,)) + why.encode()


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The content of the next frame. Raises asyncio.IncompleteReadError at the end, ValueError for one that is too long, and
    OSError."""
    length = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
    if length > FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes was announced; at most {FRAME_BYTES} are read")
    return await reader.readexactly(length)


__all__ = [
    "ADMITTED",
    "END",
    "FAILED",
    "FRAME_BYTES",
    "HEAD_BYTES",
    "PIECE",
    "PIECE_BYTES",
    "REFUSED",
    "Ask",
    "Head",
    "decode_ask",
    "decode_credential",
    "decode_head",
    "encode",
    "end",
    "failed",
    "frame",
    "piece",
    "read_frame",
]
