"""What apps can pass to each other: None, bool, numbers, str, bytes, datetime, streams of bytes, and lists and dicts of these. A tuple
arrives as a list, a dict by the str of its keys. A stream is read to its end before it leaves, and arrives as one that holds all."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import msgpack

from littoral.workers.streams import ReadableStream

MOMENT, LARGE, STREAM = 1, 2, 3
"""Of msgpack's extensions: a datetime with or without its zone, a number beyond 64 bits, and what a stream held."""
STREAM_BYTES = 16 << 20
"""Of a stream. What a node passes on may be less (the limit kv-value-bytes)."""
_SIXTY_FOUR = 1 << 63


async def sent_values(value: Any) -> bytes:
    """As `dump_values`, once the streams among them are read. Raises TypeError, ValueError for a stream that is too long."""
    return dump_values(await _read(value) if _has_stream(value) else value)


def dump_values(value: Any) -> bytes:
    """Values as bytes. Raises TypeError for what cannot travel."""
    return msgpack.encode(_plain(value))


def copied(value: Any) -> Any:
    """Values as they arrive, for who is in the same process: streams are the same ones. Raises TypeError for what cannot travel."""
    if isinstance(value, ReadableStream):
        return value
    if isinstance(value, Mapping):
        return {str(key): copied(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [copied(member) for member in value]
    plain = _plain(value)
    # A moment and a large number are as they are: they never change.
    return value if isinstance(plain, msgpack.Ext) else plain


def _has_stream(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_stream, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_stream, value))
    return isinstance(value, ReadableStream)


async def _read(value: Any) -> Any:
    """The same with what is in the streams."""
    if isinstance(value, Mapping):
        return {key: await _read(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [await _read(member) for member in value]
    if not isinstance(value, ReadableStream):
        return value
    pieces, size = [], 0
    async for piece in value:
        size += len(piece)
        if size > STREAM_BYTES:
            raise ValueError(
                f"a stream travels whole to another app: at most {STREAM_BYTES} bytes; pass it on in parts"
            )
        pieces.append(piece)
    return msgpack.Ext(STREAM, b"".join(pieces))


def load_values(data: bytes) -> Any:
    """The values again. Raises msgspec.DecodeError, ValueError for what was not written by `dump_values`."""
    return msgpack.decode(data, ext_hook=_extension)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | float | str | bytes):
        return value
    if isinstance(value, int):
        return value if -_SIXTY_FOUR <= value < _SIXTY_FOUR else msgpack.Ext(LARGE, str(value).encode())
    if isinstance(value, datetime):
        return msgpack.Ext(MOMENT, value.isoformat().encode())
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, msgpack.Ext):
        return value
    raise TypeError(
        "apps pass None, bool, numbers, str, bytes, datetime, streams, lists and dicts to each other; "
        f"not {type(value).__name__}"
    )


def _extension(code: int, data: memoryview) -> Any:
    if code == STREAM:
        return ReadableStream(bytes(data))
    text = bytes(data).decode()
    if code == MOMENT:
        return datetime.fromisoformat(text)
    if code == LARGE:
        return int(text)
    raise msgspec.DecodeError(f"extension {code} is not known")
